package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seatrial/seatrial/experiments/journal"
)

// TableLock locks tables of a Postgres database so that everything that touches
// them waits: LOCK TABLE … IN ACCESS EXCLUSIVE MODE, held in a transaction on
// an administrative connection. Queries pile up, and the pool runs dry.
//
// In force: the server granted the locks to a transaction that stayed open.
// Exercised: pg_stat_activity shows backends of the service's role that wait for
// a lock. That nobody waits while the service talks to the database leaves the
// fault in force: a pool that has lost its connections asks for no table, and
// its readiness check goes on.
type TableLock struct {
	// Tables are the tables to lock, as in SQL ("orders", "shop.orders").
	// Empty, the default: all ordinary and partitioned tables of the database
	// that do not belong to an extension.
	Tables []string `yaml:"tables" json:"tables,omitempty"`
	// Within bounds the wait for the locks themselves. Default 5s.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
}

var _ = register("table_lock", func() Fault { return &TableLock{Within: 5 * time.Second} })

// String is the fault in one line.
func (f *TableLock) String() string {
	if len(f.Tables) == 0 {
		return "lock on all tables"
	}
	return "lock on " + strings.Join(f.Tables, ", ")
}

// Harm implements [Harmful].
func (*TableLock) Harm() string { return "every transaction on the locked tables waits" }

// Supports wants a database.
func (f *TableLock) Supports(t Target) error {
	return supportsWithin("table_lock", f.Within, t)
}

// lockTries is how often a deadlock with the service's own transactions is
// met by another try.
const lockTries = 5

// Inject takes the locks.
func (f *TableLock) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	conn, err := admin(ctx, t.(SQL))
	if err != nil {
		return nil, fmt.Errorf("table_lock: %w", err)
	}
	u := new(undo)
	u.add(closing(conn)) // ends the transaction, and with it the locks
	tables, err := tablesOf(ctx, conn, f.Tables)
	for range lockTries {
		if err == nil {
			err = lockTables(ctx, conn, "ACCESS EXCLUSIVE", f.Within, tables)
		}
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "40P01" {
			break
		}
		err = nil
	}
	if err != nil {
		return nil, u.fail(ctx, fmt.Errorf("table_lock: %w", err))
	}
	if conn.PgConn().TxStatus() != 'T' {
		return nil, u.fail(ctx, fmt.Errorf("table_lock: %d deadlocks with the service in a row", lockTries))
	}
	return u, nil
}

// Witness looks for backends that wait.
func (f *TableLock) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	samples := s.samples(w)
	if len(samples) == 0 {
		return notInForce("pg_stat_activity of %q was not seen in the window", target)
	}
	for _, a := range samples {
		if a.of(func(b journal.Backend) bool { return b.WaitType == "Lock" && !ours(b) }) > 0 {
			return nil
		}
	}
	return notExercised("in %d samples no backend of the service waited for a lock on %q", len(samples), target)
}
