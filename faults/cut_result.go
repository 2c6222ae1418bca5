package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// CutResult cuts the connection to a Postgres database in the middle of an
// answer: after so many rows of a matching statement. The rows that came look
// like a whole result to who does not ask for the error behind them.
//
// In force and exercised, from the wire tap's record: statements had more rows
// than that, and were cut.
type CutResult struct {
	// AfterRows is how many rows come through, from 1. An answer with fewer is
	// left alone. Default 1.
	AfterRows  int `yaml:"after_rows" json:"after_rows,omitempty"`
	Statements `yaml:",inline"`
}

var _ = register("cut_result", func() Fault { return &CutResult{AfterRows: 1, Statements: Statements{Ratio: 1}} })

// String is the fault in one line.
func (f *CutResult) String() string {
	return fmt.Sprintf("cut after %d rows of statements%s", f.AfterRows, f.Statements)
}

// Supports wants a wire tap and a number of rows.
func (f *CutResult) Supports(t Target) error {
	if f.AfterRows < 1 {
		return fmt.Errorf("cut_result: after_rows %d is not 1 or more", f.AfterRows)
	}
	_, err := f.supports("cut_result", t)
	return err
}

// Inject cuts answers short.
func (f *CutResult) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return f.inject(ctx, "cut_result", t, Interference{CutRows: f.AfterRows})
}

// Witness looks for answers that end after that many rows.
func (f *CutResult) Witness(j journal.Journal, target string, w journal.Window) error {
	could := func(s journal.Statement) bool { return executed(s) && s.Rows > f.AfterRows }
	return f.witness("cut_result", scene{j, target, w}, could, func(_ journal.Entry, s journal.Statement) string {
		if s.Done == journal.DoneCut && s.Rows == f.AfterRows && s.Tag == "" {
			return ""
		}
		return fmt.Sprintf("was answered with %d rows and %q, and not cut after %d", s.Rows, s.Tag, f.AfterRows)
	})
}
