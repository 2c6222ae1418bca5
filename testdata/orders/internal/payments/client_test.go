package payments

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

func client(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c := New(server.URL, telemetry.NewMetrics("test"))
	t.Cleanup(c.Close)
	return c
}

func TestChargeRetriesWithTheSameKey(t *testing.T) {
	var keys, ids []string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		keys, ids = append(keys, r.Header.Get("Idempotency-Key")), append(ids, r.Header.Get("X-Request-Id"))
		if len(keys) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	ctx := telemetry.WithScope(t.Context(), telemetry.Scope{RequestID: "r1"})
	if err := c.Charge(ctx, "k1", 100); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if keys[i] != "k1" || ids[i] != "r1" {
			t.Errorf("attempt %d: key %q, request id %q", i+1, keys[i], ids[i])
		}
	}
	var counted dto.Metric
	if err := c.metrics.Retries.WithLabelValues("payments").Write(&counted); err != nil {
		t.Fatal(err)
	}
	if n := counted.GetCounter().GetValue(); n != 2 {
		t.Errorf("%v retries counted, want 2", n)
	}
}

func TestCallStatuses(t *testing.T) {
	for status, want := range map[int]struct {
		attempts int64
		err      error
	}{
		http.StatusCreated:            {1, nil},
		http.StatusPaymentRequired:    {1, orders.ErrDeclined},
		http.StatusBadRequest:         {1, ErrUnavailable},
		http.StatusNotImplemented:     {1, ErrUnavailable},
		http.StatusServiceUnavailable: {3, ErrUnavailable},
		http.StatusTooManyRequests:    {3, ErrUnavailable},
	} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			t.Parallel()
			var attempts atomic.Int64
			c := client(t, func(w http.ResponseWriter, _ *http.Request) {
				attempts.Add(1)
				w.WriteHeader(status)
			})
			if err := c.Charge(t.Context(), "k", 1); !errors.Is(err, want.err) {
				t.Errorf("got %v, want %v", err, want.err)
			}
			if attempts.Load() != want.attempts {
				t.Errorf("%d attempts, want %d", attempts.Load(), want.attempts)
			}
		})
	}
}

func TestCallerHangsUp(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	c := client(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice
		close(asked)
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if err := c.Charge(ctx, "k", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	<-gone
}

func TestRetryAfterBeyondTheDeadline(t *testing.T) {
	var attempts atomic.Int64
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		attempts.Add(1)
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	start := time.Now()
	if err := c.Charge(t.Context(), "k", 1); !errors.Is(err, errTooLate) {
		t.Errorf("got %v, want too late", err)
	}
	if attempts.Load() != 1 || time.Since(start) > time.Second {
		t.Errorf("%d attempts in %v", attempts.Load(), time.Since(start))
	}
}

func TestBulkhead(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	for range maxConcurrent {
		c.slots <- struct{}{}
	}
	if err := c.Charge(t.Context(), "k", 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	<-c.slots
	if err := c.Charge(t.Context(), "k", 1); err != nil {
		t.Error(err)
	}
}

func TestBackoffGrowsWithFullJitter(t *testing.T) {
	for n := 1; n <= 3; n++ {
		most := backoffBase << (n - 1)
		low, high := most, time.Duration(0)
		for range 1000 {
			d := backoff(n)
			low, high = min(low, d), max(high, d)
		}
		if low > most/20 || high < most*19/20 || high > most {
			t.Errorf("attempt %d: waits from %v to %v, want from 0 to %v", n, low, high, most)
		}
	}
}

func TestBudget(t *testing.T) {
	b := newBudget()
	spent := 0
	for b.spend() {
		spent++
	}
	if spent < budgetMost || spent > budgetMost+5 {
		t.Errorf("%d retries at once, want %d", spent, budgetMost)
	}
	b.tokens, b.last = 0, time.Now()
	for range 5 {
		b.earn()
	}
	if !b.spend() || b.spend() {
		t.Error("five calls should earn one retry")
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "2": 2 * time.Second, "-1": 0, "soon": 0, "Mon, 02 Jan 2006 15:04:05 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
