package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Hang lets an HTTP stub read requests and not answer. Reverting it cuts the
// connections that it held, or answers all that were held in the same instant.
//
// In force and exercised, from the stub's record of its calls: calls came, and
// none of those that were drawn was answered before that.
type Hang struct {
	Calls `yaml:",inline"`
	// Then is the status with which the calls that were held are answered when
	// the fault is taken back. Zero: their connections are cut.
	Then int `yaml:"then" json:"then,omitempty"`
}

var _ = register("hang", func() Fault { return &Hang{Calls: Calls{Ratio: 1}} })

// String is the fault in one line.
func (f *Hang) String() string {
	if f.Then == 0 {
		return "hang" + f.Calls.String()
	}
	return fmt.Sprintf("hang%s, then %d for all that were held", f.Calls, f.Then)
}

// Validate says what is wrong with the parameters.
func (f *Hang) Validate() error {
	if f.Then != 0 && (f.Then < 200 || f.Then > 599) {
		return fmt.Errorf("hang: then must be a status from 200 to 599, not %d", f.Then)
	}
	return nil
}

// Supports wants a stub.
func (f *Hang) Supports(t Target) error {
	_, err := f.supports("hang", t)
	return err
}

// Inject holds calls.
func (f *Hang) Inject(ctx context.Context, t Target) (Injection, error) {
	return f.inject(ctx, "hang", t, Behaviour{Hang: true, Status: f.Then})
}

// Witness wants no answers.
func (f *Hang) Witness(j journal.Journal, target string, w journal.Window) error {
	return f.witness("hang", scene{j, target, w}, func(c journal.Call) string {
		if c.Status == 0 || c.Status == f.Then {
			return ""
		}
		return fmt.Sprintf("was answered with %d after %v", c.Status, round(c.Answered))
	})
}
