package health

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// database answers as it is told to, or not at all.
type database struct {
	down, silent atomic.Bool
	asked        atomic.Int64
}

func (d *database) Ping(ctx context.Context) error {
	d.asked.Add(1)
	if d.silent.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	if d.down.Load() {
		return errors.New("down")
	}
	return nil
}

func ask(t *testing.T, h http.HandlerFunc) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	return w.Code, w.Body.String()
}

func TestReadinessFollowsTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &database{}
		h := New(db)
		expect := func(when string, want int) {
			t.Helper()
			if got, _ := ask(t, h.Ready); got != want {
				t.Errorf("%s: readiness is %d, want %d", when, got, want)
			}
			if got, _ := ask(t, h.Live); got != http.StatusOK {
				t.Errorf("%s: liveness is %d", when, got)
			}
		}
		expect("before the first check", http.StatusServiceUnavailable)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go h.Watch(ctx)
		synctest.Wait()
		expect("with a database", http.StatusOK)

		pass := func(d time.Duration) {
			<-time.After(d)
			synctest.Wait()
		}
		db.down.Store(true)
		pass(period)
		expect("without a database", http.StatusServiceUnavailable)
		db.down.Store(false)
		pass(period)
		expect("with it again", http.StatusOK)
		db.silent.Store(true)
		pass(period + timeout)
		expect("with a silent database", http.StatusServiceUnavailable)
		cancel()
		synctest.Wait()
		asked := db.asked.Load()
		pass(10 * period)
		if db.asked.Load() != asked {
			t.Error("asks on after its end")
		}
	})
}

func TestProbesDoNotReachTheDatabase(t *testing.T) {
	db := &database{}
	h := New(db)
	for range 100 {
		ask(t, h.Ready)
		ask(t, h.Live)
	}
	if n := db.asked.Load(); n != 0 {
		t.Errorf("200 probes asked the database %d times", n)
	}
}

// TestShutdownIsNoOutage ends the watch during a check: what the check could
// not find out says nothing about the database.
func TestShutdownIsNoOutage(t *testing.T) {
	h := New(&database{})
	h.check(t.Context())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	h.database.(*database).silent.Store(true)
	h.check(ended)
	if code, body := ask(t, h.Ready); code != http.StatusOK {
		t.Errorf("got %d: %s", code, body)
	}
}

func TestDrainIsForGood(t *testing.T) {
	h := New(&database{})
	h.Drain()
	h.check(t.Context())
	code, body := ask(t, h.Ready)
	if code != http.StatusServiceUnavailable || !strings.Contains(body, `"draining"`) || !h.Draining() {
		t.Errorf("got %d: %s", code, body)
	}
	if code, _ := ask(t, h.Live); code != http.StatusOK {
		t.Errorf("liveness is %d while draining", code)
	}
}
