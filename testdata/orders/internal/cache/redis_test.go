package cache

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

var order = orders.Order{
	ID: "ord_1", Customer: "Ada", Status: orders.Paid, TotalCents: 5,
	Items:     []orders.Item{{SKU: "a", Quantity: 1, PriceCents: 5}},
	CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
}

func newCache(t *testing.T, addr string) *Redis {
	t.Helper()
	r := New(addr, telemetry.NewMetrics("test"))
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func (r *Redis) counted(t *testing.T, result string) int {
	t.Helper()
	var m dto.Metric
	if err := r.metrics.Cache.WithLabelValues(result).Write(&m); err != nil {
		t.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}

func TestRemembersForAMinute(t *testing.T) {
	server := miniredis.RunT(t)
	r := newCache(t, server.Addr())
	if _, found := r.Get(t.Context(), order.ID); found {
		t.Error("found what was never put")
	}
	r.Put(t.Context(), order)
	got, found := r.Get(t.Context(), order.ID)
	if d := cmp.Diff(order, got); !found || d != "" {
		t.Errorf("found %v: %s", found, d)
	}
	server.FastForward(timeToLive + time.Second)
	if _, found := r.Get(t.Context(), order.ID); found {
		t.Error("found after its time")
	}
	if hits, misses := r.counted(t, "hit"), r.counted(t, "miss"); hits != 1 || misses != 2 {
		t.Errorf("counted %d hits and %d misses", hits, misses)
	}
}

func TestWhatIsNoOrderIsAMiss(t *testing.T) {
	server := miniredis.RunT(t)
	if err := server.Set(key("ord_1"), "{"); err != nil {
		t.Fatal(err)
	}
	r := newCache(t, server.Addr())
	if _, found := r.Get(t.Context(), "ord_1"); found || r.counted(t, "error") != 1 {
		t.Errorf("found %v, %d errors", found, r.counted(t, "error"))
	}
}

// TestSilentRedis has a server that takes connections and says nothing: every
// operation costs a tenth of a second, and after five of them nothing.
func TestSilentRedis(t *testing.T) {
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	r := newCache(t, listener.Addr().String())
	for n := range 5 {
		began := time.Now()
		if _, found := r.Get(t.Context(), "ord_1"); found {
			t.Fatal("found")
		}
		if took := time.Since(began); took > 5*operationTimeout {
			t.Errorf("operation %d took %v", n+1, took)
		}
	}
	began := time.Now()
	for range 100 {
		r.Get(t.Context(), "ord_1")
		r.Put(t.Context(), order)
	}
	if took := time.Since(began); took > operationTimeout {
		t.Errorf("200 operations past an open breaker took %v", took)
	}
	if failed, skipped := r.counted(t, "error"), r.counted(t, "skipped"); failed != 5 || skipped != 100 {
		t.Errorf("counted %d errors and %d skipped", failed, skipped)
	}
}

// TestCallersWhoHangUpDoNotOpenTheBreaker cancels before Redis can answer.
func TestCallersWhoHangUpDoNotOpenTheBreaker(t *testing.T) {
	server := miniredis.RunT(t)
	r := newCache(t, server.Addr())
	r.Put(t.Context(), order)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		r.Get(gone, order.ID)
	}
	if _, found := r.Get(t.Context(), order.ID); !found {
		t.Error("the breaker has opened")
	}
}
