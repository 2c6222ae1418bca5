package docker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/environmenttest"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

func TestMain(m *testing.M) {
	reexec.Hook()
	if os.Getenv(victimEnv) != "" {
		victim()
		return
	}
	if within := os.Getenv(callerEnv); within != "" {
		caller(within)
		return
	}
	os.Exit(m.Run())
}

// standIns are the images that make images builds where there is no registry.
var standIns = map[string]string{
	postgresNaming: "seatrial/postgres:local", redisNaming: "seatrial/redis:local",
}

// backend is one on this machine's engine, with its stand-ins for images; the
// test is skipped where there is no engine.
func backend(t testing.TB) *Backend {
	t.Helper()
	if err := Available(t.Context()); err != nil {
		t.Skip(err)
	}
	g, err := connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer g.client.Close()
	for variable, image := range standIns {
		if found, err := g.has(t.Context(), image); err == nil && found && os.Getenv(variable) == "" {
			t.Setenv(variable, image)
		}
	}
	b := &Backend{}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return b
}

// tiny is the small service with everything it can depend on, and two replicas.
func tiny() *subject.Subject {
	return &subject.Subject{
		Name: "tiny", Dir: "../process/testdata",
		Service: subject.Service{
			Dir: "tiny", Build: &subject.Build{Package: "."}, Replicas: 2, StartWithin: 20 * time.Second,
			Env: map[string]string{
				"HOST": "${listen}", "PORT": "${port.http}", "NAME": "${replica.name}", "DATABASE_URL": "${postgres.url}",
				"UNREADY_FILE": "${scratch}/unready", "PAYMENTS_URL": "${payments.url}",
			},
			Before: []subject.Command{{
				Run: []string{"service", "migrate"}, Env: map[string]string{"OWNER_URL": "${postgres.owner_url}"},
			}},
			Ports:     map[string]int{"http": 0},
			Readiness: subject.Endpoint{Path: "/readyz"},
			Stop:      subject.Stop{Signal: "SIGTERM", Grace: 5 * time.Second},
			Balancer:  subject.Balancer{Mode: "tcp", Period: 50 * time.Millisecond, Failures: 2},
		},
		Next: &subject.Next{
			Env: map[string]string{"NAME": "next ${replica.name}"},
			Migrate: []subject.Command{{
				Run: []string{"service", "migrate"}, Env: map[string]string{"OWNER_URL": "${postgres.owner_url}"},
			}},
		},
		Dependencies: subject.Dependencies{
			{Name: "postgres", Kind: subject.Postgres},
			{Name: "cache", Kind: subject.Redis},
			{Name: "payments", Kind: subject.HTTP},
		},
	}
}

func TestConform(t *testing.T) {
	environmenttest.Conform(t, backend(t), tiny())
}

// TestMissingImage says what to do where an image is neither here nor to be had.
func TestMissingImage(t *testing.T) {
	b := backend(t)
	if err := b.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p := picture{"127.0.0.1:9/nobody/has-this:1", "for db", "SEATRIAL_POSTGRES_IMAGE"}
	err := b.engine.ensure(ctx, p, nil)
	if err == nil {
		t.Fatal("it was pulled")
	}
	for _, want := range []string{p.name, "for db", "cannot be pulled", "docker load", "SEATRIAL_POSTGRES_IMAGE"} {
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %q in one line", err, want)
		}
	}
}

// victimEnv has the test binary run an environment until it is killed.
const victimEnv = "SEATRIAL_TEST_VICTIM"

// small is tiny without a database and with one replica.
func small() *subject.Subject {
	s := tiny()
	s.Dependencies, s.Service.Before, s.Service.Replicas = s.Dependencies[1:], nil, 1
	delete(s.Service.Env, "DATABASE_URL")
	return s
}

// victim brings an environment up, says which, and waits for its death.
func victim() {
	b := &Backend{}
	j := journal.NewMemory(journal.Header{})
	_, err := b.Start(context.Background(), small(), j, environment.Options{Trial: "victim"})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println(b.host.Watcher().Scratch())
	select {}
}

// TestKilled kills a seatrial whose environment is up: the watcher removes all
// of it from the engine.
func TestKilled(t *testing.T) {
	b := backend(t)
	if err := b.Prepare(t.Context(), small(), nil); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"=1")
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	scratch := strings.TrimSpace(line)
	if err != nil || !strings.Contains(scratch, "seatrial-trial-") {
		t.Fatalf("the victim said %q: %v", line, err)
	}
	if n := left(t, scratch); n != 4 { // agent, cache, replica, network
		t.Errorf("%d things of it are in the engine, want 4", n)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	deadline := time.After(40 * time.Second)
	for left(t, scratch) > 0 {
		select {
		case <-deadline:
			t.Fatalf("%d things are left in the engine", left(t, scratch))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// left counts what carries a scratch folder's mark.
func left(t *testing.T, scratch string) int {
	t.Helper()
	all, err := find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, l := range all {
		if l.Scratch == scratch {
			n++
		}
	}
	return n
}

func TestFaultsOfServers(t *testing.T) {
	b, s := backend(t), tiny()
	s.Service.Replicas = 1
	if err := b.Prepare(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	environmenttest.Break(t, b, s)
}
