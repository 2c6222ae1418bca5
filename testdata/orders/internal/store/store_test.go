package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

// forms are the store on database/sql with either driver and on pgx's own pool.
var forms = map[string]func(t *testing.T, url string, limits Limits) keeper{
	"database/sql": func(t *testing.T, url string, limits Limits) keeper { return open(t, url, limits) },
	"pgxpool":      func(t *testing.T, url string, limits Limits) keeper { return openPool(t, url, limits) },
	"lib/pq":       func(t *testing.T, url string, limits Limits) keeper { return openPQ(t, url, limits) },
}

func TestStore(t *testing.T) {
	eachForm(t, func(t *testing.T, open func(*testing.T, string, Limits) keeper) {
		server, owner := migrated(t)
		p := open(t, server.ServiceDSN(), Limits{MaxOpen: 4, Statement: 5 * time.Second})
		if err := p.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Run("create", func(t *testing.T) { testCreate(t, p) })
		t.Run("settle", func(t *testing.T) { testSettle(t, p) })
		t.Run("pages", func(t *testing.T) { testPages(t, p) })
		t.Run("pending", func(t *testing.T) { testPending(t, p) })
		t.Run("serialization", func(t *testing.T) { testSerialization(t, p) })
		t.Run("ledger", func(t *testing.T) { testLedger(t, p, server.ServiceDSN()) })
		t.Run("notes", func(t *testing.T) { testNotes(t, p) })
		t.Run("privileges", func(t *testing.T) { testPrivileges(t, server, owner) })
		t.Run("full pool", func(t *testing.T) { testFullPool(t, open, server) })
		t.Run("sessions", func(t *testing.T) { testSessions(t, p, server) })
		t.Run("terminated", func(t *testing.T) { testTerminated(t, p, server) })
		t.Run("silence", func(t *testing.T) { testSilence(t, open, server) })
		t.Run("drill", func(t *testing.T) { testDrill(t, open, server) })
	})
}

// testCreate has eight callers with the same key: one order is stored, and all
// of them get it.
func testCreate(t *testing.T, p keeper) {
	const callers = 8
	got := make([]string, callers)
	var wg sync.WaitGroup
	for n := range callers {
		wg.Go(func() {
			o, print, err := p.Create(t.Context(), order(fmt.Sprint("one-", n)), "the-same-key", fmt.Sprint("print-", n))
			if err != nil || "one-"+strings.TrimPrefix(print, "print-") != o.ID {
				t.Errorf("got %s with %s: %v", o.ID, print, err)
			}
			got[n] = o.ID
		})
	}
	wg.Wait()
	if ids := slices.Compact(got); len(ids) != 1 {
		t.Fatalf("stored %v", ids)
	}
	stored, err := p.Get(t.Context(), got[0])
	if err != nil || stored.CreatedAt.IsZero() {
		t.Fatal(stored, err)
	}
	want := order(got[0])
	want.CreatedAt = stored.CreatedAt
	if d := cmp.Diff(want, stored); d != "" {
		t.Error(d)
	}
	if _, err := p.Get(t.Context(), "nobody's"); !errors.Is(err, orders.ErrNotFound) || errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want not found", err)
	}
}

func testSettle(t *testing.T, p keeper) {
	create(t, p, "settled")
	for n := range 2 {
		if err := p.Settle(t.Context(), "settled", orders.Paid); err != nil {
			t.Errorf("time %d: %v", n+1, err)
		}
	}
	if err := p.Settle(t.Context(), "settled", orders.Failed); !errors.Is(err, errNotPending) {
		t.Errorf("a paid order became failed: %v", err)
	}
	if o, err := p.Get(t.Context(), "settled"); err != nil || o.Status != orders.Paid {
		t.Error(o, err)
	}
}

func testPages(t *testing.T, p keeper) {
	for n := range 5 {
		create(t, p, fmt.Sprint("page-", n))
	}
	var ids []string
	cursor, pages := "", 0
	for {
		page, next, err := p.List(t.Context(), cursor, "", 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page {
			ids = append(ids, o.ID)
		}
		pages++
		if cursor = next; cursor == "" {
			break
		}
	}
	// Newest first; two older ones are there from before.
	want := []string{"page-4", "page-3", "page-2", "page-1", "page-0", "settled"}
	if d := cmp.Diff(want, ids[:6]); d != "" || len(ids) != 7 || pages != 4 {
		t.Errorf("%d orders on %d pages: %s", len(ids), pages, d)
	}
	for _, by := range []orders.Sort{"", orders.SortByTotal, orders.SortByCustomer} {
		page, next, err := p.List(t.Context(), "", by, 2)
		if err != nil || page[0].ID != "page-4" || next == "" {
			t.Errorf("sorted by %q: %v, %q, %v", by, page, next, err)
		}
	}
	var invalid *orders.InvalidError
	if _, _, err := p.List(t.Context(), "no cursor!", "", 2); !errors.As(err, &invalid) {
		t.Errorf("got %v, want invalid", err)
	}
}

func testPending(t *testing.T, p keeper) {
	pending, err := p.Pending(t.Context(), 0, 3)
	if err != nil || len(pending) != 3 {
		t.Fatalf("got %v: %v", pending, err)
	}
	for _, o := range pending {
		if o.ID == "settled" || o.TotalCents != 105 || o.Final() {
			t.Errorf("got %+v", o)
		}
	}
	if pending, err := p.Pending(t.Context(), time.Hour, 3); err != nil || len(pending) != 0 {
		t.Errorf("pending for an hour: %v: %v", pending, err)
	}
}

// testSerialization has two transactions read what the other one changes. The
// second to commit is refused by the database, and is tried again.
func testSerialization(t *testing.T, p keeper) {
	create(t, p, "contended")
	tries := 0
	err := inTx(t, p, func(ctx context.Context, exec func(string) error) error {
		tries++
		if err := exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
			return err
		}
		if err := exec("SELECT count(*) FROM orders"); err != nil {
			return err
		}
		if tries == 1 { // another one changes the row after it has been seen
			if err := p.Settle(ctx, "contended", orders.Paid); err != nil {
				return err
			}
		}
		return exec("UPDATE orders SET status = 'paid' WHERE id = 'contended'")
	})
	if err != nil || tries != 2 {
		t.Errorf("%d tries: %v", tries, err)
	}
}

// testPrivileges has a role that may do what the migration grants, and no more.
func testPrivileges(t *testing.T, server *postgres.Server, owner string) {
	admin, err := server.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	const role = `odd "role"`
	if _, err := admin.Exec(t.Context(), "CREATE ROLE "+pgx.Identifier{role}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	if _, err := Migrate(t.Context(), owner, role); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), "SET ROLE "+pgx.Identifier{role}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), "UPDATE orders SET status = 'paid' WHERE id = 'nobody'"); err != nil {
		t.Error(err)
	}
	for _, statement := range []string{
		"DELETE FROM orders", "UPDATE orders SET total_cents = 0", "DROP TABLE orders", "UPDATE order_items SET line = 9",
	} {
		_, err := admin.Exec(t.Context(), statement)
		if pg := (*pgconn.PgError)(nil); !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v, want permission denied", statement, err)
		}
	}
}

// testFullPool has the only connection in use, by a statement that waits for a
// lock: others wait for as long as an operation may take, and no longer, and so
// does the one that has the connection.
func testFullPool(t *testing.T, open func(*testing.T, string, Limits) keeper, server *postgres.Server) {
	p := open(t, server.ServiceDSN(), Limits{MaxOpen: 1, Statement: 300 * time.Millisecond})
	admin, err := server.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	if _, err := admin.Exec(t.Context(), "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			began := time.Now()
			_, err := p.Get(t.Context(), "settled")
			took := time.Since(began)
			if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
	wg.Wait()
	if _, err := admin.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Get(t.Context(), "settled"); err != nil {
		t.Error(err)
	}
}

// testSessions asks the database what it knows of the store's connections.
func testSessions(t *testing.T, p keeper, server *postgres.Server) {
	if _, err := p.Get(t.Context(), "settled"); err != nil {
		t.Fatal(err)
	}
	admin, err := server.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	var connections int
	if err := admin.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'store-test' AND state = 'idle'`).Scan(&connections); err != nil {
		t.Fatal(err)
	}
	if connections < 1 || connections > 5 { // testFullPool may still have one
		t.Errorf("%d connections under the store's name, want 1 to 5", connections)
	}
	err = inTx(t, p, func(_ context.Context, exec func(string) error) error {
		return exec(`SELECT 1 / (current_setting('statement_timeout') = '15s' AND
current_setting('idle_in_transaction_session_timeout') = '15s')::int`)
	})
	if err != nil {
		t.Errorf("the timeouts are not what they should be: %v", err)
	}
}

// testTerminated has the database end all connections: each may fail one
// operation, and none is handed out twice.
func testTerminated(t *testing.T, p keeper, server *postgres.Server) {
	var wg sync.WaitGroup
	for range 4 { // as many as may be open
		wg.Go(func() {
			if _, err := p.Get(t.Context(), "settled"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	admin, err := server.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(context.Background()) }()
	var ended int
	if err := admin.QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name = 'store-test'`).Scan(&ended); err != nil || ended == 0 {
		t.Fatalf("%d connections were ended: %v", ended, err)
	}
	failed := 0
	for range 20 {
		if _, err := p.Get(t.Context(), "settled"); err != nil {
			failed++
		}
	}
	if failed > ended {
		t.Errorf("%d operations failed after %d connections were ended", failed, ended)
	}
}

// TestWithoutDatabase asks a port where nobody listens.
func TestWithoutDatabase(t *testing.T) {
	eachForm(t, func(t *testing.T, open func(*testing.T, string, Limits) keeper) {
		p := open(t, "postgres://u:hunter2@127.0.0.1:1/orders", Limits{MaxOpen: 1, Statement: time.Second})
		if err := p.Ping(t.Context()); err == nil {
			t.Error("nobody answers a ping")
		}
		err := p.Settle(t.Context(), "x", orders.Paid)
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, orders.ErrUncertain) {
			t.Errorf("got %v, want unavailable and not uncertain", err)
		}
	})
	const unreadable = "postgres://u:hunter2@:x/"
	_, err := Open(unreadable, "n", Limits{}, nil)
	_, errOfPool := OpenPool(t.Context(), unreadable, "n", Limits{}, nil)
	_, errOfPQ := OpenPQ(unreadable, "n", Limits{}, nil)
	for _, err := range []error{err, errOfPool, errOfPQ} {
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v, want an error without the password", err)
		}
	}
}

func TestUnsure(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"refused by the database": {&pgconn.PgError{Code: "23514"}, false},
		"not sent":                {driver.ErrBadConn, false},
		"cut off":                 {errors.New("unexpected EOF"), true},
		"out of time":             {context.DeadlineExceeded, true},
	} {
		if got := errors.Is(unsure(fmt.Errorf("exec: %w", c.err)), orders.ErrUncertain); got != c.want {
			t.Errorf("%s: uncertain is %v, want %v", name, got, c.want)
		}
	}
}

// testDrill panics more often than there are connections.
func testDrill(t *testing.T, open func(*testing.T, string, Limits) keeper, server *postgres.Server) {
	p := open(t, server.ServiceDSN(), Limits{MaxOpen: 1, Statement: 5 * time.Second})
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("it did not panic")
				}
			}()
			if err := p.Drill(t.Context()); err != nil {
				t.Error(err)
			}
		}()
	}
	if err := p.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
