package faults_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// plain is a database without a proxy.
type plain struct{ admin, service string }

func (plain) Name() string                                   { return "db" }
func (plain) Kind() string                                   { return "postgres" }
func (p plain) Admin(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, p.admin) }
func (plain) ServiceRole() string                            { return "app_service" }
func (p plain) ServiceDSN() string                           { return p.service }
func (plain) Mark() string                                   { return "seatrial-run-1" }

func plainDatabase(t *testing.T) plain {
	t.Helper()
	address := postgrestest.Start(t)
	dsn := func(user string) string { return "postgres://" + user + "@" + address + "/app?sslmode=disable" }
	return plain{dsn("postgres"), dsn("app_service")}
}

// connect is the service's connection.
func (p plain) connect(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func TestRefuseWritesValidates(t *testing.T) {
	for name, edit := range map[string]func(*faults.RefuseWrites){
		"codes":  func(f *faults.RefuseWrites) { f.Codes = nil },
		"code":   func(f *faults.RefuseWrites) { f.Codes = []string{"4000'"} },
		"at":     func(f *faults.RefuseWrites) { f.At = "begin" },
		"refuse": func(f *faults.RefuseWrites) { f.Refuse = -1 },
		"on":     func(f *faults.RefuseWrites) { f.On = []string{"select"} },
		"within": func(f *faults.RefuseWrites) { f.Within = 0 },
	} {
		made, err := faults.New("refuse_writes")
		if err != nil {
			t.Fatal(err)
		}
		f := made.(*faults.RefuseWrites)
		if err := f.Supports(plain{}); err != nil {
			t.Error(err)
		}
		edit(f)
		if err := f.Supports(plain{}); err == nil || !strings.Contains(err.Error(), "refuse_writes: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// write makes one transaction of two inserts, and returns the SQLSTATE it ended
// with and whether that came only with COMMIT.
func write(t *testing.T, conn *pgx.Conn) (code string, atCommit bool) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	for range 2 {
		if _, err = tx.Exec(t.Context(), "INSERT INTO orders VALUES (2)"); err != nil {
			break
		}
	}
	if err == nil {
		err, atCommit = tx.Commit(t.Context()), true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code, atCommit
	}
	if err != nil {
		t.Fatal(err)
	}
	return "", false
}

// TestRefuseWritesCounts has five transactions: two attempts are refused with the
// one code, one is let through, and it goes on with the other.
func TestRefuseWritesCounts(t *testing.T) {
	db := plainDatabase(t)
	for _, at := range []string{"statement", "commit"} {
		t.Run(at, func(t *testing.T) {
			f := &faults.RefuseWrites{
				Codes: []string{"40001", "40P01"}, At: at, Refuse: 2, On: []string{"insert"}, Within: 5 * time.Second,
				Tables: []string{"orders"},
			}
			rec := journal.NewMemory(journal.Header{})
			began := rec.Now()
			injection, err := f.Inject(t.Context(), db)
			if err != nil {
				t.Fatal(err)
			}
			conn := db.connect(t)
			var got []string
			for range 5 {
				code, late := write(t, conn)
				if code != "" && late != (at == "commit") {
					t.Errorf("%s came at commit: %v", code, late)
				}
				got = append(got, code)
			}
			want := []string{"40001", "40001", "", "40P01", "40P01"}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if err := injection.Revert(t.Context()); err != nil {
				t.Fatal(err)
			}
			injection.(faults.Reporter).Report(rec)
			var counted []string
			last := began
			for e, a := range journal.Of[journal.Attempt](rec) {
				counted = append(counted, a.Code)
				if a.N != len(counted) || a.PID == 0 || a.Refuse != 2 || e.At < last || e.At > rec.Now() {
					t.Errorf("attempt at %v (began %v): %+v", e.At, began, a)
				}
				last = e.At
			}
			if d := cmp.Diff(want, counted); d != "" {
				t.Error("counted:", d)
			}
			if code, _ := write(t, conn); code != "" {
				t.Errorf("after the revert: %s", code)
			}
			nothingLeft(t, db)
		})
	}
}

// nothingLeft wants no schema and no trigger of ours.
func nothingLeft(t *testing.T, db plain) {
	t.Helper()
	conn, err := db.Admin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var n int
	err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'seatrial%') +
		(SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'seatrial%')`).Scan(&n)
	if err != nil || n != 0 {
		t.Errorf("%d things of ours are left: %v", n, err)
	}
}

// TestRefuseWritesFails has no table to put a trigger on: nothing is left behind.
func TestRefuseWritesFails(t *testing.T) {
	db := plainDatabase(t)
	f := &faults.RefuseWrites{
		Codes: []string{"40001"}, At: "statement", On: []string{"insert"}, Within: time.Second, Tables: []string{"nowhere"},
	}
	if _, err := f.Inject(t.Context(), db); err == nil || !strings.Contains(fmt.Sprint(err), "nowhere") {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, db)
}

// TestDeadlockIsReal has one transaction in the deadlock; the next ones are let
// through.
func TestDeadlockIsReal(t *testing.T) {
	db := plainDatabase(t)
	injection, err := (&faults.Deadlock{Within: 5 * time.Second}).Inject(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	conn := db.connect(t)
	var got []string
	for range 3 {
		code, _ := write(t, conn)
		got = append(got, code)
	}
	if d := cmp.Diff([]string{"40P01", "", ""}, got); d != "" {
		t.Error(d)
	}
	for range 2 {
		if err := injection.Revert(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	nothingLeft(t, db)
}
