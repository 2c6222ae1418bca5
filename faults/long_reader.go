package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// LongReader keeps a transaction open that has read tables of a Postgres
// database, as a report or a backup does: it holds their ACCESS SHARE locks on
// an administrative connection. It holds up no ordinary statement; but a
// migration that wants a stronger lock waits for it, and everybody else queues
// behind the migration.
//
// In force: the lock watch shows the transaction, which grows old. Exercised:
// the service used the database in the window.
type LongReader struct {
	// Tables are the tables that were read, as in SQL ("orders", "shop.orders").
	// Empty, the default: all ordinary and partitioned tables of the database
	// that do not belong to an extension.
	Tables []string `yaml:"tables" json:"tables,omitempty"`
	// Within bounds the wait for the locks themselves. Default 5s.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
}

var _ = register("long_reader", func() Fault { return &LongReader{Within: 5 * time.Second} })

// String is the fault in one line.
func (f *LongReader) String() string {
	if len(f.Tables) == 0 {
		return "long transaction that has read all tables"
	}
	return "long transaction that has read " + strings.Join(f.Tables, ", ")
}

// Supports wants a database.
func (f *LongReader) Supports(t Target) error {
	return supportsWithin("long_reader", f.Within, t)
}

// Inject begins the transaction.
func (f *LongReader) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	conn, err := admin(ctx, t.(SQL))
	if err != nil {
		return nil, fmt.Errorf("long_reader: %w", err)
	}
	u := new(undo)
	u.add(closing(conn)) // ends the transaction, and with it the locks
	tables, err := tablesOf(ctx, conn, f.Tables)
	if err == nil {
		err = lockTables(ctx, conn, "ACCESS SHARE", f.Within, tables)
	}
	if err == nil && conn.PgConn().TxStatus() != 'T' {
		err = errors.New("the transaction did not stay open")
	}
	if err != nil {
		return nil, u.fail(ctx, fmt.Errorf("long_reader: %w", err))
	}
	return u, nil
}

// Witness looks for a transaction of ours that is as old as the window.
func (f *LongReader) Witness(j journal.Journal, target string, w journal.Window) error {
	samples := 0
	var oldest time.Duration
	for e, l := range journal.Of[journal.Locks](j) {
		if e.On != target || l.Err != "" || !w.Contains(e.At) {
			continue
		}
		samples++
		for _, s := range l.Sessions {
			if strings.HasPrefix(s.App, appPrefix) {
				oldest = max(oldest, s.XactAge)
			}
		}
	}
	switch {
	case samples == 0:
		return notInForce("the locks of %q were not seen in the window", target)
	case oldest == 0:
		return notInForce("in %d samples of the locks of %q the reader's transaction was not seen", samples, target)
	}
	return scene{j, target, w}.exercised()
}
