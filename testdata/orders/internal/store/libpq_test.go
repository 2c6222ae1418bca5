package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/lib/pq"

	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

// TestPQErrors holds lib/pq's errors to what the store knows.
func TestPQErrors(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	var refused *pgconn.PgError
	if err := pqError(over, &pq.Error{Code: "40001"}); !errors.As(err, &refused) || refused.Code != "40001" ||
		!errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want what the database said, and why", err)
	}
	if err := pqError(t.Context(), driver.ErrBadConn); errors.Is(err, driver.ErrBadConn) ||
		!errors.Is(unsure(err), orders.ErrUncertain) {
		t.Errorf("got %v, from which nothing may be concluded", err)
	}
	for _, same := range []error{nil, io.ErrUnexpectedEOF} {
		if err := pqError(t.Context(), same); err != same { //nolint:errorlint // it is to be this very value
			t.Errorf("got %v, want %v", err, same)
		}
	}
}

// line is a way to a server on which it can become silent, as when packets are
// lost: nothing arrives any more, and nobody hears of it.
type line struct {
	net.Listener
	to     string
	silent atomic.Bool
	wg     sync.WaitGroup
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	l := &line{to: to}
	var lc net.ListenConfig
	var err error
	if l.Listener, err = lc.Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	l.wg.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { l.relay(ctx, from) })
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		l.wg.Wait()
	})
	return l
}

func (l *line) relay(ctx context.Context, from net.Conn) {
	var d net.Dialer
	to, err := d.DialContext(ctx, "tcp", l.to)
	if err != nil {
		_ = from.Close()
		return
	}
	end := func() { _, _ = from.Close(), to.Close() }
	defer context.AfterFunc(ctx, end)()
	var both sync.WaitGroup
	both.Go(func() { l.forward(from, to); end() })
	both.Go(func() { l.forward(to, from); end() })
	both.Wait()
}

func (l *line) forward(from, to net.Conn) {
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if l.silent.Load() {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// testSilence has the line to the database become silent, for connections that
// are open and for new ones: nothing takes longer than it may, or than whoever
// asked waits for it, and afterwards all is well.
func testSilence(t *testing.T, open func(*testing.T, string, Limits) keeper, server *postgres.Server) {
	l := newLine(t, server.Address())
	u, err := url.Parse(server.ServiceDSN())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	p := open(t, u.String(), Limits{MaxOpen: 2, Statement: time.Second})
	if _, err := p.Get(t.Context(), "settled"); err != nil {
		t.Fatal(err)
	}
	l.silent.Store(true)
	for _, c := range []struct {
		what  string
		waits time.Duration // of who asks
		want  error
	}{
		{"open", time.Minute, context.DeadlineExceeded},
		{"new", time.Minute, context.DeadlineExceeded},
		{"left", 200 * time.Millisecond, context.Canceled},
	} {
		ctx, hangUp := context.WithCancel(t.Context())
		leave := time.AfterFunc(c.waits, hangUp)
		began := time.Now()
		err := p.Settle(ctx, "settled", orders.Paid)
		if took := time.Since(began); !errors.Is(err, c.want) || took > 5*time.Second {
			t.Errorf("%s: after %v: %v", c.what, took, err)
		}
		leave.Stop()
		hangUp()
	}
	l.silent.Store(false)
	for late := time.Now().Add(10 * time.Second); ; { // one that was begun in the silence may still hold a place
		_, err := p.Get(t.Context(), "settled")
		if err == nil {
			return
		}
		if time.Now().After(late) {
			t.Fatal("once it is heard again:", err)
		}
	}
}
