package detect

import (
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// rollMade replaces two replicas between 5 s and 15 s under 150/s; each is
// unready for three seconds.
func rollMade() *made {
	m := newMade()
	m.header.LoadFor = 20 * time.Second
	m.step("roll", "rolling_restart", "operation", "", 5, 15)
	m.load("load", "get", 0, 20, 150, 0.01, 200)
	for i, name := range m.header.Replicas {
		from := 5.5 + 5*float64(i)
		m.polls(name, journal.Readiness, 1, from, 200)
		m.polls(name, journal.Readiness, from, from+3, 503)
		m.polls(name, journal.Readiness, from+3, 20, 200)
		m.at(from, name, journal.Signalled{Signal: "SIGTERM"})
		m.at(from+2, name, journal.Exited{Asked: "SIGTERM"})
		m.at(from+2.1, name, journal.Started{PID: 9, Start: 2})
	}
	return m
}

func TestRollingRestart(t *testing.T) {
	fail := func(due float64) func(*made) {
		return func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Due >= secs(due) && r.Due < secs(due)+secs(0.006) {
					r.OK, r.Code, r.Err = false, 0, journal.ErrReset
				}
			})
		}
	}
	slow := func(took float64) func(*made) {
		return func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Due > secs(7) && r.Due < secs(8) {
					r.Done = r.Sent + secs(took)
				}
			})
		}
	}
	// alsoDown makes replica-2 unready while replica-1 is.
	alsoDown := func(from, to float64) func(*made) {
		return func(m *made) {
			replace(m, func(e journal.Entry, p journal.Poll) journal.Body {
				if e.On == "replica-2" && e.At >= secs(from) && e.At < secs(to) {
					p.Code = 503
				}
				return p
			})
		}
	}
	tests := []struct {
		name    string
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"unnoticed", func(*made) {}, Held, "all replicas were replaced between 5s and 15s: none of"},
		{"one lost", fail(8), Violated, "1 of 1801 requests between 5s and 17s failed (1 × reset)"},
		{"lost just after", fail(16.5), Violated, "failed (1 × reset)"},
		{"lost long after", fail(17.5), Held, ""},
		{"lost before", fail(4), Held, ""},
		{"few of each, enough of all", halfBy("newcomers"), Held, "none of 1801 requests"},
		{"lost by an attack", func(m *made) { fail(8)(m); halfBy("newcomers")(m) }, Violated, "1 of 1801 requests"},
		{"too few", func(m *made) {
			m.requests = slices.DeleteFunc(m.requests, func(r journal.Request) bool { return r.Seq%2 == 0 })
		}, Unknown, "1000 are needed"},
		{"p99 near its bound", slow(0.079), Held, ""},
		{"p99 above it", slow(0.082), Violated, "the p99 was 82ms"},
		{"p99 above it by a late generator", func(m *made) {
			slow(0.082)(m)
			m.change(func(r *journal.Request) {
				if r.Due > secs(7) && r.Due < secs(8) {
					r.Sent += secs(0.07)
				}
			})
		}, Unknown, "only because the load generator was late"},
		{"both unready for a moment", alsoDown(6, 6.4), Held, ""},
		{"both unready", alsoDown(6, 6.8), Violated, "only 0 of 2 were"},
		{"one was not replaced", func(m *made) {
			replace(m, func(e journal.Entry, s journal.Started) journal.Body {
				if e.On == "replica-2" {
					return journal.Note{}
				}
				return s
			})
		}, Unknown, "replica-2 was not stopped and started again"},
		{"asked itself while it was away", func(m *made) {
			m.step("probing", "attack", "operation", "replica-1", 6, 9)
			m.load("probing", "get", 8, 9, 20, 0.001, 0)
		}, Held, ""},
		{"not polled for a while", func(m *made) {
			replace(m, func(e journal.Entry, p journal.Poll) journal.Body {
				if e.On == "replica-2" && e.At >= secs(6) && e.At < secs(8.5) {
					return journal.Note{}
				}
				return p
			})
		}, Unknown, "replica-2 was not asked for 2.55s"},
		{"not polled", without[journal.Poll], Unknown, "readiness was not polled"},
		{"no endpoint", func(m *made) {
			without[journal.Poll](m)
			m.header.Endpoints = []string{}
		}, Held, "no readiness endpoint"},
		{"no load", func(m *made) { m.requests = nil }, Unknown, "only 0 requests met the roll"},
		{"no steady state", func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Due < secs(4.5) {
					r.Attack = "other"
				}
			})
		}, Unknown, "too few to compare"},
		{"no roll", func(m *made) { m.header.Method = nil }, Unknown, "has no rolling_restart step"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := rollMade()
			tt.edit(m)
			wants(t, judged(t, "rolling_restart", m), tt.outcome, tt.reason)
		})
	}
}

// halfBy makes every second hit one of an attack beside the load.
func halfBy(attack string) func(*made) {
	return func(m *made) {
		m.change(func(r *journal.Request) {
			if r.Seq%2 == 0 {
				r.Attack = attack
			}
		})
	}
}
