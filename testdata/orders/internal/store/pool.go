package store

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/pgxpoolprometheus"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// Pool is an [orders.Store] like [Postgres], on pgx's own pool in place of
// database/sql.
type Pool struct {
	pool    *pgxpool.Pool
	limits  Limits
	observe telemetry.Observer
}

// OpenPool prepares a pool as [Open] does: nothing is dialled yet.
func OpenPool(
	ctx context.Context, url, name string, limits Limits, observe telemetry.Observer,
) (*Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errURL
	}
	prepare(cfg.ConnConfig, name)

	cfg.MaxConns = int32(limits.MaxOpen)
	cfg.MaxConnIdleTime = 2 * time.Minute
	cfg.PingTimeout = time.Second // of a connection that has been idle for a second, before it is used
	expire(cfg, limits.Lifetime)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return &Pool{pool: pool, limits: limits, observe: observe}, nil
}

// expire has connections replaced before they are older than a lifetime, those
// that were opened together not all at once. Zero: they are kept, as by [Open].
func expire(cfg *pgxpool.Config, lifetime time.Duration) {
	cfg.MaxConnLifetime = lifetime
	if lifetime == 0 {
		return
	}
	apart := lifetime / 10
	cfg.MaxConnLifetime -= apart
	cfg.MaxConnLifetimeJitter = apart
	// How often the age of idle ones is looked at; usually once a minute.
	cfg.HealthCheckPeriod = min(cfg.HealthCheckPeriod, apart)
}

// Watch adds the pool's statistics to the metrics.
func (p *Pool) Watch(m *telemetry.Metrics) {
	m.Registry.MustRegister(pgxpoolprometheus.NewCollector(p.pool, map[string]string{"db_name": telemetry.Name}))
}

// Ping asks whether the database answers.
func (p *Pool) Ping(ctx context.Context) error {
	if err := p.pool.Ping(ctx); err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// closesWithin bounds the wait for connections that are in use: pgxpool's own
// has no bound.
const closesWithin = 2 * time.Second

// Close gives all connections back.
func (p *Pool) Close() error {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		p.pool.Close()
	}()
	late := time.NewTimer(closesWithin)
	defer late.Stop()
	select {
	case <-closed:
		return nil
	case <-late.C:
		return fmt.Errorf("close database: connections are still in use after %v", closesWithin)
	}
}

// do runs one operation on one connection, within the time that it may take.
func (p *Pool) do(ctx context.Context, operation string, fn func(context.Context, *pgxpool.Conn) error) error {
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

func (p *Pool) onConn(ctx context.Context, fn func(context.Context, *pgxpool.Conn) error) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release() // closes one that is broken or in a transaction
	return fn(ctx, conn)
}

// inTx runs a short transaction, and again when the database asks for that.
func (p *Pool) inTx(ctx context.Context, operation string, fn func(context.Context, pgx.Tx) error) error {
	return p.do(ctx, operation, func(ctx context.Context, conn *pgxpool.Conn) error {
		return retrySerialization(ctx, func() error {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return fmt.Errorf("begin: %w", err)
			}
			defer func() { _ = tx.Rollback(ctx) }() // does nothing after a commit
			if err := fn(ctx, tx); err != nil {
				return err
			}
			if err := tx.Commit(ctx); err != nil {
				return fmt.Errorf("commit: %w", err)
			}
			return nil
		})
	})
}
