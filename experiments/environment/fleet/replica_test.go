package fleet

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// TestProbeOfFronted asks a replica for which somebody else accepts only while it
// runs, and any other one at all times.
func TestProbeOfFronted(t *testing.T) {
	var asked atomic.Int32
	answers := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer answers.Close()
	f := New(Config{
		Subject: &subject.Subject{Service: subject.Service{Readiness: subject.Endpoint{Path: "/readyz"}}},
		Journal: journal.NewMemory(journal.Header{}),
	})
	defer f.probes.CloseIdleConnections()
	for _, fronted := range []bool{false, true} {
		asked.Store(0)
		u := &Unit{Fronted: fronted, Addresses: map[string]string{"http": strings.TrimPrefix(answers.URL, "http://")}}
		r := &replica{fleet: f, unit: u, Keeper: Keeper{Target: "tiny-1"}}
		err := r.probe(t.Context())
		if fronted && (!errors.Is(err, errNotRunning) || asked.Load() != 0) || !fronted && err != nil {
			t.Errorf("fronted %v, before its start: %v, asked %d times", fronted, err, asked.Load())
		}
		p := &deaf{done: make(chan struct{})}
		start := func(context.Context, func(spawn.Exit)) (Process, error) { return p, nil }
		if _, err := r.Launch(t.Context(), start); err != nil {
			t.Fatal(err)
		}
		if err := r.probe(t.Context()); err != nil {
			t.Errorf("fronted %v, running: %v", fronted, err)
		}
		close(p.done)
		if err := r.probe(t.Context()); fronted != errors.Is(err, errNotRunning) {
			t.Errorf("fronted %v, ended: %v", fronted, err)
		}
	}
}
