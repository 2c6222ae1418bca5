package process

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/observe"
	"github.com/seatrial/seatrial/faults"
)

// TestFaultsOfServers breaks the real PostgreSQL and the real Redis with every
// fault of a process, under traffic: the witness sees it, nothing of a calm
// time is taken for it, and reverting, twice, restores the server.
func TestFaultsOfServers(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("no redis-server on this machine")
	}
	e, j := start(t, backend(t), tiny())
	watch(t, e, j)
	calm := journal.Window{From: j.Now()}
	wait(t, 600*time.Millisecond)
	calm.To = j.Now()
	for _, c := range []struct {
		kind   string
		fault  faults.Fault
		starts bool // the server is another process afterwards
	}{
		{"pause", &faults.Pause{}, false},
		{"terminate", &faults.Terminate{}, true},
		{"kill", &faults.Kill{}, true},
		{"restart", &faults.Restart{}, true},
	} {
		t.Run(c.kind, func(t *testing.T) {
			for _, name := range []string{"db", "cache"} {
				starts := count[journal.Started](j, name)
				w := breakServer(t, e, j, c.fault, name)
				if err := c.fault.Witness(j, name, w); err != nil {
					t.Errorf("%s: witness: %v", name, err)
				}
				err := c.fault.Witness(j, name, calm)
				if !errors.Is(err, faults.ErrNotInForce) && !errors.Is(err, faults.ErrNotExercised) {
					t.Errorf("%s: the witness of the calm before says %v", name, err)
				}
				if more := count[journal.Started](j, name) - starts; more > 0 != c.starts || more > 1 {
					t.Errorf("%s was started %d times more; started anew: want %v", name, more, c.starts)
				}
			}
		})
	}
	if exits := count[journal.Exited](j, "db"); exits != 3 {
		t.Errorf("db exited %d times, want 3", exits)
	}
}

// breakServer has a fault in force for a moment and returns when the service
// is good again.
func breakServer(t *testing.T, e *Environment, j *journal.Memory, f faults.Fault, name string) journal.Window {
	t.Helper()
	target, err := e.Target(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Supports(target); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	injection, err := f.Inject(ctx, target)
	if err != nil {
		t.Fatalf("%s: inject: %v", name, err)
	}
	w := journal.Window{From: j.Now()}
	wait(t, 700*time.Millisecond)
	w.To = j.Now()
	if err := errors.Join(injection.Revert(ctx), injection.Revert(ctx)); err != nil {
		t.Fatalf("%s: revert: %v", name, err)
	}
	eventually(t, name+" serves again", func() bool {
		code, _ := get(t, e.Endpoint("http")+"/orders")
		return code == http.StatusOK
	})
	if err := e.Flush(ctx); err != nil {
		t.Error(err)
	}
	return w
}

// watch sends traffic through the service to the database, and beside it to the
// cache, which the service does not use, and exchanges with both until the
// test's end.
func watch(t *testing.T, e *Environment, j *journal.Memory) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	cache := "" // its proxy's address
	for _, name := range []string{"db", "cache"} {
		target, err := e.Target(name)
		if err != nil {
			t.Fatal(err)
		}
		cache = target.(faults.Proxied).ProxyAddress()
		trip := &observe.RoundTrip{Dependency: name, Kind: target.Kind(), Address: cache}
		wg.Go(func() { _ = trip.Observe(ctx, j) })
	}
	client := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			_ = fleet.PingRedis(ctx, cache)
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, e.Endpoint("http")+"/orders", nil)
			if resp, err := client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}
	})
}

func count[T journal.Body](j journal.Journal, on string) int {
	n := 0
	for e := range journal.Of[T](j) {
		if e.On == on {
			n++
		}
	}
	return n
}

func wait(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
