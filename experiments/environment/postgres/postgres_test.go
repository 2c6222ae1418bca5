package postgres

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/redact"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

func TestMain(m *testing.M) {
	reexec.Hook()
	goleak.VerifyTestMain(m)
}

type nobody struct{}

func (nobody) Add(int) error    { return nil }
func (nobody) Forget(int) error { return nil }

// host prepares what a server needs, in a folder that the server's user can
// reach; it skips where there is no PostgreSQL.
func host(t *testing.T) Host {
	t.Helper()
	if _, found, err := Find(t.Context(), ""); err != nil || !found {
		t.Skip("no PostgreSQL on this machine:", err)
	}
	return bareHost(t)
}

func bareHost(t *testing.T) Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "st-pg-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	s := spawn.New(nobody{})
	t.Cleanup(func() {
		s.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return Host{Spawner: s, Scratch: dir}
}

func startServer(t *testing.T, d subject.Dependency) (*Server, *journal.Memory) {
	t.Helper()
	h := host(t)
	tmpl, err := Prepare(t.Context(), h, d)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := ports.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lease.Release)
	dir := filepath.Join(h.Scratch, "d0")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	j := journal.NewMemory(journal.Header{})
	var secrets redact.Secrets
	secrets.Add("owner-secret", "service-secret")
	s, err := Start(t.Context(), tmpl, Config{
		Dependency: d, Dir: dir, Port: lease.Port, Spawner: h.Spawner, Lines: spawn.NewLines(d.Name, j, &secrets),
		Journal: j, OwnerPassword: "owner-secret", ServicePassword: "service-secret",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(context.Background()), s.Stop(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return s, j
}

func migrationsDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, sql := range map[string]string{
		"0001_orders.sql": "-- +goose Up\nCREATE TABLE orders (id bigserial PRIMARY KEY, key text UNIQUE);\n" +
			"-- +goose Down\nDROP TABLE orders;",
		"0002_more.up.sql": "CREATE SCHEMA audit; CREATE TABLE audit.log (id int);" +
			"INSERT INTO orders (key) VALUES ('first')",
		"0002_more.down.sql": "syntax error",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(sql), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func dial(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

func TestRoles(t *testing.T) {
	s, _ := startServer(t, subject.Dependency{
		Name: "postgres", Kind: subject.Postgres, Migrations: migrationsDir(t),
		Settings: map[string]string{"work_mem": "7MB"},
	})
	service := dial(t, s.ServiceDSN())
	for _, sql := range []string{
		"INSERT INTO orders (key) VALUES ('a')", "UPDATE orders SET key = 'b'  WHERE key = 'a'",
		"DELETE FROM orders WHERE key = 'b'", "SELECT * FROM audit.log",
	} {
		if _, err := service.Exec(t.Context(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"CREATE TABLE mine (id int)", "DROP TABLE orders", "TRUNCATE orders", "CREATE DATABASE d",
	} {
		_, err := service.Exec(t.Context(), sql)
		if pg := (*pgconn.PgError)(nil); !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v, want permission denied", sql, err)
		}
	}
	owner := dial(t, s.References(s.Address())["owner_url"])
	if _, err := owner.Exec(t.Context(), "CREATE TABLE mine (id int)"); err != nil {
		t.Error("the owner:", err)
	}
	var workMem, fsync string
	if err := service.QueryRow(t.Context(), "SELECT current_setting('work_mem'), current_setting('fsync')").
		Scan(&workMem, &fsync); err != nil || workMem != "7MB" || fsync != "off" {
		t.Error(workMem, fsync, err)
	}
	wrong := strings.Replace(s.ServiceDSN(), "service-secret", "guess", 1)
	if _, err := pgx.Connect(t.Context(), wrong); err == nil {
		t.Error("a wrong password was accepted")
	}
}

func TestStopContinueKillRestart(t *testing.T) {
	s, j := startServer(t, subject.Dependency{Name: "postgres", Kind: subject.Postgres, Durable: true})
	ctx := t.Context()
	c := dial(t, s.ServiceDSN())
	if err := s.Signal(ctx, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := c.Exec(short, "SELECT 1"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an open connection's query while stopped: %v", err)
	}
	if err := s.Signal(ctx, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c = dial(t, s.ServiceDSN())
	if _, err := c.Exec(ctx, "SELECT 1"); err != nil {
		t.Error("after SIGCONT:", err)
	}
	if err := s.Signal(ctx, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitExit(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Admin(ctx); err == nil {
		t.Error("a killed server answers")
	}
	for range 2 { // once after a crash, once gently
		if err := s.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		dial(t, s.ServiceDSN())
	}
	segment, err := s.segment()
	if err != nil || segment == 0 {
		t.Fatal("the server made no shared memory:", segment, err)
	}
	if err := s.Signal(ctx, syscall.SIGSTOP); err != nil { // Stop must do with a stopped one
		t.Fatal(err)
	}
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.SysvShmCtl(segment, unix.IPC_STAT, &unix.SysvShmDesc{}); err == nil {
		t.Error("a server that had to be killed has left its shared memory")
	}
	var exits []journal.Exited
	for _, e := range journal.Of[journal.Exited](j) {
		e.PID = 0
		exits = append(exits, e)
	}
	want := []journal.Exited{
		{Code: -1, Signal: "killed", Asked: "SIGKILL"}, {Asked: "SIGINT"},
	}
	if diff := cmp.Diff(want, exits[:2]); diff != "" || len(exits) != 3 {
		t.Error(exits, diff)
	}
}

func TestBadInput(t *testing.T) {
	h := host(t)
	for want, d := range map[string]subject.Dependency{
		"pg: there are no programs postgres and initdb in /none": {Name: "pg", Bin: "/none"},
		"pg: the service's role cannot be called app_owner":      {Name: "pg", User: Owner},
	} {
		if _, err := Prepare(t.Context(), h, d); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	tmpl, err := Prepare(t.Context(), h, subject.Dependency{Name: "pg"})
	if err != nil {
		t.Fatal(err)
	}
	bad := t.TempDir()
	if err := os.WriteFile(filepath.Join(bad, "1_bad.sql"), []byte("CREATE TABEL x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, d := range map[string]subject.Dependency{
		`run migration 1_bad.sql: ERROR: syntax error`:      {Name: "pg", Migrations: bad},
		"read migrations: there is no .sql file in":         {Name: "pg", Migrations: t.TempDir()},
		"read migrations: stat /none":                       {Name: "pg", Migrations: "/none"},
		`unrecognized configuration parameter "no_setting"`: {Name: "pg", Settings: map[string]string{"no_setting": "1"}},
	} {
		dir, err := os.MkdirTemp(h.Scratch, "d")
		if err != nil {
			t.Fatal(err)
		}
		lease, err := ports.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Release()
		_, err = Start(t.Context(), tmpl, Config{
			Dependency: d, Dir: dir, Port: lease.Port, Spawner: h.Spawner, Lines: spawn.NewLines("pg", nil, nil),
		})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestFetchingThatCannotWork(t *testing.T) {
	h := bareHost(t)
	h.Repository = "http://127.0.0.1:1"
	err := unpack(t.Context(), h, filepath.Join(t.TempDir(), "pg"))
	if err == nil || !strings.Contains(err.Error(), "install postgresql, or set the dependency's bin") ||
		!strings.Contains(err.Error(), "127.0.0.1:1") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want the cause and what to do", err)
	}
}

// repository serves this machine's PostgreSQL in the form of the repository
// that missing binaries are fetched from: a jar that holds a .txz.
func repository(t *testing.T) string {
	t.Helper()
	roots, err := filepath.Glob("/usr/lib/postgresql/*")
	if err != nil || len(roots) == 0 {
		t.Skip("this machine's PostgreSQL is not where Debian has it:", err)
	}
	cmd := exec.Command("tar", "-C", roots[0], "--exclude=bitcode", "--exclude=pgxs", "--exclude=llvmjit*", "-cJf", "-",
		"bin/postgres", "bin/initdb", "bin/pg_ctl", "lib")
	cmd.Env = append(os.Environ(), "XZ_OPT=-0")
	txz, err := cmd.Output()
	if err != nil {
		t.Skip("tar and xz are needed here:", err)
	}
	var jar bytes.Buffer
	z := zip.NewWriter(&jar)
	f, err := z.Create("postgres.txz")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(txz); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".jar") {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestFetching(t *testing.T) {
	if testing.Short() {
		t.Skip("unpacking takes seconds of processor time")
	}
	h := bareHost(t)
	h.Repository = repository(t)
	to := filepath.Join(h.Scratch, "kept")
	if err := os.Mkdir(to, 0o700); err != nil { // an older one is replaced
		t.Fatal(err)
	}
	if err := unpack(t.Context(), h, to); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(to, "bin")
	b, found, err := Find(t.Context(), bin)
	if err != nil || !found || !strings.HasPrefix(b.Version, "postgres (PostgreSQL) ") {
		t.Errorf("%+v, %v, %v", b, found, err)
	}
	tmpl := &Template{Binaries: b, Data: filepath.Join(h.Scratch, "data"), Database: "app", Service: "app_service"}
	if tmpl.user, err = Unprivileged(); err != nil {
		t.Fatal(err)
	}
	if err := tmpl.make(t.Context(), h); err != nil {
		t.Error("the fetched programs do not run:", err)
	}
	left, err := filepath.Glob(filepath.Join(h.Scratch, "*"))
	if err != nil || len(left) != 2 {
		t.Error("left in the scratch folder:", left, err)
	}
}

func TestUp(t *testing.T) {
	for in, want := range map[string]string{
		"CREATE TABLE a ();":                    "CREATE TABLE a ();",
		"A\n-- migrate:down\nB":                 "A\n",
		"-- +goose Up\nA\n-- +goose Down\nB":    "-- +goose Up\nA\n",
		"-- going down is written here\nSELECT": "-- going down is written here\nSELECT",
	} {
		if got := up(in); got != want {
			t.Errorf("up(%q) = %q, want %q", in, got, want)
		}
	}
}
