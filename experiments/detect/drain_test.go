package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// drainMade sends SIGTERM to replica-1 at 5 s, with 20 requests of 2 s in
// flight there; readiness fails at flip, the process ends at exit with code 0,
// and new connections are served until closed.
func drainMade(flip, closed, exit float64) *made {
	m := newMade()
	m.header.Promises.Drain = "self"
	m.step("terminate", "sigterm", "fault", "replica-1", 5, 10)
	m.step("in-flight", "attack", "operation", "replica-1", 4.5, 7)
	m.step("newcomers", "attack", "operation", "replica-1", 4, 12)
	m.load("load", "get", 0, 12, 100, 0.01, 200)
	for i := range 20 {
		m.hit("in-flight", "create", 4.5+0.01*float64(i), 2, 201)
	}
	m.load("newcomers", "get", 4, closed, 50, 0.01, 200)
	m.load("newcomers", "get", closed, 12, 50, 0.001, 0)
	m.change(func(r *journal.Request) {
		if r.Err != "" {
			r.Err = journal.ErrRefused
		}
	})
	m.polls("replica-1", journal.Readiness, 1, flip, 200)
	m.polls("replica-1", journal.Readiness, flip, closed, 503)
	m.polls("replica-1", journal.Readiness, max(flip, closed), exit, 0)
	m.polls("replica-2", journal.Readiness, 1, 12, 200)
	m.at(5, "replica-1", journal.Signalled{Signal: "SIGTERM"})
	m.at(exit, "replica-1", journal.Exited{PID: 7, Asked: "SIGTERM"})
	m.at(13, "", journal.Phase{Name: "end"})
	return m
}

func TestDrain(t *testing.T) {
	lose := func(attack string, n int, edit func(*journal.Request)) func(*made) {
		return func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Attack == attack && r.Due >= secs(4.5) && n > 0 {
					n--
					r.OK, r.Code = false, 0
					edit(r)
				}
			})
		}
	}
	err := func(e string, reused bool) func(*journal.Request) {
		return func(r *journal.Request) { r.Err, r.Reused = e, reused }
	}
	// lateLoad turns one request of the load at 6.5 s into a race.
	lateLoad := func(route string, told bool) func(*made) {
		return func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Attack != "load" {
					return
				}
				r.Close = told && r.Due == secs(5.1)
				if r.Due == secs(6.5) {
					r.OK, r.Code, r.Err, r.Reused, r.Route = false, 0, journal.ErrEOF, true, route
				}
			})
		}
	}
	exits := func(body journal.Exited) func(*made) {
		return func(m *made) {
			replace(m, func(journal.Entry, journal.Exited) journal.Body { return body })
		}
	}
	target := func(step, replica string) func(*made) {
		return func(m *made) {
			for i := range m.header.Method {
				if m.header.Method[i].Name == step {
					m.header.Method[i].Target = replica
				}
			}
		}
	}
	undeclared := func(more func(*made)) func(*made) {
		return func(m *made) {
			m.header.Promises.Drain = ""
			more(m)
		}
	}
	prestop := func(out float64) func(*made) {
		return func(m *made) {
			m.header.Promises.Drain = "prestop"
			m.at(1, "replica-1", journal.Endpoint{In: true})
			m.at(out, "replica-1", journal.Endpoint{Reason: "deregistered"})
		}
	}
	nothing := func(*made) {}
	tests := []struct {
		name               string
		flip, closed, exit float64
		edit               func(*made)
		outcome            Outcome
		reason             string
	}{
		{"good", 5.1, 7.3, 8, nothing, Held, "no request was lost, and it ended with code 0 after 3s"},
		{"unready after 0.9 s", 5.9, 8.2, 9, nothing, Held, "at once would be better"},
		{"unready after 1.1 s", 6.1, 8.3, 9, nothing, Violated, "promised to turn unready within 1s"},
		{"never unready", 8, 8, 8, nothing, Violated, "still answered 200"},
		{"closed too early", 5.1, 6.9, 8, nothing, Violated, "promised to serve new connections for 2s"},
		{"closed before the flip", 5.1, 5, 8, nothing, Violated, "keep the listener open"},
		{
			"lost in flight", 5.1, 7.3, 8, lose("in-flight", 3, err(journal.ErrEOF, true)), Violated,
			"3 of the 20 that replica-1 had at SIGTERM were lost (3 × eof)",
		},
		{
			"in flight answered 503", 5.1, 7.3, 8, lose("in-flight", 1, func(r *journal.Request) { r.Code = 503 }),
			Violated, "were lost (1 × 503)",
		},
		{"nothing in flight", 5.1, 7.3, 8, func(m *made) {
			m.change(func(r *journal.Request) { r.Done = min(r.Done, r.Sent+secs(0.01)) })
		}, Unknown, "only 0 requests of attack"},
		{"lost load", 5.1, 7.3, 8, lose("load", 60, err(journal.ErrRefused, false)), Violated, "of the load failed"},
		{
			"answered badly before too", 5.1, 7.3, 8, lose("load", 60, func(r *journal.Request) { r.Code = 504 }), Held,
			"but so were others before SIGTERM",
		},
		{"answered badly only now", 5.1, 7.3, 8, func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Attack == "load" && r.Due > secs(5.5) && r.Due < secs(5.6) {
					r.OK, r.Code = false, 503
				}
			})
		}, Violated, "of the load failed"},
		{"answered badly by a broken dependency", 5.1, 7.3, 8, func(m *made) {
			m.step("slow", "slow_answer", "fault", "payments", 5.5, 5.55)
			m.change(func(r *journal.Request) {
				if r.Attack != "in-flight" && r.Due > secs(5.5) && r.Due < secs(5.54) {
					r.OK, r.Code = false, 503
				}
			})
		}, Held, "while a dependency was broken"},
		{"race on a repeatable request", 5.1, 7.3, 8, lateLoad("get", true), Held, "kept connection"},
		{"race without a notice", 5.1, 7.3, 8, lateLoad("create", false), Held, "kept connection"},
		{"race after a notice", 5.1, 7.3, 8, lateLoad("create", true), Violated, "of the load failed"},
		{"exit code 1", 5.1, 7.3, 8, exits(journal.Exited{Code: 1, Asked: "SIGTERM"}), Violated, "ended with code 1"},
		{
			"no handler", 5.1, 7.3, 8, exits(journal.Exited{Code: -1, Signal: "terminated", Asked: "SIGTERM"}), Violated,
			"handle it (signal.Notify)",
		},
		{
			"killed before its time", 5.1, 7.3, 8, exits(journal.Exited{Code: -1, Signal: "killed", Asked: "SIGKILL"}), Unknown,
			"we ended replica-1 with SIGKILL after 3s",
		},
		{"killed after its time", 5.1, 7.3, 8.1, func(m *made) {
			m.header.Promises.DrainsWithin = 3 * time.Second
			exits(journal.Exited{Code: -1, Signal: "killed", Asked: "SIGKILL"})(m)
		}, Violated, "had to be ended with SIGKILL"},
		{"in flight at another replica", 5.1, 7.3, 8, target("in-flight", "replica-2"), Unknown, "only 0 requests of attack"},
		{
			"newcomers of another replica", 5.1, 7.3, 8, target("newcomers", "replica-2"), Unknown,
			"only 0 requests of attack \"newcomers\"",
		},
		{"asked itself while it was away", 5.1, 7.3, 8, func(m *made) {
			m.step("probing", "attack", "operation", "replica-1", 6, 9)
			m.load("probing", "get", 8, 9, 20, 0.001, 0)
			m.change(func(r *journal.Request) {
				if r.Attack == "probing" {
					r.Err = journal.ErrRefused
				}
			})
		}, Held, ""},
		{"we left one in flight", 5.1, 7.3, 8, lose("in-flight", 1, func(r *journal.Request) {
			r.Err, r.Canceled = journal.ErrCanceled, true
		}), Held, ""},
		{
			"unready before", 5.1, 7.3, 8, pollsOf(journal.Readiness, 4, 5, func(p *journal.Poll) { p.Code = 503 }),
			Unknown, "was not ready when SIGTERM came",
		},
		{
			"late exit", 5.1, 7.3, 8.1, func(m *made) { m.header.Promises.DrainsWithin = 3 * time.Second }, Violated,
			"promised to have ended 3s after SIGTERM; replica-1 took 3.1s",
		},
		{"late for a silent connection", 5.1, 7.3, 8.1, func(m *made) {
			m.header.Promises.DrainsWithin = 3 * time.Second
			m.at(9, "hold", journal.Connection{Manner: journal.Silent})
		}, Held, ""},
		{"still there", 5.1, 7.3, 8, func(m *made) {
			m.header.Promises.DrainsWithin = 3 * time.Second
			without[journal.Exited](m)
		}, Violated, "was still there"},
		{"end not seen", 5.1, 7.3, 8, without[journal.Exited], Unknown, "before replica-1 had ended"},
		{"undeclared, nothing lost", 8, 8, 8, undeclared(nothing), Held, "failed only 3s after SIGTERM"},
		{"undeclared, exit code 1", 5.1, 7.3, 8, undeclared(exits(journal.Exited{Code: 1})), Held, "not with code 0"},
		{
			"undeclared, lost", 5.1, 7.3, 8, undeclared(lose("in-flight", 1, err(journal.ErrReset, true))),
			Violated, "were lost",
		},
		{"prestop", 5.05, 5.05, 8, prestop(3), Held, ""},
		{"prestop, too short a wait", 5.05, 5.05, 8, prestop(4), Unknown, "was not taken out of the balancer 2s before"},
		{"readiness not polled", 5.1, 7.3, 8, without[journal.Poll], Unknown, "was not polled"},
		{"no newcomers", 5.1, 7.3, 8, func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Attack == "newcomers" {
					r.Attack = "load"
					r.OK, r.Code, r.Err = true, 200, ""
				}
			})
		}, Unknown, "only 0 requests of attack \"newcomers\""},
		{"no signal", 5.1, 7.3, 8, without[journal.Signalled], Unknown, "no replica was sent SIGTERM"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := drainMade(tt.flip, tt.closed, tt.exit)
			tt.edit(m)
			wants(t, judged(t, "drain", m), tt.outcome, tt.reason)
		})
	}
}
