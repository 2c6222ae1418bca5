package faults

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// SQLError lets a Postgres database answer matching statements with an error of
// a chosen SQLSTATE, as the server itself would: in a transaction, it has then
// failed, on the server too; at a COMMIT, it is rolled back and over. A code
// that the server sends as FATAL ends the connection.
//
// In force and exercised, from the wire tap's record: statements matched, and
// those that were drawn got the code.
type SQLError struct {
	// SQLState is the code, of five digits or capital letters. Default 40001,
	// serialization_failure.
	SQLState string `yaml:"sqlstate" json:"sqlstate,omitempty"`
	// At is where it happens: at a matching statement, at the commit of a
	// transaction that has one, or when a connection is opened. Default:
	// statement; connect for 53300 and 57P03, which servers send only then.
	At         string `yaml:"at" json:"at,omitempty"`
	Statements `yaml:",inline"`
}

var _ = register("sql_error", func() Fault { return &SQLError{SQLState: "40001", Statements: Statements{Ratio: 1}} })

// messages are the server's own words for codes that services meet.
var messages = map[string]string{
	"40001": "could not serialize access due to concurrent update",
	"40P01": "deadlock detected",
	"53300": "sorry, too many clients already",
	"55P03": "canceling statement due to lock timeout",
	"57014": "canceling statement due to statement timeout",
	"57P01": "terminating connection due to administrator command",
	"57P02": "terminating connection because of crash of another server process",
	"57P03": "the database system is starting up",
	"25006": "cannot execute statement in a read-only transaction",
	"23505": "duplicate key value violates unique constraint",
}

// fatal are the codes after which the server closes the connection.
var fatal = []string{"53300", "57P01", "57P02", "57P03"}

var stateRule = regexp.MustCompile(`^[0-9A-Z]{5}$`)

func (f *SQLError) at() string {
	switch {
	case f.At != "":
		return f.At
	case f.SQLState == "53300", f.SQLState == "57P03":
		return AtConnect
	}
	return AtStatement
}

// String is the fault in one line.
func (f *SQLError) String() string {
	switch f.at() {
	case AtConnect:
		return fmt.Sprintf("SQLSTATE %s to new connections%s", f.SQLState, f.Statements)
	case AtCommit:
		return fmt.Sprintf("SQLSTATE %s at commits of transactions with statements%s", f.SQLState, f.Statements)
	}
	return fmt.Sprintf("SQLSTATE %s to statements%s", f.SQLState, f.Statements)
}

// Supports wants a wire tap and an error's code.
func (f *SQLError) Supports(t Target) error {
	if !stateRule.MatchString(f.SQLState) || f.SQLState[:2] == "00" {
		return fmt.Errorf("sql_error: sqlstate %q is no error's code of five digits or capital letters", f.SQLState)
	}
	if at := f.at(); !slices.Contains([]string{AtStatement, AtCommit, AtConnect}, at) {
		return fmt.Errorf("sql_error: at %q is not statement, commit or connect", at)
	} else if at == AtConnect && (f.Match != "" || f.InTransaction || f.PerParameter > 0) {
		return errors.New("sql_error: match, in_transaction and per_parameter are of statements, not of new connections")
	}
	_, err := f.supports("sql_error", t)
	return err
}

// Inject answers with the error.
func (f *SQLError) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	message := messages[f.SQLState]
	if message == "" {
		message = "an error that Seatrial injected"
	}
	return f.inject(ctx, "sql_error", t, Interference{
		At: f.at(), SQLState: f.SQLState, Message: message, Fatal: slices.Contains(fatal, f.SQLState),
	})
}

// Witness looks for the code in the tap's record.
func (f *SQLError) Witness(j journal.Journal, target string, w journal.Window) error {
	could := executed
	switch f.at() {
	case AtConnect:
		could = func(s journal.Statement) bool { return s.Stage == journal.StageStartup }
	case AtCommit:
		// What else was in a transaction is not looked up: with a pattern, none
		// shaped means that none matched.
		could = func(s journal.Statement) bool { return f.Match == "" && s.Tag == "COMMIT" }
	}
	return f.witness("sql_error", scene{j, target, w}, could, func(_ journal.Entry, s journal.Statement) string {
		if s.SQLState == f.SQLState {
			return ""
		}
		return fmt.Sprintf("got SQLSTATE %q, not %s", s.SQLState, f.SQLState)
	})
}
