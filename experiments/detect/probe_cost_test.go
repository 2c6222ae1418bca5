package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// probedMade has an endpoint asked 100 times a second from 5 s to 7 s, and so
// many calls a second of the database while it is; before, and of our own, there
// are two and ten.
func probedMade(endpoint string, perSecond float64) *made {
	m := newMade()
	m.header.Rate = -1
	m.header.LoadFor = 10 * time.Second
	m.step("often", "health_probes", "probe", "replica-1", 5, 7)
	m.at(7, "often", journal.Measured{Quantity: journal.Quantity{Name: endpoint + "_probes", Value: 200, Unit: "1"}})
	for _, r := range m.header.Replicas {
		m.polls(r, endpoint, 1, 10, 200)
	}
	chunks := 0.0
	for i := range 100 {
		at := float64(i) / 10
		chunks += 0.2 + 1
		if at >= 5 && at < 7 {
			chunks += perSecond / 10
		}
		m.at(at+0.05, "db", journal.Tally{UpChunks: uint64(chunks)})
		m.at(at+0.02, "db", journal.RoundTrip{Up: 8})
	}
	return m
}

func TestProbeCost(t *testing.T) {
	tests := []struct {
		name, endpoint string
		perSecond      float64
		edit           func(*made)
		outcome        Outcome
		reason         string
	}{
		{"liveness from memory", journal.Liveness, 0, func(*made) {}, Held, ""},
		{"liveness asks", journal.Liveness, 100, func(*made) {}, Violated, "promised a liveness that asks nobody"},
		{"liveness asks a little", journal.Liveness, 1, func(*made) {}, Held, ""},
		{
			"liveness, nothing before", journal.Liveness, 0, func(m *made) { m.header.LoadFrom = secs(4.5) }, Unknown,
			"no quiet time",
		},
		{"readiness from memory", journal.Readiness, 0, func(*made) {}, Held, "readiness was answered 200 times from memory"},
		{"readiness asks", journal.Readiness, 100, func(*made) {}, Held, "have the state checked in the background"},
		{"readiness comes and goes", journal.Readiness, 0, func(m *made) {
			m.step("rare", "status", "fault", "payments", 8, 10)
			for _, from := range []float64{8.2, 8.6, 9} {
				pollsOf(journal.Readiness, from, from+0.06, func(p *journal.Poll) { p.Code = 503 })(m)
			}
		}, Violated, "ask for several failures in a row"},
		{"readiness comes and goes twice", journal.Readiness, 0, func(m *made) {
			m.step("rare", "status", "fault", "payments", 8, 10)
			for _, from := range []float64{8.2, 8.6} {
				pollsOf(journal.Readiness, from, from+0.06, func(p *journal.Poll) { p.Code = 503 })(m)
			}
		}, Held, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := probedMade(tt.endpoint, tt.perSecond)
			tt.edit(m)
			wants(t, judged(t, tt.endpoint, m), tt.outcome, tt.reason)
		})
	}
}

// A replica that says that it is ready while requests still fail does not tell
// the truth.
func TestReadyAgain(t *testing.T) {
	m := readyMade("db", 7, 32)
	m.load("load", "get", 32.5, 44, 50, 0.01, 503)
	wants(t, judged(t, "readiness", m), Violated, "all replicas said again that they were ready at 32s")
	m.change(func(r *journal.Request) { r.OK, r.Code = true, 200 })
	wants(t, judged(t, "readiness", m), Held, "")
}
