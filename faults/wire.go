package faults

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Tapped is a Postgres database behind a wire tap: a relay that understands
// the protocol, between the proxy and the server.
type Tapped interface {
	Target
	// Interfere puts an interference in force under an id, on all connections;
	// LeaveAlone takes it back, and is no error when there is none.
	Interfere(ctx context.Context, id string, i Interference) error
	LeaveAlone(ctx context.Context, id string) error
}

// Points of an [Interference].
const (
	AtStatement = "statement" // the execution of a matching statement
	AtCommit    = "commit"    // the COMMIT of a transaction with a matching statement
	AtConnect   = "connect"   // the opening of a connection
)

// Interference changes what a wire tap relays. Exactly one of SQLState, CutRows,
// CutCommit and Hold is set.
type Interference struct {
	Fault string `json:"fault"` // the fault's name, recorded with each statement it shapes
	At    string `json:"at,omitempty"`
	Statements
	// SQLState answers with an error of this code in place of the execution. The
	// server is brought to the state that such an error leaves: a transaction
	// has failed, or at a COMMIT is over. Fatal ends the connection as well.
	SQLState string `json:"sqlstate,omitempty"`
	Message  string `json:"message,omitempty"`
	Fatal    bool   `json:"fatal,omitempty"`
	// CutRows cuts the connection after that many DataRow messages of an answer.
	CutRows int `json:"cut_rows,omitempty"`
	// CutCommit cuts it when the server has committed and the client has heard
	// nothing of it.
	CutCommit bool `json:"cut_commit,omitempty"`
	// Hold holds the ReadyForQuery after the statement back for so long.
	Hold time.Duration `json:"hold,omitempty"`
}

// Statements says which statements of a Postgres database a fault shapes.
type Statements struct {
	// Match is a regular expression (RE2, letters of either case) for the text of
	// the statement as the journal shows it: literals replaced by "?", comments
	// removed, white space collapsed, cut at 1000 bytes. Empty, the default: all.
	Match string `yaml:"match" json:"match,omitempty"`
	// InTransaction shapes only statements in a transaction block. Default false.
	InTransaction bool `yaml:"in_transaction" json:"in_transaction,omitempty"`
	// Ratio is the share of matching statements, from above 0 to 1. Default 1.
	Ratio float64 `yaml:"ratio" json:"ratio,omitempty"`
	// FirstN shapes only the first N of them. Zero, the default: all.
	FirstN int `yaml:"first_n" json:"first_n,omitempty"`
	// PerParameter counts FirstN apart for each value of this parameter, by its
	// number from 1, of the matching statement: with the number of an idempotency
	// key, the first N attempts at each write are shaped. Statements without it
	// are not shaped. Zero, the default: all are counted together.
	PerParameter int `yaml:"per_parameter" json:"per_parameter,omitempty"`
	// Seed feeds the draws that Ratio needs. Default 0, which is a seed too.
	Seed uint64 `yaml:"seed" json:"seed,omitempty"`
}

// Pattern is Match, compiled.
func (c Statements) Pattern() (*regexp.Regexp, error) {
	return regexp.Compile("(?i:" + c.Match + ")")
}

// String is the part of a fault's line that says which statements.
func (c Statements) String() string {
	s := ""
	if c.Match != "" {
		s += fmt.Sprintf(" matching %q", c.Match)
	}
	if c.InTransaction {
		s += ", in transactions"
	}
	if c.Ratio > 0 && c.Ratio < 1 {
		s += fmt.Sprintf(", %.0f %% of them", c.Ratio*100)
	}
	if c.FirstN > 0 {
		s += fmt.Sprintf(", the first %d", c.FirstN)
	}
	if c.PerParameter > 0 {
		s += fmt.Sprintf(" of each parameter %d", c.PerParameter)
	}
	return s
}

// Check says what is wrong with the parameters.
func (c Statements) Check() error {
	if _, err := c.Pattern(); err != nil {
		return fmt.Errorf("match: %w", err)
	}
	switch {
	case !(c.Ratio >= 0 && c.Ratio <= 1):
		return fmt.Errorf("ratio %v is not between 0 and 1", c.Ratio)
	case c.FirstN < 0:
		return fmt.Errorf("first_n %d is negative", c.FirstN)
	case c.PerParameter < 0:
		return fmt.Errorf("per_parameter %d is negative", c.PerParameter)
	case c.PerParameter > 0 && c.FirstN == 0:
		return fmt.Errorf("per_parameter %d counts nothing without first_n", c.PerParameter)
	}
	return nil
}

// supports wants a tapped database and sound parameters.
func (c Statements) supports(kind string, t Target) (Tapped, error) {
	s, ok := t.(Tapped)
	if !ok {
		return nil, fmt.Errorf("%s: %q (%s) is not a postgres dependency with a wire tap", kind, t.Name(), t.Kind())
	}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	return s, nil
}

// inject puts an interference in force on these statements.
func (c Statements) inject(ctx context.Context, kind string, t Target, i Interference) (Injection, error) {
	s, err := c.supports(kind, t)
	if err != nil {
		return nil, err
	}
	i.Fault, i.Statements = kind, c
	id := unique(kind)
	u := new(undo)
	u.add(func(ctx context.Context) error { return s.LeaveAlone(ctx, id) })
	if err := s.Interfere(ctx, id, i); err != nil {
		return nil, u.fail(ctx, fmt.Errorf("%s: %w", kind, err))
	}
	return u, nil
}

// witness looks at the tap's own record of statements. The answer to every
// shaped one must be as right says; and where all that matched were to be
// shaped, some of them must have been.
func (c Statements) witness(
	kind string, s scene, could func(journal.Statement) bool, right func(journal.Entry, journal.Statement) string,
) error {
	pattern, err := c.Pattern()
	if err != nil {
		return notInForce("match: %v", err)
	}
	w := s.w
	w.From = w.From.Add(edge)
	if w.To != 0 {
		w.To = max(w.To.Add(-edge), 1)
	}
	var shaped, others int
	for e, st := range journal.Of[journal.Statement](s.j) {
		if e.On != s.target || !w.Contains(e.At) {
			continue
		}
		if st.Fault != kind {
			if could(st) && pattern.MatchString(st.Text) && (!c.InTransaction || st.Tx == journal.TxOpen) {
				others++
			}
			continue
		}
		shaped++
		if wrong := right(e, st); wrong != "" {
			return notInForce("the statement to %q at %v %s", s.target, e.At, wrong)
		}
	}
	return c.judge(s.target, shaped, others)
}

func (c Statements) judge(target string, shaped, others int) error {
	ratio := c.Ratio
	if ratio == 0 {
		ratio = 1
	}
	switch {
	case shaped > 0:
		return nil
	case others == 0:
		return notExercised("no statement%s reached %q in the window", c, target)
	case float64(others)*ratio >= minDrawn && c.PerParameter == 0:
		return notInForce("of %d statements to %q in the window none was shaped", others, target)
	}
	return notExercised("of %d statements to %q none was shaped", others, target)
}

// executed reports whether a statement came to its execution.
func executed(s journal.Statement) bool {
	return s.Stage == journal.StageExecute || s.Stage == journal.StageQuery
}
