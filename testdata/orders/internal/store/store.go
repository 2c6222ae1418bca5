// Package store keeps orders in PostgreSQL.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// ErrUnavailable says that the database could not be asked.
var ErrUnavailable = errors.New("database unavailable")

// errURL is without its cause, which would show the password.
var errURL = errors.New("database url: not understood")

// Limits bound what one replica asks of the database.
type Limits struct {
	MaxOpen   int
	Lifetime  time.Duration
	Statement time.Duration // for one operation, waiting for a connection included
}

// Postgres is an [orders.Store].
type Postgres struct {
	db      *sql.DB
	limits  Limits
	observe telemetry.Observer
}

// Open prepares a pool; nothing is dialled yet. The name shows up as
// application_name in pg_stat_activity.
func Open(url, name string, limits Limits, observe telemetry.Observer) (*Postgres, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errURL
	}
	prepare(cfg, name)
	return &Postgres{db: pooled(stdlib.OpenDB(*cfg), limits), limits: limits, observe: observe}, nil
}

// pooled holds a pool to its limits.
func pooled(db *sql.DB, limits Limits) *sql.DB {
	db.SetMaxOpenConns(limits.MaxOpen)
	db.SetMaxIdleConns(limits.MaxOpen) // as many as are open: no churn under load
	db.SetConnMaxLifetime(limits.Lifetime)
	db.SetConnMaxIdleTime(2 * time.Minute)
	return db
}

// prepare is what every connection of the service is opened with.
func prepare(cfg *pgx.ConnConfig, name string) {
	cfg.ConnectTimeout = 2 * time.Second
	maps.Copy(cfg.RuntimeParams, settings(name))
}

// settings are those of the service's sessions.
func settings(name string) map[string]string {
	return map[string]string{
		"application_name": name,
		// The last line of defence, for what a cancelled context did not end.
		"statement_timeout":                   "15s",
		"idle_in_transaction_session_timeout": "15s",
	}
}

// Watch adds the pool's statistics to the metrics.
func (p *Postgres) Watch(m *telemetry.Metrics) { m.WatchPool(p.db) }

// Ping asks whether the database answers.
func (p *Postgres) Ping(ctx context.Context) error {
	if err := p.db.PingContext(ctx); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// Close gives all connections back.
func (p *Postgres) Close() error {
	if err := p.db.Close(); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// do runs one operation on one connection, within the time that it may take.
func (p *Postgres) do(ctx context.Context, operation string, fn func(context.Context, *sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Statement)
	defer cancel()
	start := time.Now()
	err := p.onConn(ctx, fn)
	p.observe("postgres", operation, outcome(err), time.Since(start))
	if err == nil || passThrough(err) {
		return err
	}
	return fmt.Errorf("%s: %w: %w", operation, ErrUnavailable, err)
}

func (p *Postgres) onConn(ctx context.Context, fn func(context.Context, *sql.Conn) error) error {
	conn, err := p.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer func() { _ = conn.Close() }() // gives it back to the pool
	return fn(ctx, conn)
}

// inTx runs a short transaction, and again when the database asks for that.
func (p *Postgres) inTx(ctx context.Context, operation string, fn func(context.Context, *sql.Tx) error) error {
	return p.do(ctx, operation, func(ctx context.Context, conn *sql.Conn) error {
		return retrySerialization(ctx, func() error {
			tx, err := conn.BeginTx(ctx, nil)
			if err != nil {
				return fmt.Errorf("begin: %w", err)
			}
			defer func() { _ = tx.Rollback() }() // does nothing after a commit
			if err := fn(ctx, tx); err != nil {
				return err
			}
			if err := tx.Commit(); err != nil {
				return fmt.Errorf("commit: %w", err)
			}
			return nil
		})
	})
}

// txAttempts bounds how often a transaction is tried.
const txAttempts = 4

func retrySerialization(ctx context.Context, try func() error) error {
	for attempt := 1; ; attempt++ {
		err := try()
		var pg *pgconn.PgError
		if err == nil || attempt == txAttempts || !errors.As(err, &pg) || (pg.Code != "40001" && pg.Code != "40P01") {
			return err
		}
		timer := time.NewTimer(telemetry.Jitter(10 * time.Millisecond << attempt))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}
