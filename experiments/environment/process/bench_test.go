package process

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// BenchmarkUpDown measures an environment with PostgreSQL, Redis, a stub, the
// agent and two replicas, caches warm, beside the bare cost of copying the data
// directory and starting the server. The figures are medians of five.
func BenchmarkUpDown(b *testing.B) {
	if _, found, err := postgres.Find(b.Context(), ""); err != nil || !found {
		b.Skip("no PostgreSQL on this machine:", err)
	}
	s := tiny()
	backend := &Backend{}
	defer backend.Close()
	if err := backend.Prepare(b.Context(), s, nil); err != nil {
		b.Fatal(err)
	}
	var up, down, bare []time.Duration
	for range benchTimes * b.N {
		bare = append(bare, bareServer(b, backend, s.Dependencies[0]))
		began := time.Now()
		e, err := backend.Start(b.Context(), s, journal.NewMemory(journal.Header{}), environment.Options{Trial: "bench"})
		if err != nil {
			b.Fatal(err)
		}
		up = append(up, time.Since(began))
		began = time.Now()
		if err := e.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
		down = append(down, time.Since(began))
	}
	b.ReportMetric(median(up).Seconds(), "s-up")
	b.ReportMetric(median(down).Seconds(), "s-down")
	b.ReportMetric(median(bare).Seconds(), "s-bare")
	b.ReportMetric(median(up).Seconds()/median(bare).Seconds(), "up/bare")
	b.ReportMetric(median(down).Seconds()/median(bare).Seconds(), "down/bare")
	b.ReportMetric(0, "ns/op") // the sum of unlike things
}

const benchTimes = 5

// bareServer is the time to copy a data directory and to start a server on it.
func bareServer(b *testing.B, backend *Backend, d subject.Dependency) time.Duration {
	b.Helper()
	t, err := backend.template(b.Context(), d, nil)
	if err != nil {
		b.Fatal(err)
	}
	dir, err := backend.host.Folder(b.Context(), "bare")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	lease, err := ports.Acquire()
	if err != nil {
		b.Fatal(err)
	}
	defer lease.Release()
	began := time.Now()
	server, err := postgres.Start(b.Context(), t, postgres.Config{
		Dependency: d, Dir: dir, Port: lease.Port, Spawner: backend.host.Spawner(), Lines: spawn.NewLines("bare", nil, nil),
	})
	if err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	if err := server.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
	return took
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}
