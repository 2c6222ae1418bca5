package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// OpenPQ prepares a pool as [Open] does, with lib/pq as the driver in place of
// pgx.
func OpenPQ(address, name string, limits Limits, observe telemetry.Observer) (*Postgres, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errURL
	}
	query := u.Query()
	query.Set("connect_timeout", "2")
	for key, value := range settings(name) {
		query.Set(key, value)
	}
	u.RawQuery = query.Encode()
	connector, err := pq.NewConnector(u.String())
	if err != nil {
		return nil, errURL
	}
	return &Postgres{db: pooled(sql.OpenDB(pqConnector{connector}), limits), limits: limits, observe: observe}, nil
}

// pqConnector opens connections of lib/pq that end what they do with its
// context, and whose errors are those that the store knows of pgx.
//
// When a context ends, lib/pq itself asks the server to cancel the statement and
// then waits for the answer, for ever where the network is silent; and it heeds
// no context while it connects.
type pqConnector struct{ *pq.Connector }

// Connect implements [driver.Connector].
func (c pqConnector) Connect(ctx context.Context) (driver.Conn, error) {
	line := &pqLine{}
	own := *c.Connector
	own.Dialer(line)
	stop := context.AfterFunc(ctx, line.cut)
	defer stop()
	conn, err := own.Connect(ctx)
	if err != nil {
		return nil, pqError(ctx, err)
	}
	return &pqConn{pqDriver: conn.(pqDriver), line: line}, nil
}

// pqLine dials for one connection, and remembers it. What it dials later are
// requests to cancel a statement.
type pqLine struct {
	net.Dialer

	mu   sync.Mutex
	conn net.Conn
}

// Dial implements [pq.Dialer].
func (l *pqLine) Dial(network, address string) (net.Conn, error) {
	return l.DialContext(context.Background(), network, address)
}

// DialTimeout implements [pq.Dialer].
func (l *pqLine) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.DialContext(ctx, network, address)
}

// DialContext implements [pq.DialerContext].
func (l *pqLine) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := l.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		l.conn = conn
	}
	return conn, nil
}

// cancelsWithin is how long the server has to answer a cancelled statement.
const cancelsWithin = 100 * time.Millisecond

// cut has the connection's reads and writes fail in a moment.
func (l *pqLine) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		_ = l.conn.SetDeadline(time.Now().Add(cancelsWithin))
	}
}

// pqDriver is what lib/pq's connections can do of which there is need here.
type pqDriver interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type pqConn struct {
	pqDriver
	line    *pqLine
	spoiled atomic.Bool // must not be used again
}

// bind has what is done until it is released end with a context.
func (c *pqConn) bind(ctx context.Context) (release func()) {
	stop := context.AfterFunc(ctx, c.line.cut)
	return sync.OnceFunc(func() {
		if !stop() {
			c.spoiled.Store(true)
		}
	})
}

// failed is an error in the store's terms. Whatever was no answer of the
// database leaves the connection in a state that nobody knows.
func (c *pqConn) failed(ctx context.Context, err error) error {
	var refused *pq.Error
	if err != nil && !errors.As(err, &refused) {
		c.spoiled.Store(true)
	}
	return pqError(ctx, err)
}

// errBroken stands for [driver.ErrBadConn], which lib/pq says also when a
// connection broke after a statement had been sent, so that nothing may be
// concluded from it.
var errBroken = errors.New("the connection broke")

// pqError is an error of lib/pq as pgx would have told it: that of the context
// where that has ended, and the database's refusals in its own type.
func pqError(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var refused *pq.Error
	switch {
	case errors.As(err, &refused):
		err = &pgconn.PgError{Severity: refused.Severity, Code: string(refused.Code), Message: refused.Message}
	case errors.Is(err, driver.ErrBadConn):
		err = errBroken
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) {
		return fmt.Errorf("%w: %w", ended, err)
	}
	return err
}

// CheckNamedValue has slices sent as arrays; all else as usual.
func (c *pqConn) CheckNamedValue(v *driver.NamedValue) (err error) {
	switch v.Value.(type) {
	case []string, []int64:
		v.Value, err = pq.Array(v.Value).Value()
		return err
	}
	return driver.ErrSkip
}

// IsValid implements [driver.Validator].
func (c *pqConn) IsValid() bool { return !c.spoiled.Load() && c.pqDriver.IsValid() }

// Ping implements [driver.Pinger]. It may say [driver.ErrBadConn]: another
// connection is tried then, and asking twice does no harm.
func (c *pqConn) Ping(ctx context.Context) error {
	defer c.bind(ctx)()
	return c.pqDriver.Ping(ctx)
}

// ExecContext implements [driver.ExecerContext].
func (c *pqConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	defer c.bind(ctx)()
	result, err := c.pqDriver.ExecContext(ctx, query, args)
	return result, c.failed(ctx, err)
}

// QueryContext implements [driver.QueryerContext].
func (c *pqConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	release := c.bind(ctx)
	rows, err := c.pqDriver.QueryContext(ctx, query, args)
	if err != nil {
		release()
		return nil, c.failed(ctx, err)
	}
	return &pqRows{Rows: rows, conn: c, ctx: ctx, release: release}, nil
}

// BeginTx implements [driver.ConnBeginTx].
func (c *pqConn) BeginTx(ctx context.Context, options driver.TxOptions) (driver.Tx, error) {
	release := c.bind(ctx)
	tx, err := c.pqDriver.BeginTx(ctx, options)
	if err != nil {
		release()
		return nil, c.failed(ctx, err)
	}
	return &pqTx{Tx: tx, conn: c, ctx: ctx, release: release}, nil
}

// pqRows are the rows of a statement, which ends with its context.
type pqRows struct {
	driver.Rows
	conn    *pqConn
	ctx     context.Context //nolint:containedctx // database/sql hands it over once, for all that follows
	release func()
}

// Next implements [driver.Rows].
func (r *pqRows) Next(row []driver.Value) error {
	err := r.Rows.Next(row)
	if err == io.EOF { //nolint:errorlint // this very value is the end of the rows
		return err
	}
	return r.conn.failed(r.ctx, err)
}

// Close implements [driver.Rows].
func (r *pqRows) Close() error {
	defer r.release()
	return r.conn.failed(r.ctx, r.Rows.Close())
}

// pqTx is a transaction, which ends with its context.
type pqTx struct {
	driver.Tx
	conn    *pqConn
	ctx     context.Context //nolint:containedctx // database/sql hands it over once, for all that follows
	release func()
}

// Commit implements [driver.Tx].
func (t *pqTx) Commit() error {
	defer t.release()
	return t.conn.failed(t.ctx, t.Tx.Commit())
}

// Rollback implements [driver.Tx].
func (t *pqTx) Rollback() error {
	defer t.release()
	return t.conn.failed(t.ctx, t.Tx.Rollback())
}
