package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// LostAnswer lets an HTTP stub read requests to their end and then reset their
// connections: what was asked for may have been done, and nobody is told.
//
// In force and exercised, from the stub's record of its calls: calls came, and
// none of those that were drawn was answered.
type LostAnswer struct {
	Calls `yaml:",inline"`
}

var _ = register("lost_answer", func() Fault { return &LostAnswer{Calls{Ratio: 1}} })

// String is the fault in one line.
func (f *LostAnswer) String() string { return "lost answers" + f.Calls.String() }

// Supports wants a stub.
func (f *LostAnswer) Supports(t Target) error {
	_, err := f.supports("lost_answer", t)
	return err
}

// Inject resets calls.
func (f *LostAnswer) Inject(ctx context.Context, t Target) (Injection, error) {
	return f.inject(ctx, "lost_answer", t, Behaviour{Reset: true})
}

// Witness wants no answers.
func (f *LostAnswer) Witness(j journal.Journal, target string, w journal.Window) error {
	return f.witness("lost_answer", scene{j, target, w}, func(c journal.Call) string {
		if c.Status == 0 {
			return ""
		}
		return fmt.Sprintf("was answered with %d after %v", c.Status, round(c.Answered))
	})
}
