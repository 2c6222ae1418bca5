package observe

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/journal"
)

// server is a PostgreSQL of the test's own.
type server struct {
	t        *testing.T
	bin, dir string
	port     string
	run      *exec.Cmd
}

// newServer makes one that is not started yet; it skips where there are no
// binaries.
func newServer(t *testing.T) *server {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil {
		found = []string{path}
	}
	if len(found) == 0 {
		t.Skip("no PostgreSQL on this machine")
	}
	dir, err := os.MkdirTemp("", "observe")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	_, port, _ := net.SplitHostPort(nobody(t))
	s := &server{t: t, bin: filepath.Dir(found[0]), dir: dir, port: port}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	out, err := s.command("initdb", "-D", dir+"/data", "-U", "admin", "-A", "trust", "-N", "--locale=C").CombinedOutput()
	if err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	return s
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd
}

func (s *server) start() {
	s.t.Helper()
	s.run = s.command("postgres", "-D", s.dir+"/data", "-p", s.port, "-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=23")
	if err := s.run.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.stop)
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		if conn, err := s.connect("admin")(s.t.Context()); err == nil {
			conn.Close(s.t.Context())
			return
		}
		timer := time.NewTimer(20 * time.Millisecond)
		<-timer.C
	}
	s.t.Fatal("postgres: not ready after 20 s")
}

// stop ends it as an immediate shutdown does.
func (s *server) stop() {
	if s.run != nil {
		_ = s.run.Process.Signal(syscall.SIGQUIT)
		_ = s.run.Wait()
		s.run = nil
	}
}

func (s *server) connect(role string) func(context.Context) (*pgx.Conn, error) {
	return func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.Connect(ctx, fmt.Sprintf("postgres://%s@127.0.0.1:%s/postgres?application_name=orders", role, s.port))
	}
}

func (s *server) session(role string) *pgx.Conn {
	s.t.Helper()
	conn, err := s.connect(role)(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func TestPostgres(t *testing.T) {
	s := newServer(t)
	s.start()
	admin := s.session("admin")
	if _, err := admin.Exec(t.Context(), "CREATE ROLE service LOGIN; CREATE TABLE items ()"); err != nil {
		t.Fatal(err)
	}
	t.Run("backends", s.testBackends)
	t.Run("locks", s.testLocks)
	t.Run("round trip", func(t *testing.T) {
		o := &RoundTrip{Kind: "postgres", Address: net.JoinHostPort("127.0.0.1", s.port)}
		for _, r := range observed[journal.RoundTrip](t, o, 250*time.Millisecond) {
			if r.Err != "" || r.Down != 1 || r.RTT <= 0 {
				t.Errorf("a real server answered as %+v", r)
			}
		}
	})
	t.Run("restart", s.testRestart)
}

// testBackends has the service idle, in a transaction and waiting for a lock.
func (s *server) testBackends(t *testing.T) {
	s.session("service")
	admin, holder, waiter := s.session("admin"), s.session("service"), s.session("service")
	if _, err := admin.Exec(t.Context(), "GRANT ALL ON items TO service"); err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE items"); err != nil {
		t.Fatal(err)
	}
	waited := make(chan error, 1)
	go func() {
		_, err := waiter.Exec(context.Background(), "SELECT FROM items")
		waited <- err
	}()
	samples := observed[journal.Activity](t, &Postgres{Role: "service", Connect: s.connect("admin")}, 550*time.Millisecond)
	if _, err := holder.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	<-waited
	if len(samples) < 4 || len(samples) > 6 {
		t.Fatalf("%d samples in 550 ms", len(samples))
	}
	last := samples[len(samples)-1]
	if last.Err != "" || last.MaxConnections != 23 || len(last.Backends) != 3 {
		t.Fatalf("recorded %+v", last)
	}
	states := map[string]journal.Backend{}
	for _, b := range last.Backends {
		states[b.State] = b
		if b.User != "service" || b.App != "orders" || !strings.HasPrefix(b.Client, "127.0.0.1:") || b.PID == 0 ||
			b.Age < 300*time.Millisecond || b.Age > 20*time.Second {
			t.Errorf("a backend is recorded as %+v", b)
		}
	}
	if b := states["idle"]; b.XactAge != 0 || b.QueryAge != 0 {
		t.Errorf("an idle one: %+v", b)
	}
	if b := states["idle in transaction"]; b.XactAge < 300*time.Millisecond || b.QueryAge != 0 {
		t.Errorf("an idle one in a transaction: %+v", b)
	}
	if b := states["active"]; b.WaitType != "Lock" || b.Wait != "relation" || b.QueryAge < 300*time.Millisecond {
		t.Errorf("a waiting one: %+v", b)
	}
}

func (s *server) testRestart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	m := journal.NewMemory(journal.Header{})
	done := make(chan error, 1)
	go func() {
		done <- (&Postgres{Dependency: "db", Role: "service", Connect: s.connect("admin")}).Observe(ctx, m)
	}()
	good := func() bool {
		all := bodies[journal.Activity](m)
		return len(all) > 0 && all[len(all)-1].Err == ""
	}
	refused := func() bool {
		return slices.ContainsFunc(bodies[journal.Activity](m), func(a journal.Activity) bool {
			return a.Err == journal.ErrRefused
		})
	}
	until(t, good)
	s.stop()
	until(t, refused)
	s.start()
	until(t, good)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, is func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for range 500 {
		if is() {
			return
		}
		<-ticker.C
	}
	t.Fatal("it did not come to that within 10 s")
}
