// Package health says whether a replica is alive and whether it should be
// given work.
package health

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

const (
	period  = 500 * time.Millisecond
	timeout = 400 * time.Millisecond
)

// Pinger asks a dependency without which no request can be answered.
type Pinger interface {
	Ping(ctx context.Context) error
}

// Health knows a replica's state. Probes are answered from memory; the
// dependency is asked in the background, however often the probes come.
type Health struct {
	database Pinger
	ready    atomic.Bool
	draining atomic.Bool
}

// New returns the health of a replica that is not ready yet.
func New(database Pinger) *Health { return &Health{database: database} }

// Watch asks the database until ctx ends.
func (h *Health) Watch(ctx context.Context) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		h.check(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (h *Health) check(ctx context.Context) {
	pinging, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := h.database.Ping(pinging)
	if ctx.Err() != nil {
		return
	}
	if was := h.ready.Swap(err == nil); was != (err == nil) {
		telemetry.Logger(ctx).Info("readiness changed", "ready", err == nil)
	}
}

// Drain makes the replica unready for good.
func (h *Health) Drain() { h.draining.Store(true) }

// Draining says that the replica has been told to stop.
func (h *Health) Draining() bool { return h.draining.Load() }

// Live answers 200 for as long as the process can answer at all.
func (h *Health) Live(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, "live")
}

// Ready answers 200 when requests can be served, else 503.
func (h *Health) Ready(w http.ResponseWriter, _ *http.Request) {
	switch {
	case h.draining.Load():
		answer(w, http.StatusServiceUnavailable, "draining")
	case !h.ready.Load():
		answer(w, http.StatusServiceUnavailable, "database unavailable")
	default:
		answer(w, http.StatusOK, "ready")
	}
}

func answer(w http.ResponseWriter, status int, state string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"status":"` + state + `","service":"` + telemetry.Name +
		`","version":"` + telemetry.Version() + `"}` + "\n"))
}
