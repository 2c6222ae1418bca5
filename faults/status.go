package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Status lets an HTTP stub answer at once with a status and no body.
//
// In force and exercised, from the stub's record of its calls: calls came, and
// those that were drawn got the status.
type Status struct {
	// Code is the HTTP status. Default 503.
	Code int `yaml:"code" json:"code,omitempty"`
	// RetryAfter adds the Retry-After header, rounded up to whole seconds.
	// Default 0: no header.
	RetryAfter time.Duration `yaml:"retry_after" json:"retry_after,omitempty"`
	Calls      `yaml:",inline"`
}

var _ = register("status", func() Fault { return &Status{Code: 503, Calls: Calls{Ratio: 1}} })

// String is the fault in one line.
func (f *Status) String() string {
	s := fmt.Sprintf("status %d", f.Code)
	if f.RetryAfter > 0 {
		s += fmt.Sprintf(", retry after %v", f.RetryAfter)
	}
	return s + f.Calls.String()
}

// Supports wants a stub and a final status.
func (f *Status) Supports(t Target) error {
	if f.Code < 200 || f.Code > 599 {
		return fmt.Errorf("status: code %d is not between 200 and 599", f.Code)
	}
	_, err := f.supports("status", t)
	return err
}

// Inject replaces answers.
func (f *Status) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return f.inject(ctx, "status", t, Behaviour{Status: f.Code, RetryAfter: f.RetryAfter})
}

// Witness looks for the status in the stub's calls.
func (f *Status) Witness(j journal.Journal, target string, w journal.Window) error {
	return f.witness("status", scene{j, target, w}, func(c journal.Call) string {
		if c.Status == f.Code || c.Status == 0 && (c.HungUp || c.Open) {
			return ""
		}
		return fmt.Sprintf("got status %d, not %d", c.Status, f.Code)
	})
}
