package faults_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/agent/agenttest"
	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/observe"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// stage is a target in use: what a service and observers would do with it.
type stage struct {
	target   faults.Target
	rec      *journal.Memory
	agent    *agent.Agent // nil: the target has none
	tasks    []func(context.Context)
	working  func() error // whether a new use of the target works
	stopping context.CancelFunc
	wait     sync.WaitGroup
}

// each is a task that is done again and again, so often, until the end.
func each(every time.Duration, f func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for ctx.Err() == nil {
			f(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}
}

func (s *stage) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s.stopping = cancel
	for _, task := range s.tasks {
		s.wait.Go(func() { task(ctx) })
	}
	t.Cleanup(func() { cancel(); s.wait.Wait() })
}

// stop ends all use, and has the agent's records in.
func (s *stage) stop(t *testing.T) {
	t.Helper()
	s.stopping()
	s.wait.Wait()
	if s.agent == nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := s.agent.Flush(ctx); err != nil {
		t.Error(err)
	}
}

// restored wants the target to work now: once, without another try.
func (s *stage) restored(t *testing.T) {
	t.Helper()
	if err := s.working(); err != nil {
		t.Errorf("after the revert: %v", err)
	}
}

// goroutines is how many the agent settles at.
func (s *stage) goroutines(t *testing.T) int {
	t.Helper()
	if s.agent == nil {
		return 0
	}
	least := 1 << 30
	for range 10 {
		h, err := s.agent.Health(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		least = min(least, h.Goroutines)
		pause(20 * time.Millisecond)
	}
	return least
}

// httpStage is an HTTP stub with a service that calls it.
func httpStage(t *testing.T) *stage {
	rec := journal.NewMemory(journal.Header{})
	a := agenttest.Supervise(t, agent.Config{
		Trial: "t1", Seed: 1,
		Proxies: []agent.ProxyConfig{{Name: "payments", Kind: "http", Listen: "127.0.0.1:0"}},
		Stubs: []agent.StubConfig{{Name: "payments", Listen: "127.0.0.1:0", Routes: []subject.Route{
			{Name: "a", Path: "/a", Body: strings.Repeat("0123456789", 400)},
		}}},
	}, rec)
	stub, _ := a.Stub("payments")
	address := stub.ProxyAddress()
	ask := func(ctx context.Context, c *http.Client) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/a", nil)
		if err != nil {
			return err
		}
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	s := &stage{target: stub, rec: rec, agent: a}
	s.working = func() error {
		c := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		return ask(context.Background(), c)
	}
	for i := range 4 {
		tr := &http.Transport{DisableKeepAlives: i%2 == 0}
		c := &http.Client{Timeout: 300 * time.Millisecond, Transport: tr}
		s.tasks = append(s.tasks, func(ctx context.Context) {
			defer tr.CloseIdleConnections()
			each(15*time.Millisecond, func(ctx context.Context) { _ = ask(ctx, c) })(ctx)
		})
	}
	s.tasks = append(s.tasks, each(60*time.Millisecond, func(context.Context) {
		probe(rec, "payments", address, "GET "+agent.PingPath+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	}))
	return s
}

// probe makes one round trip of ours and records it.
func probe(rec *journal.Memory, name, address, say string) {
	const patience = 300 * time.Millisecond
	at := rec.Now()
	r := journal.RoundTrip{}
	began := time.Now()
	c, err := net.DialTimeout("tcp", address, patience)
	r.Dial = time.Since(began)
	if err == nil {
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		began = time.Now()
		r.Up, err = io.WriteString(c, say)
		if err == nil {
			b := make([]byte, 256)
			r.Down, err = bufio.NewReader(c).Read(b)
			r.Bytes = r.Down
		}
		r.RTT = time.Since(began)
	}
	r.Err = reason(err)
	rec.Record(journal.Entry{At: at, On: name, Body: r})
}

func reason(err error) string {
	var n net.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &n) && n.Timeout():
		return journal.ErrTimeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return journal.ErrRefused
	case errors.Is(err, syscall.ECONNRESET):
		return journal.ErrReset
	case errors.Is(err, io.EOF):
		return journal.ErrEOF
	}
	return journal.ErrOther
}

// database is a Postgres behind the agent.
type database struct {
	*agent.Dependency
	admin, service string
}

func (d database) Admin(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, d.admin) }
func (d database) ServiceRole() string                          { return "app_service" }
func (d database) ServiceDSN() string                           { return d.service }

var _ faults.SQL = database{}

// wired is a database with a wire tap.
type wired struct {
	database
	tap faults.Tapped
}

func (w wired) Interfere(ctx context.Context, id string, i faults.Interference) error {
	return w.tap.Interfere(ctx, id, i)
}
func (w wired) LeaveAlone(ctx context.Context, id string) error { return w.tap.LeaveAlone(ctx, id) }

var _ faults.Tapped = wired{}

// postgresStage is a database with a service that uses it and opens connections
// now and then.
func postgresStage(t *testing.T) *stage { return databaseStage(t, nil) }

// wireStage is the same with a wire tap before it.
func wireStage(t *testing.T) *stage { return databaseStage(t, &agent.WireConfig{}) }

func databaseStage(t *testing.T, wire *agent.WireConfig) *stage {
	upstream := postgrestest.Start(t)
	rec := journal.NewMemory(journal.Header{})
	a := agenttest.Supervise(t, agent.Config{Trial: "t1", Run: "r1", Proxies: []agent.ProxyConfig{
		{Name: "db", Kind: "postgres", Listen: "127.0.0.1:0", Upstream: upstream, Wire: wire},
	}}, rec)
	dsn := func(user, address string) string {
		return "postgres://" + user + "@" + address + "/app?sslmode=disable"
	}
	d := a.Dependency("db")
	target := database{d, dsn("postgres", upstream), dsn("app_service", upstream)}
	proxied := dsn("app_service", d.ProxyAddress())
	s := &stage{target: target, rec: rec, agent: a}
	if tapped, ok := a.Tapped("db"); ok {
		s.target = wired{target, tapped}
	}
	s.working = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return query(ctx, proxied, 1)
	}
	for range 3 {
		s.tasks = append(s.tasks, each(10*time.Millisecond, func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = query(ctx, proxied, 8)
		}))
	}
	locks := observe.Locks{Dependency: "db", Role: target.ServiceRole(), Connect: target.Admin}
	s.tasks = append(s.tasks,
		func(ctx context.Context) { watchActivity(ctx, t, rec, target.admin) },
		func(ctx context.Context) { _ = locks.Observe(ctx, rec) },
		each(100*time.Millisecond, func(context.Context) {
			probe(rec, "db", d.ProxyAddress(), "\x00\x00\x00\x08\x04\xd2\x16\x2f")
		}))
	return s
}

// query opens a connection and reads a table a few times.
func query(ctx context.Context, dsn string, n int) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for range n {
		for _, q := range []string{
			"SELECT count(*) FROM orders", "SELECT generate_series(1, 3)", "INSERT INTO orders VALUES (1)",
		} {
			if _, err := conn.Exec(ctx, q); err != nil {
				return err
			}
		}
		pause(15 * time.Millisecond)
	}
	return nil
}

// watchActivity samples pg_stat_activity as the observer does.
func watchActivity(ctx context.Context, t *testing.T, rec *journal.Memory, dsn string) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(context.WithoutCancel(ctx))
	each(50*time.Millisecond, func(ctx context.Context) {
		rows, err := conn.Query(ctx, `SELECT pid, application_name, coalesce(wait_event_type, ''),
			current_setting('max_connections')::int FROM pg_stat_activity WHERE usename = 'app_service'`)
		if err != nil {
			return
		}
		var a journal.Activity
		for rows.Next() {
			var b journal.Backend
			if err := rows.Scan(&b.PID, &b.App, &b.WaitType, &a.MaxConnections); err != nil {
				t.Error(err)
			}
			a.Backends = append(a.Backends, b)
		}
		rec.Record(journal.Entry{On: "db", Body: a})
	})(ctx)
}

// replica is a process of the service's: this test binary.
type replica struct {
	rec     *journal.Memory
	address string
	slow    func() time.Duration // how much longer an answer takes; nil: not at all
	mu      sync.Mutex
	cmd     *exec.Cmd
	exited  chan struct{}
}

const replicaVariable = "SEATRIAL_TEST_REPLICA"

// hostReplica serves on an address when this process was started for it.
func hostReplica() bool {
	address := os.Getenv(replicaVariable)
	if address == "" {
		return false
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe(address, http.NotFoundHandler()))
	return true
}

func (*replica) Name() string { return "orders-1" }
func (*replica) Kind() string { return "replica" }

func (r *replica) start() error {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), replicaVariable+"="+r.address)
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	r.mu.Lock()
	r.cmd, r.exited = cmd, exited
	r.mu.Unlock()
	go func() {
		defer close(exited)
		err := cmd.Wait()
		x := journal.Exited{PID: cmd.Process.Pid, Code: cmd.ProcessState.ExitCode()}
		var e *exec.ExitError
		if errors.As(err, &e) {
			x.Signal = e.Sys().(syscall.WaitStatus).Signal().String()
		}
		r.rec.Record(journal.Entry{On: r.Name(), Body: x})
	}()
	for range 100 {
		if r.ready() == nil {
			return nil
		}
		pause(20 * time.Millisecond)
	}
	return errors.New("the replica is not ready")
}

func (r *replica) ready() error {
	c := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get("http://" + r.address)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func (r *replica) Signal(_ context.Context, s os.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.cmd.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (r *replica) WaitExit(ctx context.Context) error {
	r.mu.Lock()
	exited := r.exited
	r.mu.Unlock()
	select {
	case <-exited:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *replica) Restart(ctx context.Context) error {
	if err := errors.Join(r.Signal(ctx, syscall.SIGTERM), r.WaitExit(ctx)); err != nil {
		return err
	}
	return r.start()
}

// replicaStage is a process that is polled while requests are due.
func replicaStage(t *testing.T) *stage {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{rec: journal.NewMemory(journal.Header{Replicas: []string{"orders-1"}}), address: l.Addr().String()}
	l.Close()
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = errors.Join(r.Signal(context.Background(), syscall.SIGKILL), r.WaitExit(context.Background()))
	})
	return &stage{target: r, rec: r.rec, working: r.ready, tasks: []func(context.Context){
		each(50*time.Millisecond, func(context.Context) {
			at := r.rec.Now()
			p := journal.Poll{Endpoint: journal.Readiness, Code: 200}
			began := time.Now()
			if err := r.ready(); err != nil {
				p.Code, p.Err = 0, reason(err)
			}
			if r.slow != nil {
				pause(r.slow())
			}
			p.Took = time.Since(began)
			r.rec.Record(journal.Entry{At: at, On: r.Name(), Body: p})
			r.rec.Request(journal.Request{Due: at, Sent: at, Done: r.rec.Now()})
		}),
	}}
}
