package environmenttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/observe"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Break breaks the real PostgreSQL and the real Redis of one environment with
// every fault of a process, and with those of a proxy that end connections, under
// traffic: the witness sees it, nothing of a calm time is taken for it, and
// reverting, twice, restores the server. GET /orders of the subject's service
// asks the PostgreSQL on a connection of its own; the service does not use the
// Redis.
func Break(t *testing.T, b environment.Backend, s *subject.Subject) {
	t.Helper()
	j := journal.NewMemory(journal.Header{})
	e, err := b.Start(t.Context(), s, j, environment.Options{Trial: "break", Run: "break-1", Seed: 1})
	if err != nil {
		t.Fatal("start:", err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error("stop:", err)
		}
	})
	w := &wrecker{e: e, j: j}
	for _, d := range s.Dependencies {
		switch d.Kind {
		case subject.Postgres:
			w.database = d.Name
		case subject.Redis:
			w.cache = d.Name
		}
	}
	w.watch(t)
	w.serves(t.Context(), t)
	w.calm = journal.Window{From: j.Now()}
	wait(t, time.Second)
	w.calm.To = j.Now()
	for _, c := range []struct {
		kind   string
		fault  faults.Fault
		starts bool // the server is another process afterwards
	}{
		{"outage", &faults.Outage{}, false},
		{"reset", &faults.Reset{}, false},
		{"connect_blackhole", &faults.ConnectBlackhole{}, false},
		{"pause", &faults.Pause{}, false},
		{"terminate", &faults.Terminate{}, true},
		{"kill", &faults.Kill{}, true},
		{"restart", &faults.Restart{}, true},
	} {
		t.Run(c.kind, func(t *testing.T) {
			for _, name := range []string{w.database, w.cache} {
				w.try(t, c.fault, name, c.starts)
			}
		})
	}
	if exits := count[journal.Exited](j, w.database); exits != 3 {
		t.Errorf("%s exited %d times, want 3", w.database, exits)
	}
}

// wrecker breaks the servers of one environment.
type wrecker struct {
	e               environment.Environment
	j               *journal.Memory
	database, cache string
	calm            journal.Window
}

func (w *wrecker) try(t *testing.T, f faults.Fault, name string, starts bool) {
	t.Helper()
	target, err := w.e.Target(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := target.(faults.Dialled); !ok {
		switch f.(type) {
		case *faults.Reset, *faults.ConnectBlackhole:
			t.Skip("without the agent, connections that are open are not reset, and a listener is not replaced")
		}
	}
	before := count[journal.Started](w.j, name)
	broken := w.broken(t, f, target)
	if err := f.Witness(w.j, name, broken); err != nil {
		t.Errorf("%s: witness: %v", name, err)
	}
	err = f.Witness(w.j, name, w.calm)
	if !errors.Is(err, faults.ErrNotInForce) && !errors.Is(err, faults.ErrNotExercised) {
		t.Errorf("%s: the witness of the calm before says %v", name, err)
	}
	if more := count[journal.Started](w.j, name) - before; more > 0 != starts || more > 1 {
		t.Errorf("%s was started %d times more; started anew: want %v", name, more, starts)
	}
}

// broken has a fault in force for a moment and returns when the service is good
// again.
func (w *wrecker) broken(t *testing.T, f faults.Fault, target faults.Target) journal.Window {
	t.Helper()
	if err := f.Supports(target); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	injection, err := f.Inject(ctx, target)
	if err != nil {
		t.Fatalf("%s: inject: %v", target.Name(), err)
	}
	in := journal.Window{From: w.j.Now()}
	wait(t, 2*time.Second) // longer than an exchange that began before it may hang
	in.To = w.j.Now()
	if err := errors.Join(injection.Revert(ctx), injection.Revert(ctx)); err != nil {
		t.Fatalf("%s: revert: %v", target.Name(), err)
	}
	if _, asked := f.(*faults.Terminate); asked {
		in.To = w.j.Now() // it may have ended only when it was waited for
	}
	w.serves(ctx, t)
	if err := w.e.Flush(ctx); err != nil {
		t.Error(err)
	}
	return in
}

// serves returns when the service answers from the database.
func (w *wrecker) serves(ctx context.Context, t *testing.T) {
	t.Helper()
	for w.ask(ctx) != http.StatusOK {
		select {
		case <-ctx.Done():
			t.Fatal("the service does not answer from the database")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// watch sends traffic through the service to the database, and beside it to the
// cache, and exchanges with both until the test's end.
func (w *wrecker) watch(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		all.Wait()
	})
	cache := "" // its proxy's address
	for _, name := range []string{w.database, w.cache} {
		target, err := w.e.Target(name)
		if err != nil {
			t.Fatal(err)
		}
		trip := observe.NewRoundTrip(target.(faults.Proxied))
		trip.Timeout = 1500 * time.Millisecond // some end while a fault is in force
		cache = trip.Address
		all.Go(func() { _ = trip.Observe(ctx, w.j) })
	}
	all.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
			_ = fill(ctx, cache)
			w.ask(ctx)
		}
	})
}

// fill puts something into a Redis; all in all it is more than what packets are
// made of, so that an engine's count shows it.
func fill(ctx context.Context, address string) error {
	d := net.Dialer{Timeout: 300 * time.Millisecond}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		return err
	}
	text := strings.Repeat("x", 4000)
	if _, err := fmt.Fprintf(c, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\n", len(text), text); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, len("+OK\r\n")))
	return err
}

// ask asks the service what is in the database; 0: it does not say.
func (w *wrecker) ask(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.e.Endpoint("http")+"/orders", nil)
	if err != nil {
		return 0
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
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
