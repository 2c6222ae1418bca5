package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// aliveMade has the database out from 5 s to 15 s and liveness polled all the
// time.
func aliveMade() *made {
	m := newMade()
	m.header.LoadFor = 20 * time.Second
	m.step("out", "blackhole", "fault", "db", 5, 15)
	for _, r := range m.header.Replicas {
		m.polls(r, journal.Liveness, 1, 20, 200)
	}
	return m
}

// pollsOf edits the polls of an endpoint of replica-1 sent in a span.
func pollsOf(endpoint string, from, to float64, edit func(*journal.Poll)) func(*made) {
	return func(m *made) {
		replace(m, func(e journal.Entry, p journal.Poll) journal.Body {
			if e.On == "replica-1" && p.Endpoint == endpoint && e.At >= secs(from) && e.At < secs(to) {
				edit(&p)
			}
			return p
		})
	}
}

func TestLiveness(t *testing.T) {
	live := func(from, to float64, edit func(*journal.Poll)) func(*made) {
		return pollsOf(journal.Liveness, from, to, edit)
	}
	silent := func(p *journal.Poll) { p.Code, p.Err = 0, journal.ErrTimeout }
	refuses := func(p *journal.Poll) { p.Code = 503 }
	slow := func(d time.Duration) func(*journal.Poll) { return func(p *journal.Poll) { p.Took = d } }
	unasked := func(from, to float64) func(*made) {
		return func(m *made) {
			replace(m, func(e journal.Entry, p journal.Poll) journal.Body {
				if e.On == "replica-1" && e.At >= secs(from) && e.At < secs(to) {
					return journal.Note{}
				}
				return p
			})
		}
	}
	then := func(all ...func(*made)) func(*made) {
		return func(m *made) {
			for _, f := range all {
				f(m)
			}
		}
	}
	tests := []struct {
		name    string
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"alive", func(*made) {}, Held, "all 400 answers were 200"},
		{"one 503", live(8, 8.04, refuses), Violated, "1 of 400 polls were answered with something else than 200"},
		{"one unanswered", live(8, 8.04, silent), Held, "1 of 400 polls got no answer"},
		{"two in a row unanswered", live(8, 8.09, silent), Held, "2 of 400 polls got no answer"},
		{"three in a row unanswered", live(8, 8.14, silent), Violated, "3 of them in a row"},
		{
			"503 before and during", then(live(2, 2.04, refuses), live(8, 8.04, refuses)), Unknown,
			"liveness had failed before anything was broken",
		},
		{"503 after", live(16, 17, refuses), Held, ""},
		{"p99 at 249 ms", live(8, 9, slow(249*time.Millisecond)), Held, "their p99 was 249ms"},
		{"p99 at 252 ms", live(8, 9, slow(252*time.Millisecond)), Violated, "above 250ms"},
		{"p99 at 252 ms on a busy machine", then(live(8, 9, slow(252*time.Millisecond)), func(m *made) {
			m.at(9, "", journal.Sleeper{Sleep: 20 * time.Millisecond, Overshoots: []time.Duration{60 * time.Millisecond}})
		}), Unknown, "the machine itself was late by 60"},
		{"three slow ones in 400", live(8, 8.14, slow(time.Second)), Held, ""},
		{"ended by itself", func(m *made) { m.at(8, "replica-1", journal.Exited{Code: 2}) }, Violated, "ended by itself"},
		{"stopped by us", then(func(m *made) {
			m.at(7.99, "replica-1", journal.Signalled{Signal: "SIGKILL"})
			m.at(8, "replica-1", journal.Exited{Code: -1, Signal: "killed", Asked: "SIGKILL"})
			m.at(8.5, "replica-1", journal.Started{PID: 2, Start: 2})
		}, live(8, 9, silent)), Held, ""},
		{"no endpoint", then(without[journal.Poll], func(m *made) {
			m.polls("replica-1", journal.Readiness, 1, 20, 200)
		}), NotApplicable, "name it as service.liveness"},
		{"nothing polled", without[journal.Poll], Unknown, "liveness was not polled"},
		{"no endpoint", func(m *made) {
			without[journal.Poll](m)
			m.header.Endpoints = []string{}
		}, NotApplicable, "name it as service.liveness"},
		{"an endpoint, not polled", func(m *made) {
			without[journal.Poll](m)
			m.header.Endpoints = []string{journal.Liveness}
		}, Unknown, "liveness was not polled"},
		{"few polls", func(m *made) {
			n := 0
			replace(m, func(_ journal.Entry, p journal.Poll) journal.Body {
				if n++; n%20 != 0 {
					return journal.Note{}
				}
				return p
			})
		}, Unknown, "30 are needed"},
		{"not asked for a while", unasked(8, 10.2), Unknown, "replica-1 was not asked for 2.25s"},
		{"not asked while it was down", then(unasked(8, 11), func(m *made) {
			m.at(7.9, "replica-1", journal.Signalled{Signal: "SIGKILL"})
			m.at(8, "replica-1", journal.Exited{Code: -1, Signal: "killed", Asked: "SIGKILL"})
			m.at(10.5, "replica-1", journal.Started{PID: 2, Start: 2})
		}), Held, ""},
		{"not in force", without[journal.StepEvent], Unknown, "was never in force"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := aliveMade()
			tt.edit(m)
			wants(t, judged(t, "liveness", m), tt.outcome, tt.reason)
		})
	}
}

// readyMade has a dependency out from 5 s to 30 s; readiness fails from turned
// to back.
func readyMade(target string, turned, back float64) *made {
	m := newMade()
	m.header.LoadFor = 45 * time.Second
	m.step("out", "outage", "fault", target, 5, 30)
	m.load("load", "get", 0, 5, 50, 0.01, 200)
	for _, r := range m.header.Replicas {
		m.polls(r, journal.Readiness, 1, turned, 200)
		m.polls(r, journal.Readiness, turned, back, 503)
		m.polls(r, journal.Readiness, back, 45, 200)
	}
	return m
}

func TestReadiness(t *testing.T) {
	ready := func(from, to float64, edit func(*journal.Poll)) func(*made) {
		return pollsOf(journal.Readiness, from, to, edit)
	}
	good := func(p *journal.Poll) { p.Code = 200 }
	nothing := func(*made) {}
	tests := []struct {
		name         string
		target       string
		turned, back float64
		edit         func(*made)
		outcome      Outcome
		reason       string
	}{
		{"true", "db", 7, 32, nothing, Held, "unready at most 2s after the fault, ready again at most 2s"},
		{"within two periods", "db", 24.9, 32, nothing, Held, ""},
		{"not within two periods", "db", 25.2, 32, nothing, Violated, "promised to turn unready within 20s"},
		{"always 200", "db", 40, 40, nothing, Violated, "replica-2 still answered 200"},
		{"always 200, too short to tell", "db", 40, 40, func(m *made) {
			for i, e := range m.entries {
				if s, ok := e.Body.(journal.StepEvent); ok && (s.Phase == journal.PhaseRevert || s.Phase == journal.PhaseReverted) {
					m.entries[i].At = secs(24)
				}
			}
		}, Unknown, "less than two probe periods"},
		{"back within 10 s", "db", 7, 39.9, nothing, Held, ""},
		{"back after 10.2 s", "db", 7, 40.2, nothing, Violated, "within 10s of db being back; it took"},
		{"never back", "db", 7, 45, nothing, Violated, "replica-2 was not"},
		{
			"never back, too short to tell", "db", 7, 45, func(m *made) { m.header.LoadFor = 39 * time.Second }, Unknown,
			"make the experiment's recovery longer",
		},
		{"unready before", "db", 7, 32, ready(4, 7, func(p *journal.Poll) { p.Code = 503 }), Unknown, "was not ready before"},
		{"stopped when it should long have turned", "db", 40, 40, func(m *made) {
			m.at(25.5, "replica-1", journal.Signalled{Signal: "SIGTERM"})
			m.at(25.5, "replica-2", journal.Signalled{Signal: "SIGTERM"})
		}, Violated, "when it had been so for 20.5s (5s to 25.5s)"},
		{"ended with it", "db", 7, 32, func(m *made) {
			m.at(5.1, "replica-1", journal.Exited{Code: 1})
			m.at(5.1, "replica-2", journal.Exited{Code: 1})
		}, Unknown, "replica-2 was down from 5.1s on, before it had turned unready"},
		{
			"slow probe", "db", 7, 32, ready(8, 8.04, func(p *journal.Poll) { p.Took = 1100 * time.Millisecond }), Violated,
			"bound the checks",
		},
		{"probe just in time", "db", 7, 32, ready(8, 8.04, func(p *journal.Poll) { p.Took = time.Second }), Held, ""},
		{"two flaps", "db", 7, 32, func(m *made) {
			ready(8, 8.04, good)(m)
			ready(9, 9.04, good)(m)
		}, Held, ""},
		{"three flaps", "db", 7, 32, func(m *made) {
			ready(8, 8.04, good)(m)
			ready(9, 9.04, good)(m)
			ready(10, 10.04, good)(m)
		}, Violated, "turned back to ready 3 times"},
		{"soft dependency, stays ready", "cache", 40, 40, nothing, Held, ""},
		{"soft dependency, turns unready", "cache", 7, 32, nothing, Violated, "cache is a soft dependency"},
		{"not used by all", "payments", 40, 40, nothing, Held, "half of the traffic or more does without payments"},
		{"ready but failing", "db", 7, 32, func(m *made) {
			m.change(func(r *journal.Request) { r.OK = r.Seq%10 != 0 })
		}, Violated, "readiness said 200 in the steady state while only 90 %"},
		{"not polled", "db", 7, 32, without[journal.Poll], Unknown, "readiness was not polled"},
		{"no endpoint", "db", 7, 32, func(m *made) {
			without[journal.Poll](m)
			m.header.Endpoints = []string{}
		}, NotApplicable, "name it as service.readiness"},
		{"not in force", "db", 7, 32, without[journal.StepEvent], Unknown, "was not in force"},
		{"no step", "db", 7, 32, func(m *made) { m.header.Method = nil }, Unknown, "no step made a dependency unusable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := readyMade(tt.target, tt.turned, tt.back)
			tt.edit(m)
			wants(t, judged(t, "readiness", m), tt.outcome, tt.reason)
		})
	}
}
