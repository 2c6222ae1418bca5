package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/journal"
)

// RefuseWrites makes a Postgres database refuse the service's writes with an
// SQLSTATE of one's choice: a trigger raises it, when a statement writes or only
// when the transaction commits. It needs no wire tap, and counts each attempt:
// by a sequence, which goes on counting when attempts are rolled back; a
// transaction that was let through once is not refused again.
//
// The triggers, their function and their sequences are in a schema that carries
// the run's id, and go with it. Creating them waits for open transactions on the
// tables, dropping them for writers.
//
// In force: the database counted attempts that it refused. Exercised: it counted
// any.
type RefuseWrites struct {
	// Codes are SQLSTATEs (40001, 40P01, 23505), taken in turn: all attempts
	// between two that are let through get the same. Default [40001].
	Codes []string `yaml:"codes" json:"codes,omitempty"`
	// At is statement (default) or commit.
	At string `yaml:"at" json:"at,omitempty"`
	// Refuse is how many attempts in a row are refused before one is let
	// through. Zero, the default: all.
	Refuse int `yaml:"refuse" json:"refuse,omitempty"`
	// On lists what is refused: insert, update, delete. Default [insert].
	On []string `yaml:"on" json:"on,omitempty"`
	// Tables are the tables, as in SQL ("orders", "shop.orders"). Empty, the
	// default: all ordinary and partitioned tables of the database that do not
	// belong to an extension.
	Tables []string `yaml:"tables" json:"tables,omitempty"`
	// Within bounds the wait for the tables' locks. Default 5s.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
}

var _ = register("refuse_writes", func() Fault {
	return &RefuseWrites{Codes: []string{"40001"}, At: AtStatement, On: []string{"insert"}, Within: 5 * time.Second}
})

// String is the fault in one line.
func (f *RefuseWrites) String() string {
	which := "every attempt"
	if f.Refuse > 0 {
		which = fmt.Sprintf("%d attempts, then one not", f.Refuse)
	}
	return fmt.Sprintf(
		"refuse writes with %s at %s of %s, %s",
		strings.Join(f.Codes, " or "),
		f.At,
		strings.Join(f.On, ", "),
		which,
	)
}

// Harm implements [Harmful].
func (*RefuseWrites) Harm() string { return "triggers refuse everybody's writes to the tables" }

// Supports wants a database and sound parameters.
func (f *RefuseWrites) Supports(t Target) error {
	bad := func(code string) bool { return !stateRule.MatchString(code) || code[:2] == "00" }
	unknown := func(on string) bool { return !slices.Contains([]string{"insert", "update", "delete"}, on) }
	switch {
	case len(f.Codes) == 0 || slices.ContainsFunc(f.Codes, bad):
		return fmt.Errorf("refuse_writes: codes %v are not all SQLSTATEs of an error, such as 40001", f.Codes)
	case f.At != AtStatement && f.At != AtCommit:
		return fmt.Errorf("refuse_writes: at %q is neither statement nor commit", f.At)
	case f.Refuse < 0:
		return fmt.Errorf("refuse_writes: refuse %d is negative", f.Refuse)
	case len(f.On) == 0 || slices.ContainsFunc(f.On, unknown):
		return fmt.Errorf("refuse_writes: on %v are not all of insert, update and delete", f.On)
	}
	return supportsWithin("refuse_writes", f.Within, t)
}

// Inject makes the triggers.
func (f *RefuseWrites) Inject(ctx context.Context, t Target) (Injection, error) {
	return lay(ctx, "refuse_writes", f, t, f.Within, f.Tables, func(s *snare, tables []string) error {
		s.refuse, s.commit, s.codeOf = f.Refuse, f.At == AtCommit, f.code
		return s.build(ctx, s.function(f.body(s), ""), f.triggers(s, tables))
	})
}

// code is what the nth attempt is refused with; empty when it is let through.
func (f *RefuseWrites) code(n int64) string {
	row := int64(f.Refuse) + 1
	if f.Refuse > 0 && n%row == 0 {
		return ""
	}
	return f.Codes[(n-1)/row%int64(len(f.Codes))]
}

// body lets one attempt through after so many, and refuses the others.
func (f *RefuseWrites) body(s *snare) string {
	const then = `  IF %[1]d > 0 AND n %% %[2]d = 0 THEN
    %[3]s
  END IF;
  RAISE EXCEPTION 'refused by a sea trial' USING ERRCODE = (ARRAY['%[4]s'])[1 + ((n - 1) / %[2]d) %% %[5]d];`
	return s.body(fmt.Sprintf(then, f.Refuse, f.Refuse+1, letThrough, strings.Join(f.Codes, "', '"), len(f.Codes)))
}

func (f *RefuseWrites) triggers(s *snare, tables []string) []string {
	form := "CREATE TRIGGER %s BEFORE %s ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()"
	if f.At == AtCommit {
		form = "CREATE CONSTRAINT TRIGGER %s AFTER %s ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW " +
			"EXECUTE FUNCTION %s()"
	}
	statements := make([]string, 0, len(tables))
	for _, table := range tables {
		statements = append(statements, fmt.Sprintf(form, pgx.Identifier{s.name}.Sanitize(),
			strings.ToUpper(strings.Join(f.On, " OR ")), table, s.in("act")))
	}
	return statements
}

// Witness counts what the database says it refused.
func (f *RefuseWrites) Witness(j journal.Journal, target string, w journal.Window) error {
	all, refused := met(j, target, w)
	switch {
	case all == 0:
		return notExercised("the service wrote nothing to %q that could have been refused", target)
	case refused == 0:
		return notInForce("of %d attempts to write to %q none was refused", all, target)
	}
	return nil
}
