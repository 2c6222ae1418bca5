package experiments

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

func TestHealthProbes(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/livez" {
			asked.Add(1)
		}
	}))
	defer server.Close()
	x, env, _, m := fakes()
	x.Target = "orders-1"
	x.Plan.Subject.Service.Liveness = subject.Endpoint{Port: "http", Path: "/livez"}
	env.replicas[0].(*fakeReplica).url = server.URL
	h := &HealthProbes{Endpoint: journal.Liveness, Rate: 200}
	if err := h.Witness(m, "", journal.Window{}); !errors.Is(err, faults.ErrNotInForce) {
		t.Errorf("the witness of nothing says %v", err)
	}
	stop, err := h.Start(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for asked.Load() < 5 {
		<-tick.C
	}
	errorIs(t, stop(t.Context()), "")
	errorIs(t, h.Witness(m, "", journal.Window{}), "")
	if got := quantitiesIn(m)["it liveness_probes"]; got < 4 || got > float64(asked.Load()) {
		t.Errorf("recorded %v answers of %d", got, asked.Load())
	}
}

func TestHealthProbesRefuse(t *testing.T) {
	s := sampleSubject(t)
	s.Service.Readiness = subject.Endpoint{Port: "http", Path: "/readyz"}
	s.Service.Liveness = subject.Endpoint{}
	good := &HealthProbes{Endpoint: journal.Readiness, Rate: 100}
	errorIs(t, good.Supports(s, "orders-1"), "")
	errorIs(t, good.Supports(s, "postgres"), "not a replica")
	errorIs(
		t,
		(&HealthProbes{Endpoint: journal.Liveness, Rate: 100}).Supports(s, "orders-1"),
		"name it as service.liveness",
	)
	errorIs(t, (&HealthProbes{Endpoint: "metrics", Rate: 100}).Supports(s, "orders-1"), "endpoint must be")
	errorIs(t, (&HealthProbes{Endpoint: journal.Readiness}).Supports(s, "orders-1"), "rate must be above 0")
}
