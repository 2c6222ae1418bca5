package detect

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// slowMade has the database out from 5 s to 25 s, replica-1 started at 9 s,
// ready at some time, and load that is answered from 26 s on.
func slowMade(ready float64) *made {
	m := newMade()
	m.header.LoadFor = 40 * time.Second
	m.step("hangs", "blackhole", "fault", "db", 5, 25)
	m.at(8, "replica-1", journal.Signalled{Signal: "SIGTERM"})
	m.at(8.9, "replica-1", journal.Exited{Asked: "SIGTERM"})
	m.at(9, "replica-1", journal.Started{PID: 2, Start: 2})
	m.polls("replica-1", journal.Liveness, 9, 9.3, 0)
	m.polls("replica-1", journal.Liveness, 9.3, 40, http.StatusOK)
	m.polls("replica-1", journal.Readiness, 9, 9.3, 0)
	m.polls("replica-1", journal.Readiness, 9.3, ready, http.StatusServiceUnavailable)
	m.polls("replica-1", journal.Readiness, ready, 40, http.StatusOK)
	m.load("load", "get", 26.5, 40, 10, 0.01, http.StatusOK)
	return m
}

func TestSlowStart(t *testing.T) {
	live := func(from, to float64, code int) func(*made) {
		return pollsOf(journal.Liveness, from, to, func(p *journal.Poll) { p.Code = code })
	}
	startup := func(from float64) func(*made) {
		return func(m *made) {
			m.polls("replica-1", journal.Startup, 9, from, http.StatusServiceUnavailable)
			m.polls("replica-1", journal.Startup, from, 40, http.StatusOK)
		}
	}
	soft := func(m *made) { m.header.Dependencies[0].Soft = true }
	alone := func(m *made) { m.header.Replicas = m.header.Replicas[:1] }
	failing := func(due float64) func(*made) {
		return func(m *made) { m.hit("load", "get", due, 0.01, http.StatusInternalServerError) }
	}
	tests := []struct {
		name    string
		ready   float64
		edits   []func(*made)
		outcome Outcome
		reason  string
	}{
		{"waits", 26, nil, Held, "1 replica started while a dependency was out lived on"},
		{"ready just in time", 34.9, nil, Held, ""},
		{"ready too late", 35.2, nil, Violated, "within 10s of db being back; replica-1 took 10.2s"},
		{"never ready", 40, nil, Violated, "replica-1 was not after 15s"},
		{
			"never ready, too short to tell", 40,
			[]func(*made){func(m *made) { m.header.LoadFor = 34 * time.Second }},
			Unknown, "make the experiment's recovery longer",
		},
		{"ready before it can serve", 20, nil, Violated, "promised not to be ready before it can serve"},
		{
			"ready once", 26,
			[]func(*made){pollsOf(journal.Readiness, 9.3, 9.34, func(p *journal.Poll) { p.Code = http.StatusOK })},
			Violated, "in 1 of",
		},
		{"soft dependency, ready without it", 10, []func(*made){soft}, Held, "goes on without db"},
		{"ends", 26, []func(*made){func(m *made) {
			m.at(12, "replica-1", journal.Exited{Code: 1})
			m.at(13, "replica-1", journal.Started{PID: 3, Start: 3})
		}}, Violated, "ended by itself 1 time, with code 1"},
		{"not alive", 26, []func(*made){live(9, 40, 0)}, Violated, "listen first, or declare a startup probe"},
		{"alive late", 26, []func(*made){live(9, 20, 0)}, Violated, "only 11s after its start"},
		{"alive late, with a startup endpoint", 26, []func(*made){live(9, 20, 0), startup(21)}, Held, ""},
		{"never started, with a startup endpoint", 26, []func(*made){live(9, 26, 0), startup(26)}, Held, ""},
		{"one 503 of liveness", 26, []func(*made){live(15, 15.04, 503)}, Violated, "promised to stay alive"},
		{"two unanswered", 26, []func(*made){live(15, 15.08, 0)}, Held, ""},
		{"liveness after the repair", 26, []func(*made){live(30, 31, 503)}, Held, ""},
		{"no liveness", 26, []func(*made){func(m *made) {
			m.entries = slices.DeleteFunc(m.entries, func(e journal.Entry) bool {
				p, ok := e.Body.(journal.Poll)
				return ok && p.Endpoint == journal.Liveness
			})
		}}, Held, "no liveness endpoint"},
		{"a 5xx once ready", 26, []func(*made){failing(27), alone}, Violated, "when the first replica was ready, 1 of"},
		{"a 5xx, perhaps another's", 26, []func(*made){failing(27)}, Unknown, "replica-2 was not started anew"},
		{"a 5xx while it is out, ready without it", 10, []func(*made){soft, alone, failing(12)}, Held, "goes on without db"},
		{"started late", 26, []func(*made){func(m *made) {
			for i, e := range m.entries {
				if e.On == "replica-1" && e.At < secs(15.1) && e.At >= secs(9) {
					m.entries[i].Body = journal.Note{}
				}
			}
			m.at(15.1, "replica-1", journal.Started{PID: 2, Start: 2})
		}}, Unknown, "only 9.9s before db was back"},
		{"a 5xx before", 26, []func(*made){failing(25.5)}, Held, ""},
		{"a 5xx of the balancer's", 26, []func(*made){failing(27), func(m *made) { m.header.Balancer = "http" }}, Held, ""},
		{"few requests", 26, []func(*made){func(m *made) { m.requests = m.requests[:10] }}, Unknown, "20 are needed"},
		{"not polled", 26, []func(*made){without[journal.Poll]}, Unknown, "readiness was not polled"},
		{"not started", 26, []func(*made){without[journal.Started]}, Unknown, "no replica was started"},
		{"not in force", 26, []func(*made){without[journal.StepEvent]}, Unknown, "was not in force"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := slowMade(tt.ready)
			for _, edit := range tt.edits {
				edit(m)
			}
			wants(t, judged(t, "slow_start", m), tt.outcome, tt.reason)
		})
	}
}

var (
	_ = madeUpAs("slow_start/held-waits", makes(func() *made { return slowMade(26) }, thin(2)))
	_ = madeUpAs("slow_start/violated-ready-too-early", makes(func() *made { return slowMade(12) }, thin(2)))
	_ = madeUpAs("slow_start/unknown-not-started",
		makes(func() *made { return slowMade(26) }, thin(4), without[journal.Started]))
)
