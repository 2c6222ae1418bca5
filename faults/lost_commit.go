package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// LostCommit cuts the connection to a Postgres database when the server has
// committed, and before the service hears of it: the write is stored, and who
// asked for it cannot know. It meets the COMMIT of transactions that have
// changed rows, and single INSERT, UPDATE, DELETE and MERGE statements outside
// of transactions. Match is for a statement of the transaction, not for the
// COMMIT.
//
// In force and exercised, from the wire tap's record: the server had answered
// such statements with their success, and the connection was cut.
type LostCommit struct {
	Statements `yaml:",inline"`
}

var _ = register("lost_commit", func() Fault { return &LostCommit{Statements{Ratio: 1}} })

// String is the fault in one line.
func (f *LostCommit) String() string {
	return "lost acknowledgement of commits of statements" + f.Statements.String()
}

// Supports wants a wire tap.
func (f *LostCommit) Supports(t Target) error {
	_, err := f.supports("lost_commit", t)
	return err
}

// Inject cuts connections after commits.
func (f *LostCommit) Inject(ctx context.Context, t Target) (Injection, error) {
	return f.inject(ctx, "lost_commit", t, Interference{CutCommit: true})
}

// changes reports whether a CommandComplete's tag says that rows were changed.
func changes(tag string) bool {
	fields := strings.Fields(tag)
	return len(fields) > 1 && fields[len(fields)-1] != "0" &&
		slices.Contains([]string{"INSERT", "UPDATE", "DELETE", "MERGE"}, fields[0])
}

// Witness looks for commits that were cut off.
func (f *LostCommit) Witness(j journal.Journal, target string, w journal.Window) error {
	// Commits of transactions that only read are not met, so that a COMMIT alone
	// says nothing; a single statement does.
	could := func(s journal.Statement) bool {
		return executed(s) && s.Tx == journal.TxIdle && s.SQLState == "" && changes(s.Tag)
	}
	return f.witness("lost_commit", scene{j, target, w}, could, func(_ journal.Entry, s journal.Statement) string {
		if s.Done == journal.DoneCut && s.Tag != "" && s.SQLState == "" && s.After == journal.TxIdle {
			return ""
		}
		return fmt.Sprintf("was answered with %q (SQLSTATE %q), and not cut off after a commit", s.Tag, s.SQLState)
	})
}
