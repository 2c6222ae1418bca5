package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Hang lets an HTTP stub read requests and never answer. Reverting it cuts the
// connections that it held.
//
// In force and exercised, from the stub's record of its calls: calls came, and
// none of those that were drawn was answered.
type Hang struct {
	Calls `yaml:",inline"`
}

var _ = register("hang", func() Fault { return &Hang{Calls{Ratio: 1}} })

// String is the fault in one line.
func (f *Hang) String() string { return "hang" + f.Calls.String() }

// Supports wants a stub.
func (f *Hang) Supports(t Target) error {
	_, err := f.supports("hang", t)
	return err
}

// Inject holds calls.
func (f *Hang) Inject(ctx context.Context, t Target) (Injection, error) {
	return f.inject(ctx, "hang", t, Behaviour{Hang: true})
}

// Witness wants no answers.
func (f *Hang) Witness(j journal.Journal, target string, w journal.Window) error {
	return f.witness("hang", scene{j, target, w}, func(c journal.Call) string {
		if c.Status == 0 {
			return ""
		}
		return fmt.Sprintf("was answered with %d after %v", c.Status, round(c.Answered))
	})
}
