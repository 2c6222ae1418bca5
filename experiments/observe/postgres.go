package observe

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ObserverName is the application_name of our own connection to a database.
const ObserverName = "seatrial-observer"

// Postgres looks at pg_stat_activity: what the service's connections are doing,
// as the server sees them. While the server cannot be reached, it says so in
// every sample and tries again.
type Postgres struct {
	Dependency string
	// Role is the service's; only its backends are recorded.
	Role string
	// Connect opens a connection that does not pass the proxy.
	Connect func(context.Context) (*pgx.Conn, error)
	// Every is the interval. Zero means 100 ms.
	Every time.Duration
	// Timeout bounds one sample. Zero means 1 s.
	Timeout time.Duration

	conn           *pgx.Conn
	maxConnections int
}

// Observe takes samples until the context ends.
func (p *Postgres) Observe(ctx context.Context, rec journal.Recorder) error {
	defer hangUp(ctx, &p.conn)
	each(ctx, or(p.Every, 100*time.Millisecond), func() {
		limited, cancel := context.WithTimeout(ctx, or(p.Timeout, time.Second))
		defer cancel()
		at := rec.Now()
		backends, err := p.sample(limited)
		if ended(ctx) {
			return
		}
		body := journal.Activity{Backends: backends, MaxConnections: p.maxConnections}
		if err != nil {
			body = journal.Activity{Err: sqlReason(err)}
			hangUp(ctx, &p.conn)
		}
		rec.Record(journal.Entry{At: at, On: p.Dependency, Body: body})
	})
	return nil
}

// hangUp closes a connection when there is one, also when the context has ended.
func hangUp(ctx context.Context, conn **pgx.Conn) {
	if *conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = (*conn).Close(ctx) // it may be broken already, which is why
	*conn = nil
}

// Ages are counted on the server's clock, in microseconds.
const activity = `
SELECT pid, coalesce(usename, ''), coalesce(application_name, ''),
       coalesce(host(client_addr) || ':' || client_port, ''),
       coalesce(state, ''), coalesce(wait_event_type, ''), coalesce(wait_event, ''),
       (extract(epoch FROM CASE WHEN state = 'active' THEN clock_timestamp() - query_start END) * 1e6)::float8,
       (extract(epoch FROM CASE WHEN state LIKE 'idle in transaction%' THEN clock_timestamp() - state_change END)
         * 1e6)::float8,
       (extract(epoch FROM clock_timestamp() - xact_start) * 1e6)::float8,
       (extract(epoch FROM clock_timestamp() - backend_start) * 1e6)::float8
FROM pg_stat_activity
WHERE usename = $1 AND datname = current_database() AND backend_type = 'client backend'
ORDER BY pid`

func (p *Postgres) sample(ctx context.Context) ([]journal.Backend, error) {
	if p.conn == nil {
		if err := p.connect(ctx); err != nil {
			return nil, err
		}
	}
	rows, err := p.conn.Query(ctx, activity, p.Role)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (journal.Backend, error) {
		var b journal.Backend
		var query, idle, xact, age *float64
		err := row.Scan(&b.PID, &b.User, &b.App, &b.Client, &b.State, &b.WaitType, &b.Wait, &query, &idle, &xact, &age)
		b.QueryAge, b.IdleAge, b.XactAge, b.Age = micros(query), micros(idle), micros(xact), micros(age)
		return b, err
	})
}

func (p *Postgres) connect(ctx context.Context) error {
	conn, err := p.Connect(ctx)
	if err != nil {
		return err
	}
	p.conn = conn
	if _, err := conn.Exec(ctx, "SET application_name = '"+ObserverName+"'"); err != nil {
		return err
	}
	return conn.QueryRow(ctx, "SELECT current_setting('max_connections')::int").Scan(&p.maxConnections)
}

func micros(v *float64) time.Duration {
	if v == nil {
		return 0
	}
	return max(time.Duration(*v*float64(time.Microsecond)), 0)
}

// sqlReason names what went wrong: the server's SQLSTATE where it said one.
func sqlReason(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code + " " + refused.Message
	}
	return journal.Reason(err)
}
