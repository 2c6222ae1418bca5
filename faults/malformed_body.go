package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// MalformedBody lets an HTTP stub answer 200 with a body that is said to be
// JSON and is not.
//
// In force and exercised, from the stub's record of its calls: calls came, and
// those that were drawn were answered so.
type MalformedBody struct {
	Calls `yaml:",inline"`
}

var _ = register("malformed_body", func() Fault { return &MalformedBody{Calls{Ratio: 1}} })

// String is the fault in one line.
func (f *MalformedBody) String() string { return "malformed body" + f.Calls.String() }

// Supports wants a stub.
func (f *MalformedBody) Supports(t Target) error {
	_, err := f.supports("malformed_body", t)
	return err
}

// Inject replaces answers.
func (f *MalformedBody) Inject(ctx context.Context, t Target) (Injection, error) {
	return f.inject(ctx, "malformed_body", t, Behaviour{Malformed: true})
}

// Witness looks for the answers in the stub's calls.
func (f *MalformedBody) Witness(j journal.Journal, target string, w journal.Window) error {
	return f.witness("malformed_body", scene{j, target, w}, func(c journal.Call) string {
		if c.Status == 200 || c.Status == 0 && (c.HungUp || c.Open) {
			return ""
		}
		return fmt.Sprintf("got status %d, not 200", c.Status)
	})
}
