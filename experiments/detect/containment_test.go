package detect

import (
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// containedMade has payments hang from 5 s to 25 s. Of the callers of create,
// who use it, perRequest reach it in the last ten seconds; what they get is a
// 503 until good.
func containedMade(perRequest, good float64) *made {
	m := newMade()
	m.header.Target = "payments"
	m.header.LoadFor = 70 * time.Second
	m.step("hang", "hang", "fault", "payments", 5, 25)
	m.load("load", "get", 0, 70, 25, 0.01, 200)
	m.load("load", "create", 0, 5, 25, 0.05, 201)
	m.load("load", "create", 5, good, 25, 0.02, 503)
	m.load("load", "create", good, 70, 25, 0.05, 201)
	for i := range 100 {
		m.at(5+0.1*float64(i), "payments", journal.Call{Method: "POST", HungUp: true, HungUpAfter: time.Second})
	}
	for i := range int(250 * perRequest) {
		at := 15 + float64(i)*10/(250*perRequest)
		m.at(at, "payments", journal.Call{Method: "POST", HungUp: true, HungUpAfter: time.Second})
	}
	return m
}

func TestContainment(t *testing.T) {
	inFault := func(route string, edit func(*journal.Request)) func(*made) {
		return func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Route == route && r.Due >= secs(5) && r.Due < secs(25) {
					edit(r)
				}
			})
		}
	}
	failing := func(r *journal.Request) { r.OK, r.Code = r.Seq%50 != 0, 500 }
	answersWith := func(status int) func(*made) {
		return func(m *made) {
			replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
				c.Status, c.HungUp, c.HungUpAfter, c.Answered = status, false, 0, time.Millisecond
				return c
			})
		}
	}
	// usual has so many calls a request before the fault.
	usual := func(perRequest float64) func(*made) {
		return func(m *made) {
			for i := range int(125 * perRequest) {
				m.at(float64(i)*0.039, "payments", journal.Call{Method: "POST", Status: 200, Answered: time.Millisecond})
			}
		}
	}
	takes := func(d time.Duration) func(*journal.Request) {
		return func(r *journal.Request) { r.Done = r.Sent.Add(d) }
	}
	nothing := func(*made) {}
	tests := []struct {
		name             string
		perRequest, good float64
		edit             func(*made)
		outcome          Outcome
		reason           string
	}{
		{"breaker", 0.02, 28, nothing, Held, "payments was contained in 1 step:"},
		{"half is let through", 0.5, 28, nothing, Held, ""},
		{"more than half", 0.52, 28, nothing, Violated, "payments got 0.52 calls per request"},
		{"no breaker", 3, 28, nothing, Violated, "add a circuit breaker"},
		{"others fail", 0.02, 28, inFault("get", failing), Violated, "that what does without payments goes on"},
		{"others are slow", 0.02, 28, inFault("get", takes(81*time.Millisecond)), Violated, "its p99 was 81ms"},
		{"others are nearly slow", 0.02, 28, inFault("get", takes(79*time.Millisecond)), Held, ""},
		{"good after 29 s", 0.02, 54, nothing, Held, ""},
		{"good after 31 s", 0.02, 56.2, nothing, Violated, "does the breaker close again?"},
		{"never good again", 0.02, 70, nothing, Violated, "does the breaker close again?"},
		{
			"watched too briefly", 0.02, 70, func(m *made) { m.header.LoadFor = 40 * time.Second }, Unknown,
			"make the experiment's recovery longer",
		},
		{"still asked with 4xx", 1, 28, answersWith(400), Held, "and was still asked 1 time per request"},
		{"4xx opens the breaker", 0.3, 28, answersWith(400), Violated, "do not count 4xx"},
		{"4xx opens the breaker for good", 0, 28, answersWith(400), Violated, "asked only 0 times"},
		{"4xx, of too few", 1, 28, func(m *made) {
			answersWith(400)(m)
			m.requests = slices.DeleteFunc(m.requests, func(r journal.Request) bool {
				return r.Route == "create" && r.Due > secs(15) && r.Due < secs(22)
			})
		}, Unknown, "whether a breaker counts 4xx"},
		{"503 is an outage", 1, 28, answersWith(503), Violated, "add a circuit breaker"},
		{
			"nothing declared to do without", 0.02, 28, func(m *made) { m.header.Routes[1].Uses = nil }, Unknown,
			"no request of the traffic is declared to do without payments",
		},
		{
			"nothing declared to use it", 0.02, 28, func(m *made) { m.header.Routes[0].Uses = nil }, Unknown,
			"is declared to use payments",
		},
		{"no requests", 0.02, 28, func(m *made) { m.requests = nil }, Unknown, "only 0 requests that use payments"},
		{"too short", 0.02, 28, func(m *made) {
			for i, e := range m.entries {
				if s, ok := e.Body.(journal.StepEvent); ok && s.Phase == journal.PhaseInForce {
					m.entries[i].At = secs(11)
				}
			}
		}, Unknown, "15s are needed"},
		{"no call met the fault", 0.02, 28, without[journal.Call], Unknown, "no call at all met the fault"},
		{"half of the requests never called it", 0.5, 28, usual(0.5), Unknown, "0.5 calls per request before it was broken"},
		{"half of them never called it, and a breaker", 0.02, 28, usual(0.5), Held, "payments was contained"},
		{"half of them never called it, with 4xx", 0.5, 28, func(m *made) {
			usual(0.5)(m)
			answersWith(400)(m)
		}, Held, "still asked 0.5 times per request"},
		{"another's fault was met", 0.02, 28, func(m *made) {
			m.header.Dependencies = append(m.header.Dependencies, journal.DependencyInfo{Name: "mail", Kind: "http"})
			m.header.Routes[0].Uses = append(m.header.Routes[0].Uses, "mail")
			m.step("too", "hang", "fault", "mail", 5, 25)
		}, Unknown, "no call at all met the fault on mail"},
		{"nobody is there to ask", 0.02, 28, inFault("create", func(r *journal.Request) {
			r.OK, r.Code, r.Err = false, 0, journal.ErrEOF
		}), Unknown, "only 0 requests that use payments were answered"},
		{"not in force", 0.02, 28, without[journal.StepEvent], Unknown, "was not in force"},
		{"no step", 0.02, 28, func(m *made) { m.header.Method = nil }, Unknown, "no step broke an http dependency"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := containedMade(tt.perRequest, tt.good)
			tt.edit(m)
			wants(t, judged(t, "containment", m), tt.outcome, tt.reason)
		})
	}
}

func TestContainmentByBulkhead(t *testing.T) {
	// 25 calls a second that are held for a second: 26 at once at most.
	m := containedMade(1, 28)
	for most, want := range map[int]Outcome{12: Violated, 13: Held} {
		f := (&Containment{Cap: most}).Detect(m.memory())
		if f.Outcome != want {
			t.Errorf("with a cap of %d per replica: %s: %s (%v in flight)", most, f.Outcome, f.Reason,
				quantityOf(t, f, "calls_in_flight_max").Value)
		}
	}
}
