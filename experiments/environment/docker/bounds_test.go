package docker

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
)

func TestUsageOf(t *testing.T) {
	s := container.StatsResponse{
		CPUStats: container.CPUStats{ThrottlingData: container.ThrottlingData{
			Periods: 9, ThrottledPeriods: 4, ThrottledTime: 5e6,
		}},
		MemoryStats: container.MemoryStats{Usage: 30, Limit: 1<<64 - 1, Stats: map[string]uint64{"total_cache": 10}},
	}
	want := journal.Usage{
		Periods: 9, Throttled: 4, ThrottledFor: 5 * time.Millisecond, Bytes: 30, LimitBytes: 1 << 62, HeldBytes: 20,
	}
	if diff := cmp.Diff(want, usageOf(s)); diff != "" {
		t.Error(diff)
	}
	s.MemoryStats.Stats = map[string]uint64{"file": 9}
	if got := usageOf(s); got.HeldBytes != 21 {
		t.Errorf("%d bytes are held, want 21", got.HeldBytes)
	}
}

// lonely is a Redis in a container of its own.
func lonely(t *testing.T, cpus float64) (*box, func() *run, string) {
	t.Helper()
	b := backend(t)
	if err := b.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	e := newEnvironment(b, small(), journal.NewMemory(journal.Header{}), environment.Options{Trial: "lonely"})
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := e.openNetwork(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := e.Lease()
	if err != nil {
		t.Fatal(err)
	}
	p, _ := pictureOf(small().Dependencies[0])
	made, err := e.make(t.Context(), plain, order{
		image: p.name, publish: map[int]int{6379: l.Port}, cpus: cpus,
		cmd: []string{"redis-server", "--save", "", "--protected-mode", "no"},
	}, e.NewLines("lonely"))
	if err != nil {
		t.Fatal(err)
	}
	e.own(made)
	return made, func() *run {
		r, err := made.start(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}, l.Address()
}

// tell sends a Redis one command, as soon as it listens, and waits for no
// answer.
func tell(t *testing.T, address, command string) {
	t.Helper()
	eventually(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Write([]byte("PING\r\n")); err != nil {
			return false
		}
		if n, err := c.Read(make([]byte, 64)); err != nil || n == 0 {
			return false
		}
		_, err = c.Write([]byte(command + "\r\n"))
		return err == nil
	})
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	limit := time.After(15 * time.Second)
	for !f() {
		select {
		case <-limit:
			t.Fatal("it does not come")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func usage(t *testing.T, b *box) journal.Usage {
	t.Helper()
	u, err := b.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestBoundCPUs has a container work all the time under a bound, with and
// without one that the subject grants.
func TestBoundCPUs(t *testing.T) {
	for name, granted := range map[string]float64{"free": 0, "granted": 0.5} {
		t.Run(name, func(t *testing.T) {
			made, start, address := lonely(t, granted)
			start()
			tell(t, address, `EVAL "while true do end" 0`)
			if err := made.BoundCPUs(t.Context(), 0.05); err != nil {
				t.Fatal(err)
			}
			before := usage(t, made)
			eventually(t, func() bool { return usage(t, made).Throttled > before.Throttled+2 })
			if err := made.BoundCPUs(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			if granted > 0 {
				return // there is still a bound
			}
			calm := usage(t, made)
			<-time.After(300 * time.Millisecond)
			if now := usage(t, made); now.Throttled > calm.Throttled+1 {
				t.Errorf("it is still held back: %d periods before, %d after", calm.Throttled, now.Throttled)
			}
		})
	}
}

// TestBoundMemory has the kernel kill a container that wants more than its
// bound, and starts it again without one.
func TestBoundMemory(t *testing.T) {
	made, start, address := lonely(t, 0)
	r := start()
	free := usage(t, made)
	tell(t, address, "PING")
	if err := made.BoundMemory(t.Context(), 8<<20); err != nil {
		t.Fatal(err)
	}
	if got := usage(t, made); got.LimitBytes != 8<<20 || got.Ended {
		t.Fatalf("bounded: %+v", got)
	}
	tell(t, address, "SETRANGE k 60000000 x")
	if err := r.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if x := r.Exit(); x.Signal != "killed" {
		t.Errorf("its exit: %v", x)
	}
	// The engine notes why a container ended a moment after it has ended.
	eventually(t, func() bool {
		got := usage(t, made)
		return got.OutOfMemory && got.Ended
	})
	if err := made.BoundMemory(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	start()
	if got := usage(t, made); got.LimitBytes != free.LimitBytes || got.Ended {
		t.Errorf("started again: %+v, want the limit %d", got, free.LimitBytes)
	}
	if err := made.BoundMemory(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "bound the memory") {
		t.Errorf("a bound of one byte: %v", err)
	}
}
