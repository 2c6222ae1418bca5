package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/procs"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

func TestMain(m *testing.M) {
	reexec.Hook()
	if os.Getenv(victimEnv) != "" {
		os.Exit(victim())
	}
	goleak.VerifyTestMain(m)
}

// tiny is the test service with everything it can have.
func tiny() *subject.Subject {
	dir, err := filepath.Abs("testdata")
	if err != nil {
		panic(err)
	}
	return &subject.Subject{
		Name: "tiny", Dir: dir,
		Service: subject.Service{
			Build: &subject.Build{Package: "./tiny"},
			Env: map[string]string{
				"PORT": "${port.http}", "NAME": "${replica.name}", "DATABASE_URL": "${db.url}", "OWNER_URL": "${db.owner_url}",
				"CACHE_URL": "${cache.url}", "PAYMENTS_URL": "${payments.url}", "API_TOKEN": "tok-12345678",
				"UNREADY_FILE": "${scratch}/unready",
			},
			Before:      []subject.Command{{Run: []string{"service", "migrate"}}},
			Readiness:   subject.Endpoint{Path: "/readyz"},
			StartWithin: 20 * time.Second,
			Balancer:    subject.Balancer{Period: 50 * time.Millisecond},
		},
		Next: &subject.Next{
			Env:     map[string]string{"NAME": "next ${replica.name}"},
			Migrate: []subject.Command{{Run: []string{"service", "migrate"}}},
		},
		Dependencies: subject.Dependencies{
			{Name: "db", Kind: subject.Postgres},
			{Name: "cache", Kind: subject.Redis},
			{Name: "payments", Kind: subject.HTTP, Routes: []subject.Route{{Path: "/charges", Status: 201, Body: "paid"}}},
		},
	}
}

// bare is the test service without dependencies.
func bare(mode string) *subject.Subject {
	s := tiny()
	s.Dependencies, s.Service.Before = nil, nil
	s.Service.Env = map[string]string{
		"PORT": "${port.http}", "NAME": "${replica.name}", "MODE": mode, "API_TOKEN": "tok-12345678",
		"UNREADY_FILE": "${scratch}/unready",
	}
	return s
}

func backend(t *testing.T) *Backend {
	t.Helper()
	b := &Backend{}
	t.Cleanup(func() {
		if err := errors.Join(b.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func start(t *testing.T, b *Backend, s *subject.Subject) (*Environment, *journal.Memory) {
	t.Helper()
	if len(s.Dependencies) > 0 {
		if _, found, err := postgres.Find(t.Context(), ""); err != nil || !found {
			t.Skip("no PostgreSQL on this machine:", err)
		}
	}
	j := journal.NewMemory(journal.Header{})
	e, err := b.Start(t.Context(), s, j, environment.Options{Trial: "t1", Run: "r1", Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(e.Stop(context.Background()), e.Stop(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return e.(*Environment), j
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(b)
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatal("never: " + what)
		case <-tick.C:
		}
	}
}

func TestEverythingIsUpAndBehindItsProxy(t *testing.T) {
	b := backend(t)
	e, j := start(t, b, tiny())
	ctx := t.Context()
	if code, body := get(t, e.Endpoint("http")+"/orders"); code != 200 || body != "2" {
		t.Fatalf("orders: %d %q", code, body)
	}
	var names []string
	for _, target := range e.Targets() {
		names = append(names, target.Name()+" "+target.Kind())
	}
	want := []string{"db postgres", "cache redis", "payments http", "tiny-1 replica", "tiny-2 replica"}
	if !slices.Equal(names, want) {
		t.Errorf("targets %q", names)
	}
	target, err := e.Target("db")
	if err != nil {
		t.Fatal(err)
	}
	admin, err := target.(faults.SQL).Admin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	if err := target.(faults.Proxied).SetEnabled(ctx, false); err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, e.Endpoint("http")+"/orders"); code != 500 {
		t.Errorf("with the proxy closed: %d", code)
	}
	var n int
	if err := admin.QueryRow(ctx, "SELECT count(*) FROM orders").Scan(&n); err != nil || n != 2 {
		t.Error("the administrator's connection does not pass the proxy:", n, err)
	}
	if err := target.(faults.Proxied).SetEnabled(ctx, true); err != nil {
		t.Fatal(err)
	}
	if err := target.(faults.Restartable).Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, e.Endpoint("http")+"/orders"); code != 200 {
		t.Errorf("after a restart of the database: %d %q", code, body)
	}
	cache, err := e.Target("cache")
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := cache.(faults.Restartable); ok {
		if err := r.Restart(ctx); err != nil {
			t.Error(err)
		}
	}
	if code, body := get(t, e.references(false)["payments.url"]+"/charges"); code != 201 || body != "paid" {
		t.Errorf("stub: %d %q", code, body)
	}
	if err := e.Flush(ctx); err != nil {
		t.Error(err)
	}
	calls := 0
	for range journal.Of[journal.Call](j) {
		calls++
	}
	if calls != 1 {
		t.Errorf("%d calls recorded, want 1", calls)
	}
	if _, err := e.Target("dbb"); err == nil || !strings.Contains(err.Error(), "db") {
		t.Error("an unknown target:", err)
	}
}

func TestReplicas(t *testing.T) {
	b := backend(t)
	e, j := start(t, b, bare(""))
	ctx := t.Context()
	seen := map[string]int{}
	for range 10 {
		_, name := get(t, e.Endpoint("http")+"/name")
		seen[name]++
	}
	if seen["tiny-1"] != 5 || seen["tiny-2"] != 5 {
		t.Errorf("not balanced: %v", seen)
	}
	r := e.Replicas()[0]
	if code, name := get(t, r.Endpoint("http")+"/name"); code != 200 || name != "tiny-1" {
		t.Errorf("directly: %d %q", code, name)
	}
	if err := r.Deregister(ctx); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, name := get(t, e.Endpoint("http")+"/name"); name != "tiny-2" {
			t.Errorf("deregistered, and still asked: %q", name)
		}
	}
	pid := r.PID()
	if err := r.Terminate(ctx, 5*time.Second); err != nil {
		t.Error(err)
	}
	if r.PID() != 0 || procs.Alive(pid, 0) {
		t.Error("it still runs")
	}
	if err := errors.Join(r.Start(ctx), r.Register(ctx)); err != nil {
		t.Fatal(err)
	}
	if r.PID() == 0 || r.PID() == pid {
		t.Errorf("pid %d after the restart", r.PID())
	}
	if err := r.Signal(ctx, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := r.WaitExit(ctx); err != nil {
		t.Error(err)
	}
	if err := r.Restart(ctx); err != nil {
		t.Error(err)
	}
	var story []string
	for entry := range j.Entries("started", "exited", "signalled", "endpoint") {
		if entry.On != "tiny-1" {
			continue
		}
		switch v := entry.Body.(type) {
		case journal.Started:
			story = append(story, fmt.Sprint("start ", v.Start))
		case journal.Exited:
			story = append(story, fmt.Sprint("exit ", v.Code, v.Signal, " after ", v.Asked))
		case journal.Signalled:
			story = append(story, v.Signal)
		case journal.Endpoint:
			story = append(story, fmt.Sprint(v.In, " ", v.Reason))
		}
	}
	want := []string{
		"start 1", "true ready", "false drained", "SIGTERM", "exit 0 after SIGTERM", "start 2", "true ready",
		"SIGKILL", "exit -1killed after SIGKILL", "start 3",
	}
	if !slices.Equal(story, want) {
		t.Errorf("the journal tells\n%q, want\n%q", story, want)
	}
}

func TestScale(t *testing.T) {
	b := backend(t)
	e, _ := start(t, b, bare(""))
	if err := e.Scale(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	third := e.Replicas()[2]
	if third.Name() != "tiny-3" || !e.Balancer.In("tiny-3") {
		t.Errorf("%s, in rotation %v", third.Name(), e.Balancer.In("tiny-3"))
	}
	pid := third.PID()
	if err := e.Scale(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if n := len(e.Replicas()); n != 1 || procs.Alive(pid, 0) {
		t.Errorf("%d replicas, the third alive: %v", n, procs.Alive(pid, 0))
	}
	if err := e.Scale(t.Context(), -1); err == nil {
		t.Error("scaled below nothing")
	}
}

func TestReadinessIsFollowed(t *testing.T) {
	b := backend(t)
	e, _ := start(t, b, bare(""))
	_, env := get(t, e.Replicas()[0].Endpoint("http")+"/env")
	_, rest, _ := strings.Cut(env, "UNREADY_FILE=")
	file, _, _ := strings.Cut(rest, "\n")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "out of rotation", func() bool { return !e.Balancer.In("tiny-1") })
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "in rotation again", func() bool { return e.Balancer.In("tiny-1") })
	for _, forbidden := range []string{"SEATRIAL_ROLE", "GOPATH", "PWD="} {
		if strings.Contains(env, "\n"+forbidden) {
			t.Errorf("the service got %s of our own environment:\n%s", forbidden, env)
		}
	}
}

func TestTheServiceDoesNotComeUp(t *testing.T) {
	b := backend(t)
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	for _, c := range []struct {
		name   string
		change func(*subject.Subject)
		want   []string
	}{
		{"crash", func(s *subject.Subject) { s.Service.Env["MODE"] = "crash" }, []string{
			"exited with status 3 before it was ready", "config: no harbour given, token [secret]",
		}},
		{"unready", func(s *subject.Subject) {
			s.Service.Env["MODE"], s.Service.StartWithin = "unready", 300*time.Millisecond
		}, []string{"was not ready within 300ms (start_within)", "503", "the database is still asleep"}},
		{"broken", func(s *subject.Subject) { s.Service.Build.Package = "./broken" }, []string{
			"build ./broken: ", "broken/main.go:4:15: undefined: undefined",
		}},
		{"port in use", func(s *subject.Subject) {
			s.Service.Replicas, s.Service.Ports = 1, map[string]int{"http": used.Addr().(*net.TCPAddr).Port}
		}, []string{"port http of the service cannot be used", "address already in use", "free it"}},
		{"fixed port, two replicas", func(s *subject.Subject) { s.Service.Ports = map[string]int{"http": 8080} }, []string{
			"port http of the service is always 8080, so it can have one replica, not 2",
		}},
		{"unknown reference", func(s *subject.Subject) { s.Service.Env["X"] = "${cache.url}" }, []string{
			"service: env X: unknown reference ${cache.url}; known are ${dir}, ${listen}, ${port.http}",
		}},
		{"before fails", func(s *subject.Subject) {
			s.Service.Before = []subject.Command{{Run: []string{"service"}, Env: map[string]string{"OWNER_URL": "x=${"}}}
		}, []string{`service.before[0]: env OWNER_URL: "${" has no closing brace`}},
		{"before exits", func(s *subject.Subject) {
			s.Service.Before = []subject.Command{{Run: []string{"sh", "-c", "echo no pilot; exit 9"}}}
		}, []string{"service.before[0]: sh -c", "it exited with status 9; it printed last: no pilot"}},
		{"before hangs", func(s *subject.Subject) {
			s.Service.Before = []subject.Command{{Run: []string{"sleep", "60"}, Within: 50 * time.Millisecond}}
		}, []string{"it did not end within 50ms"}},
		{"remote", func(s *subject.Subject) {
			s.Dependencies = subject.Dependencies{{Name: "far", Kind: subject.TCP, Address: "192.0.2.1:99"}}
		}, []string{"far: 192.0.2.1:99 is not on this machine; give --allow-target 192.0.2.1"}},
		{"no such program", func(s *subject.Subject) {
			s.Service.Build, s.Service.Command = nil, []string{"./nowhere"}
		}, []string{"service.command: ", "nowhere"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := bare("")
			c.change(s)
			_, err := b.Start(t.Context(), s, journal.NewMemory(journal.Header{}), environment.Options{Trial: "t1"})
			if err == nil {
				t.Fatal("it came up")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("got %v, want %q in one line", err, want)
				}
			}
			left, err := os.ReadDir(b.host.Watcher().Scratch())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range left {
				if strings.HasPrefix(f.Name(), "e") {
					if f.Name() != "owner" {
						t.Error("left behind:", f.Name())
					}
				}
			}
		})
	}
}

func TestAFloodOfLogHoldsNobodyUp(t *testing.T) {
	b := backend(t)
	s := bare("flood")
	s.Service.Replicas = 1
	e, j := start(t, b, s)
	eventually(t, "lost lines are counted", func() bool {
		lost := 0
		for _, l := range journal.Of[journal.LogLine](j) {
			lost += l.Lost
		}
		return lost > 1000
	})
	if code, _ := get(t, e.Endpoint("http")+"/name"); code != 200 {
		t.Error("the service was held up:", code)
	}
	if n := len(slices.Collect(j.Entries("log"))); n > 20_000 {
		t.Errorf("%d lines in the journal", n)
	}
}
