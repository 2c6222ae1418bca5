package faults

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Deadlock brings one of the service's writes into a deadlock with a
// transaction of ours: the first insert takes one advisory lock and waits for
// another, whose holder then asks for the first. PostgreSQL finds it and ends
// the service's transaction with 40P01; ours waits for as long as that takes.
//
// In force and exercised: the database found the deadlock, and our transaction
// then got its lock.
type Deadlock struct {
	// Tables are the tables, as in SQL. Empty, the default: all.
	Tables []string `yaml:"tables" json:"tables,omitempty"`
	// Within bounds the wait for the tables' locks. Default 5s.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
}

var _ = register("deadlock", func() Fault { return &Deadlock{Within: 5 * time.Second} })

// String is the fault in one line.
func (*Deadlock) String() string { return "a deadlock with the first insert" }

// Harm implements [Harmful].
func (*Deadlock) Harm() string { return "a trigger on every table takes part in a deadlock" }

// Supports wants a database.
func (f *Deadlock) Supports(t Target) error {
	return supportsWithin("deadlock", f.Within, t)
}

// Inject takes the one lock and makes the triggers that ask for it.
func (f *Deadlock) Inject(ctx context.Context, t Target) (Injection, error) {
	return lay(ctx, "deadlock", f, t, f.Within, f.Tables, func(s *snare, tables []string) (err error) {
		var found atomic.Bool
		s.refuse = 1
		s.codeOf = func(n int64) string {
			if n == 1 && found.Load() {
				return "40P01"
			}
			return ""
		}
		if s.clear, err = f.lieInWait(ctx, s, &found); err != nil {
			return err
		}
		return s.build(ctx, s.function(f.body(s), "SET deadlock_timeout = '"+searchAfter+"'"), triggersOn(s, tables))
	})
}

func triggersOn(s *snare, tables []string) []string {
	e := &RefuseWrites{At: AtStatement, On: []string{"insert"}}
	return e.triggers(s, tables)
}

// body takes the two locks at the first attempt.
func (*Deadlock) body(s *snare) string {
	const then = `  IF n = 1 THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('%[1]s', 2));
    PERFORM pg_advisory_xact_lock(hashtextextended('%[1]s', 1));
  END IF;
  `
	return s.body(fmt.Sprintf(then, quoted(s.name)) + letThrough)
}

// searchAfter is when PostgreSQL searches for the deadlock, counted from the
// beginning of the service's wait. It searches once: our transaction must ask
// for its lock before, also on a busy machine, and other writes that come while
// it waits make it harder to tell whose attempts are whose.
const searchAfter = "250ms"

// lookEvery is how often it is looked whether somebody waits for our lock.
const lookEvery = 5 * time.Millisecond

// lieInWait takes the first lock on a connection of its own and asks for the
// second when somebody waits for the first. The function it returns ends that.
func (*Deadlock) lieInWait(ctx context.Context, s *snare, found *atomic.Bool) (func(context.Context) error, error) {
	conn, err := admin(ctx, s.target)
	if err != nil {
		return nil, err
	}
	const first = "SELECT pg_advisory_xact_lock(hashtextextended($1, 1))"
	if _, err = conn.Exec(ctx, "BEGIN; SET LOCAL deadlock_timeout = '1h'"); err == nil {
		_, err = conn.Exec(ctx, first, s.name)
	}
	if err != nil {
		return nil, errors.Join(err, closing(conn)(ctx))
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- pounce(life, conn, s.name, found) }()
	return func(ctx context.Context) error {
		stop()
		return errors.Join(<-done, closing(conn)(ctx))
	}, nil
}

// pounce waits until somebody waits for our lock, asks for theirs, and lets go
// of both when it has it.
func pounce(ctx context.Context, conn *pgx.Conn, name string, found *atomic.Bool) error {
	const waits = `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
  AND (classid::bigint << 32) + objid::bigint = hashtextextended($1, 1))`
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for waiting := false; !waiting; {
		select {
		case <-ctx.Done():
			return nil // nobody came
		case <-tick.C:
		}
		if err := conn.QueryRow(ctx, waits, name).Scan(&waiting); err != nil {
			return ended(ctx, err)
		}
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 2))", name); err != nil {
		return ended(ctx, err)
	}
	found.Store(true)
	_, err := conn.Exec(ctx, "ROLLBACK")
	return ended(ctx, err)
}

// ended is the error, unless it came because the context ended.
func ended(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// Witness wants the deadlock.
func (*Deadlock) Witness(j journal.Journal, target string, w journal.Window) error {
	all, refused := met(j, target, w)
	switch {
	case all == 0:
		return notExercised("the service wrote nothing to %q that could have met the deadlock", target)
	case refused == 0:
		return notInForce("of %d attempts to write to %q none ended in the deadlock", all, target)
	}
	return nil
}
