package docker

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/environmenttest"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/subject"
)

func TestMain(m *testing.M) {
	reexec.Hook()
	os.Exit(m.Run())
}

// standIns are the images that make images builds where there is no registry.
var standIns = map[string]string{
	postgresNaming: "seatrial/postgres:local", redisNaming: "seatrial/redis:local", toxiNaming + "_TEST": "seatrial/toxiproxy:local",
}

// backend is one on this machine's engine, with its stand-ins for images; the
// test is skipped where there is no engine.
func backend(t *testing.T) *Backend {
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
				"UNREADY_FILE": "${scratch}/unready",
			},
			Before: []subject.Command{{
				Run: []string{"service", "migrate"}, Env: map[string]string{"OWNER_URL": "${postgres.owner_url}"},
			}},
			Ports:     map[string]int{"http": 0},
			Readiness: subject.Endpoint{Path: "/readyz"},
			Stop:      subject.Stop{Signal: "SIGTERM", Grace: 5 * time.Second},
			Balancer:  subject.Balancer{Mode: "tcp", Period: 50 * time.Millisecond, Failures: 2},
		},
		Dependencies: subject.Dependencies{
			{Name: "postgres", Kind: subject.Postgres}, {Name: "cache", Kind: subject.Redis},
			{Name: "payments", Kind: subject.HTTP},
		},
	}
}

func TestConform(t *testing.T) {
	environmenttest.Conform(t, backend(t), tiny())
}

func TestNothingIsLeft(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	if err := Available(context.Background()); err != nil {
		t.Skip(err)
	}
}
