package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// SlowAnswer lets an HTTP stub answer correctly but late. Reverting it has the
// calls that it held answered at once.
//
// In force and exercised, from the stub's record of its calls: calls came, and
// none of those that were drawn was answered sooner than the delay.
type SlowAnswer struct {
	// Delay is how long an answer is held back after the request was read.
	// Default 2s.
	Delay time.Duration `yaml:"delay" json:"delay,omitempty"`
	Calls `yaml:",inline"`
}

var _ = register("slow_answer", func() Fault { return &SlowAnswer{Delay: 2 * time.Second, Calls: Calls{Ratio: 1}} })

// String is the fault in one line.
func (f *SlowAnswer) String() string { return fmt.Sprintf("slow answer %v%s", f.Delay, f.Calls) }

// Supports wants a stub and a positive delay.
func (f *SlowAnswer) Supports(t Target) error {
	if f.Delay <= 0 {
		return fmt.Errorf("slow_answer: delay %v is not positive", f.Delay)
	}
	_, err := f.supports("slow_answer", t)
	return err
}

// Inject holds answers back.
func (f *SlowAnswer) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return f.inject(ctx, "slow_answer", t, Behaviour{Delay: f.Delay})
}

// Witness looks at when the stub's calls were answered.
func (f *SlowAnswer) Witness(j journal.Journal, target string, w journal.Window) error {
	return f.witness("slow_answer", scene{j, target, w}, func(c journal.Call) string {
		if c.Answered == 0 || c.Answered >= f.Delay {
			return ""
		}
		return fmt.Sprintf("was answered after %v", round(c.Answered))
	})
}
