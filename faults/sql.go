package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/journal"
)

// appPrefix begins the application_name of every connection that a fault opens
// in a database.
const appPrefix = "seatrial-"

// sqlTarget says why a target is not a database.
func sqlTarget(kind string, t Target) (SQL, error) {
	s, ok := t.(SQL)
	if !ok {
		return nil, fmt.Errorf("%s: %q (%s) is not a database that can be reached past its proxy", kind, t.Name(), t.Kind())
	}
	return s, nil
}

// supportsWithin says why nobody can wait so long for locks of a target.
func supportsWithin(kind string, within time.Duration, t Target) error {
	if within <= 0 {
		return fmt.Errorf("%s: within %v is not positive", kind, within)
	}
	_, err := sqlTarget(kind, t)
	return err
}

// lockTables begins a transaction that holds locks of a mode on tables. There is
// none when it returns an error.
func lockTables(ctx context.Context, conn *pgx.Conn, mode string, within time.Duration, tables []string) error {
	_, err := conn.PgConn().Exec(ctx, fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = %d; LOCK TABLE %s IN %s MODE",
		within.Milliseconds(), strings.Join(tables, ", "), mode)).ReadAll()
	if err == nil {
		return nil
	}
	_, undone := conn.PgConn().Exec(context.WithoutCancel(ctx), "ROLLBACK").ReadAll()
	return errors.Join(err, undone)
}

// Mark is the name of what is opened or made in a target's database: "seatrial-" and
// the run's id where the target knows it. It is an application_name.
func Mark(t Target) string {
	if m, ok := t.(Marker); ok {
		return m.Mark()
	}
	return appPrefix + "fault"
}

// patient marks a session, and keeps the server from ending it or a transaction
// of it for being idle or long. Not every version knows all of these settings:
// idle_session_timeout came with PostgreSQL 14, transaction_timeout with 17.
const patient = `
SELECT set_config('application_name', $1, false), (
  SELECT count(set_config(name, '0', false)) FROM pg_settings WHERE name IN (
    'idle_in_transaction_session_timeout', 'idle_session_timeout', 'statement_timeout', 'transaction_timeout'))`

// admin opens a marked administrative connection.
func admin(ctx context.Context, t SQL) (*pgx.Conn, error) {
	conn, err := t.Admin(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, patient, Mark(t)); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// closeWithin is how long a connection may take to say goodbye.
const closeWithin = 2 * time.Second

// closing returns a step that closes a connection, once.
func closing(conn *pgx.Conn) func(context.Context) error {
	return func(ctx context.Context) error {
		if conn.IsClosed() {
			return nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
		defer cancel()
		_ = conn.Close(ctx) // its end is certain, only a polite goodbye may fail
		return nil
	}
}

const allTables = `
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
  AND NOT EXISTS (
    SELECT FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.oid`

// tablesOf is the tables, quoted: those that were named, or all.
func tablesOf(ctx context.Context, conn *pgx.Conn, named []string) ([]string, error) {
	var names []string
	for _, t := range named {
		names = append(names, pgx.Identifier(strings.Split(t, ".")).Sanitize())
	}
	if len(names) == 0 {
		rows, err := conn.Query(ctx, allTables)
		if err != nil {
			return nil, err
		}
		if names, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the database has no tables")
	}
	return names, nil
}

// sample is one look at pg_stat_activity that worked.
type sample struct {
	at journal.Instant
	journal.Activity
}

func (s scene) samples(w journal.Window) (found []sample) {
	for e, a := range journal.Of[journal.Activity](s.j) {
		if e.On == s.target && a.Err == "" && w.Contains(e.At) {
			found = append(found, sample{e.At, a})
		}
	}
	return found
}

// of counts a sample's backends that a rule picks.
func (a sample) of(pick func(journal.Backend) bool) int {
	n := 0
	for _, b := range a.Backends {
		if pick(b) {
			n++
		}
	}
	return n
}

// ours reports whether a fault opened the backend.
func ours(b journal.Backend) bool { return strings.HasPrefix(b.App, appPrefix) }
