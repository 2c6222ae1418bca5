package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// SlowReady holds a Postgres database's ReadyForQuery back: rows and success of
// a statement arrive, but the connection is not free for the next one.
//
// In force and exercised, from the wire tap's record: statements matched, and
// those that were drawn were held for so long.
type SlowReady struct {
	// Delay is how long it is held. Default 500ms.
	Delay      time.Duration `yaml:"delay" json:"delay,omitempty"`
	Statements `yaml:",inline"`
}

var _ = register("slow_ready", func() Fault {
	return &SlowReady{Delay: 500 * time.Millisecond, Statements: Statements{Ratio: 1}}
})

// String is the fault in one line.
func (f *SlowReady) String() string {
	return fmt.Sprintf("ready %v late after statements%s", f.Delay, f.Statements)
}

// Supports wants a wire tap and a delay.
func (f *SlowReady) Supports(t Target) error {
	if f.Delay <= 0 {
		return fmt.Errorf("slow_ready: delay %v is not positive", f.Delay)
	}
	_, err := f.supports("slow_ready", t)
	return err
}

// Inject holds back.
func (f *SlowReady) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return f.inject(ctx, "slow_ready", t, Interference{Hold: f.Delay})
}

// Witness looks for what was held.
func (f *SlowReady) Witness(j journal.Journal, target string, w journal.Window) error {
	could := func(s journal.Statement) bool { return executed(s) && s.After != "" && s.SQLState == "" }
	return f.witness("slow_ready", scene{j, target, w}, could, func(e journal.Entry, s journal.Statement) string {
		if s.Done == journal.DoneHeld && (s.Held >= f.Delay || s.Unfinished || w.To != 0 && e.At.Add(s.Took+s.Held) >= w.To) {
			return "" // or its caller had left, or it was let go by the revert
		}
		return fmt.Sprintf("was held for %v, not %v", s.Held, f.Delay)
	})
}
