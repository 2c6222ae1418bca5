package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// sound is a journal of a run whose harness did all it should.
func sound(edit func(int, *journal.Request)) *journal.Memory {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	load(m, edit)
	m.Record(journal.Entry{At: 20 * sec, On: loadAttack, Body: journal.Attack{For: loadFor, Planned: 1000, Sent: 1000}})
	for t := sec; t <= 20*sec; t += sec {
		m.Record(journal.Entry{At: t, Body: journal.Sleeper{Sleep: shortSleep, Overshoots: constantGaps(50, ms)}})
	}
	roundTrips(m, time.Millisecond, "")
	return m
}

func roundTrips(m *journal.Memory, rtt time.Duration, err string) {
	for t := sec / 10; t <= 20*sec; t += sec / 10 {
		m.Record(journal.Entry{At: t, On: "payments", Body: journal.RoundTrip{RTT: rtt, Err: err}})
	}
}

func TestGuardsHoldOnASoundRun(t *testing.T) {
	for _, g := range Guards() {
		f := g.Detect(sound(nil))
		expect(t, f, Held)
	}
}

func TestLoadGuard(t *testing.T) {
	dropping := func(n int) func(int, *journal.Request) {
		return func(i int, r *journal.Request) {
			if i < n {
				drop(r)
			}
		}
	}
	lagging := func(lag time.Duration) func(int, *journal.Request) {
		return func(_ int, r *journal.Request) { r.Sent, r.Done = r.Due.Add(lag), r.Due.Add(lag+ms) }
	}
	for _, tt := range []struct {
		name string
		j    *journal.Memory
		want Outcome
		says string
	}{
		{"as planned", sound(nil), Held, "load sent 100 % of 1000"},
		{"two of a hundred dropped", sound(dropping(20)), Held, "98 %"},
		{"more dropped", sound(dropping(21)), Unknown, "97.9 % of 1000"},
		{"late", sound(lagging(99 * ms)), Held, "late by 99ms"},
		{"too late", sound(lagging(101 * ms)), Unknown, "late by 101ms"},
		{"nothing sent", fixture(), Unknown, "no request was sent"},
		{"no load", fixture(func(h *journal.Header) { h.Rate = 0 }), NotApplicable, "no load"},
		{"a step's attack alone", func() *journal.Memory {
			m := fixture()
			m.Request(journal.Request{Attack: "overload", Due: 5 * sec, Sent: 5 * sec, Done: 5 * sec})
			m.Record(journal.Entry{At: 20 * sec, On: "overload", Body: journal.Attack{Planned: 1, Sent: 1}})
			return m
		}(), Unknown, "load sent nothing, though 50/s were planned"},
		{"not all was due", func() *journal.Memory {
			m := fixture()
			load(m, nil)
			m.Record(journal.Entry{At: 20 * sec, On: loadAttack, Body: journal.Attack{Planned: 1021, Sent: 1000}})
			return m
		}(), Unknown, "of 1021 planned"},
		{"ended by an error", func() *journal.Memory {
			m := sound(nil)
			m.Record(journal.Entry{At: 20 * sec, On: loadAttack, Body: journal.Attack{Planned: 1000, Error: "no more ports"}})
			return m
		}(), Unknown, "no more ports"},
		{"a step's attack fell short", func() *journal.Memory {
			m := sound(nil)
			m.Request(journal.Request{Attack: "overload", Due: 5 * sec, Sent: 5 * sec, Done: 5 * sec})
			m.Record(journal.Entry{At: 20 * sec, On: "overload", Body: journal.Attack{Planned: 10, Sent: 1}})
			return m
		}(), Unknown, "overload sent 10 %"},
		{"a closed loop plans nothing", func() *journal.Memory {
			m := sound(nil)
			m.Request(journal.Request{Attack: "capacity", Due: 5 * sec, Sent: 6 * sec, Done: 7 * sec})
			m.Record(journal.Entry{At: 20 * sec, On: "capacity", Body: journal.Attack{Sent: 1}})
			return m
		}(), Held, ""},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, (&LoadGuard{}).Detect(tt.j), tt.want, tt.says) })
	}
}

func TestNoiseGuard(t *testing.T) {
	sleeping := func(n int, overshoot time.Duration, late int) *journal.Memory {
		m := fixture()
		s := journal.Sleeper{Sleep: shortSleep, Overshoots: constantGaps(n, ms)}
		for i := range late {
			s.Overshoots[i] = overshoot
		}
		m.Record(journal.Entry{At: sec, Body: s})
		long := journal.Sleeper{Sleep: controlSleep, Overshoots: constantGaps(100, time.Second)}
		m.Record(journal.Entry{At: sec, Body: long})
		return m
	}
	for _, tt := range []struct {
		name string
		j    journal.Journal
		want Outcome
		says string
	}{
		{"quiet", sleeping(1000, 0, 0), Held, "1000 sleeps"},
		{"one of a hundred is late", sleeping(1000, time.Second, 10), Held, ""},
		{"more are late", sleeping(1000, 51*ms, 11), Unknown, "too busy"},
		{"just borne", sleeping(1000, 49*ms, 1000), Held, ""},
		{"too few", sleeping(99, 0, 0), Unknown, "only 99"},
		{"ended before the method", func() *journal.Memory {
			m := sleeping(1000, 0, 0)
			step(m, 0, faultFrom, faultTo)
			return m
		}(), Unknown, "no control sleep was recorded for 10s"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, (&NoiseGuard{}).Detect(tt.j), tt.want, tt.says) })
	}
}

func TestStubGuard(t *testing.T) {
	trips := func(calm, broken time.Duration) *journal.Memory {
		m := fixture()
		step(m, 0, faultFrom, faultTo)
		for t := sec / 10; t <= 20*sec; t += sec / 10 {
			rtt := calm
			if t >= faultFrom && t < faultTo.Add(time.Second) {
				rtt = broken
			}
			m.Record(journal.Entry{At: t, On: "payments", Body: journal.RoundTrip{RTT: rtt}})
			m.Record(journal.Entry{At: t, On: "db", Body: journal.RoundTrip{RTT: time.Second}})
		}
		return m
	}
	expect(t, (&StubGuard{}).Detect(trips(19*ms, time.Second)), Held, "exchanges")
	expect(t, (&StubGuard{}).Detect(trips(21*ms, ms)), Unknown, "took 21ms")
	failing := fixture()
	roundTrips(failing, 0, journal.ErrReset)
	expect(t, (&StubGuard{}).Detect(failing), Unknown, "200 of 200 exchanges of our own with http stubs failed")
	expect(t, (&StubGuard{}).Detect(fixture()), NotApplicable, "only 0 exchanges")
}

func TestBaselineGuard(t *testing.T) {
	bad := func(n int) *journal.Memory {
		return sound(func(i int, r *journal.Request) {
			if i < n {
				fail(r, 500, ms)
			}
		})
	}
	thin := func(h *journal.Header) { h.Rate = 5 }
	for _, tt := range []struct {
		name string
		d    BaselineGuard
		j    journal.Journal
		want Outcome
		says string
	}{
		{"good", BaselineGuard{}, bad(0), Held, "100 % of 150"},
		{"bad", BaselineGuard{}, bad(10), Unknown, "not good before anything was broken"},
		{"perhaps bad", BaselineGuard{}, bad(1), Unknown, "cannot tell it from chance"},
		{"a lower promise", BaselineGuard{Ratio: 0.9}, bad(10), Held, ""},
		{"too few for the number asked for", BaselineGuard{MinSamples: 500}, bad(0), Unknown, "500 are needed"},
		{"no load", BaselineGuard{}, fixture(func(h *journal.Header) { h.Rate = -1 }), NotApplicable, "no load"},
		{"a thin load", BaselineGuard{}, func() journal.Journal {
			m := fixture(thin)
			step(m, 0, faultFrom, faultTo)
			load(m, nil)
			return m
		}(), Held, "of 15"},
		{"half of the load was not sent", BaselineGuard{}, func() journal.Journal {
			m := fixture(func(h *journal.Header) { h.Rate = 100 })
			step(m, 0, faultFrom, faultTo)
			m.Request(journal.Request{Attack: loadAttack, Due: 1, Sent: 1, Done: 2, OK: true})
			return m
		}(), Unknown, "only 1 request was sent"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.d.Detect(tt.j), tt.want, tt.says) })
	}
}

func TestCleanupGuard(t *testing.T) {
	open := fixture()
	step(open, 0, faultFrom, 0)
	failed := fixture()
	step(failed, 0, faultFrom, faultTo)
	wedged := journal.StepEvent{Phase: journal.PhaseFailed, Error: "proxy answered 503"}
	failed.Record(journal.Entry{At: 14 * sec, Body: wedged})
	dead := fixture()
	step(dead, 0, faultFrom, faultTo)
	roundTrips(dead, 0, journal.ErrRefused)
	unwatched := fixture()
	step(unwatched, 0, faultFrom, faultTo)
	for t := sec; t <= 20*sec; t += sec {
		unwatched.Record(journal.Entry{At: t, Body: journal.Sleeper{Sleep: shortSleep}})
		if t < faultTo {
			unwatched.Record(journal.Entry{At: t, On: "payments", Body: journal.RoundTrip{RTT: ms}})
		}
	}
	expect(t, (&CleanupGuard{}).Detect(sound(nil)), Held, "all steps were taken back (1)")
	expect(t, (&CleanupGuard{}).Detect(unwatched), Unknown, "nobody looked whether it works again")
	expect(t, (&CleanupGuard{}).Detect(open), Unknown, `"hang" (status on payments)`)
	expect(t, (&CleanupGuard{}).Detect(failed), Unknown, "proxy answered 503")
	expect(t, (&CleanupGuard{}).Detect(dead), Unknown, "none of our own 70 exchanges")
	expect(t, (&CleanupGuard{}).Detect(fixture()), NotApplicable, "no step was begun")
}

func TestAgentGuard(t *testing.T) {
	m := sound(nil)
	expect(t, (&AgentGuard{}).Detect(m), Held)
	m.Record(journal.Entry{At: 7 * sec, Body: journal.AgentReplaced{Reason: "API wedged"}})
	expect(t, (&AgentGuard{}).Detect(m), Unknown, "replaced at 7s", "API wedged")
}
