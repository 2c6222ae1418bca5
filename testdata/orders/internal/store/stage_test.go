package store

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/redact"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

func TestMain(m *testing.M) {
	reexec.Hook()
	os.Exit(m.Run())
}

type nobody struct{}

func (nobody) Add(int) error { return nil }

func (nobody) Forget(int) error { return nil }

// startServer starts a PostgreSQL with the orders' schema; it skips where there
// is none.
func startServer(t *testing.T) *postgres.Server {
	t.Helper()
	if _, found, err := postgres.Find(t.Context(), ""); err != nil || !found {
		t.Skip("no PostgreSQL on this machine:", err)
	}
	dir, err := os.MkdirTemp("", "orders-store-")
	if err == nil {
		err = os.Chmod(dir, 0o711) // the server runs as another user
	}
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "data"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	spawner := spawn.New(nobody{})
	t.Cleanup(func() {
		spawner.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	dependency := subject.Dependency{Name: "postgres", Kind: subject.Postgres, Database: "orders", User: "orders_service"}
	template, err := postgres.Prepare(t.Context(), postgres.Host{Spawner: spawner, Scratch: dir}, dependency)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := ports.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lease.Release)
	j := journal.NewMemory(journal.Header{})
	server, err := postgres.Start(t.Context(), template, postgres.Config{
		Dependency: dependency, Dir: filepath.Join(dir, "data"), Port: lease.Port, Spawner: spawner, Journal: j,
		Lines: spawn.NewLines("postgres", j, &redact.Secrets{}), OwnerPassword: "owner", ServicePassword: "service",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

// keeper is a store in either form.
type keeper interface {
	orders.Store
	Drill(ctx context.Context) error
	Ping(ctx context.Context) error
	Close() error
}

func eachForm(t *testing.T, f func(t *testing.T, open func(*testing.T, string, Limits) keeper)) {
	for name, open := range forms {
		t.Run(name, func(t *testing.T) { f(t, open) })
	}
}

// migrated is a server with the schema, made twice, and the URL of its owner.
func migrated(t *testing.T) (server *postgres.Server, owner string) {
	t.Helper()
	server = startServer(t)
	owner = server.References(server.Address())["owner_url"]
	for n, want := range []int{1, 0} {
		applied, err := Migrate(t.Context(), owner, server.ServiceRole())
		if err != nil || applied != want {
			t.Fatalf("migrate, time %d: %d applied, want %d: %v", n+1, applied, want, err)
		}
	}
	return server, owner
}

func open(t *testing.T, url string, limits Limits) *Postgres {
	t.Helper()
	p, err := Open(url, "store-test", limits, func(string, string, string, time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func openPool(t *testing.T, url string, limits Limits) *Pool {
	t.Helper()
	p, err := OpenPool(t.Context(), url, "store-test", limits, func(string, string, string, time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func openPQ(t *testing.T, url string, limits Limits) *Postgres {
	t.Helper()
	p, err := OpenPQ(url, "store-test", limits, func(string, string, string, time.Duration) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func order(id string) orders.Order {
	return orders.Order{
		ID: id, Customer: "Ada'; DROP TABLE orders; --", Status: orders.Pending, TotalCents: 105,
		Items: []orders.Item{{SKU: "b", Quantity: 2, PriceCents: 50}, {SKU: "a", Quantity: 1, PriceCents: 5}},
	}
}

func create(t *testing.T, p keeper, id string) {
	t.Helper()
	if _, _, err := p.Create(t.Context(), order(id), "key-"+id, "print"); err != nil {
		t.Fatal(err)
	}
}

// inTx runs a transaction of a store in either form.
func inTx(t *testing.T, p keeper, fn func(ctx context.Context, exec func(string) error) error) error {
	t.Helper()
	if p, ok := p.(*Pool); ok {
		return p.inTx(t.Context(), "contend", func(ctx context.Context, tx pgx.Tx) error {
			return fn(ctx, func(statement string) error {
				_, err := tx.Exec(ctx, statement)
				return err
			})
		})
	}
	return p.(*Postgres).inTx(t.Context(), "contend", func(ctx context.Context, tx *sql.Tx) error {
		return fn(ctx, func(statement string) error {
			_, err := tx.ExecContext(ctx, statement)
			return err
		})
	})
}
