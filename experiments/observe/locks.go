package observe

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Locks looks at who holds locks on tables and who waits for one, as pg_locks
// and pg_stat_activity show it. Tables that others cannot see yet, system
// tables and our own sessions are left out, and so is what stands in statements
// from their first literal on, which may be a password.
type Locks struct {
	Dependency string
	// Role is the service's.
	Role string
	// Alone leaves out the sessions of all others than the service and the
	// administrator, where the database is not the trial's own.
	Alone bool
	// Connect opens a connection that does not pass the proxy.
	Connect func(context.Context) (*pgx.Conn, error)
	// Every is the interval. Zero means 50 ms.
	Every time.Duration
	// Timeout bounds one sample. Zero means 1 s.
	Timeout time.Duration

	conn *pgx.Conn
}

// Observe takes samples until the context ends.
func (l *Locks) Observe(ctx context.Context, rec journal.Recorder) error {
	defer hangUp(ctx, &l.conn)
	each(ctx, or(l.Every, 50*time.Millisecond), func() {
		limited, cancel := context.WithTimeout(ctx, or(l.Timeout, time.Second))
		defer cancel()
		at := rec.Now()
		body, err := l.sample(limited)
		if ended(ctx) {
			return
		}
		if err != nil {
			body = journal.Locks{Err: sqlReason(err)}
			hangUp(ctx, &l.conn)
		}
		rec.Record(journal.Entry{At: at, On: l.Dependency, Body: body})
	})
	return nil
}

const (
	lockSessions = `
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''), coalesce(usename = $1, false),
       coalesce(wait_event_type = 'Lock', false), coalesce((extract(epoch FROM query_start) * 1e6)::bigint, 0),
       coalesce((extract(epoch FROM clock_timestamp() - xact_start) * 1e6)::bigint, 0),
       CASE WHEN usename = $1 THEN '' ELSE
         left(regexp_replace(regexp_replace(query, '[''$].*', '…'), '\s+', ' ', 'g'), 80) END
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
  AND coalesce(application_name, '') <> $2
  AND (coalesce(wait_event_type = 'Lock', false) OR usename <> $1 AND xact_start IS NOT NULL)
  AND (NOT $3::boolean OR usename IN ($1, current_user))
ORDER BY pid`
	lockTables = `
SELECT l.pid, c.relname, l.mode, l.granted
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
  AND (NOT l.granted OR l.mode = 'AccessExclusiveLock' OR l.pid IN (
    SELECT pid FROM pg_stat_activity WHERE usename <> $1 AND pid <> pg_backend_pid()))
  AND (NOT $2::boolean OR l.pid IN (SELECT pid FROM pg_stat_activity WHERE usename IN ($1, current_user)))
ORDER BY l.pid, c.relname, l.mode`
)

func (l *Locks) sample(ctx context.Context) (journal.Locks, error) {
	var s journal.Locks
	if l.conn == nil {
		conn, err := l.Connect(ctx)
		if err != nil {
			return s, err
		}
		l.conn = conn
		if _, err := conn.Exec(ctx, "SET application_name = '"+ObserverName+"'"); err != nil {
			return s, err
		}
	}
	rows, err := l.conn.Query(ctx, lockSessions, l.Role, ObserverName, l.Alone)
	if err != nil {
		return s, err
	}
	s.Sessions, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.Session, error) {
		var b journal.Session
		var xact int64
		err := row.Scan(&b.PID, &b.User, &b.App, &b.Service, &b.Waits, &b.Statement, &xact, &b.Query)
		b.XactAge = max(time.Duration(xact)*time.Microsecond, 0)
		return b, err
	})
	if err != nil {
		return s, err
	}
	if rows, err = l.conn.Query(ctx, lockTables, l.Role, l.Alone); err != nil {
		return s, err
	}
	s.Tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.TableLock, error) {
		var t journal.TableLock
		err := row.Scan(&t.PID, &t.Table, &t.Mode, &t.Granted)
		return t, err
	})
	return s, err
}
