package detect

import (
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Made-up journals for the detectors of load, lifecycle and metrics.

// makes writes a made journal, with edits.
func makes(build func() *made, edits ...func(*made)) func() journal.Journal {
	return func() journal.Journal {
		m := build()
		for _, edit := range edits {
			edit(m)
		}
		return m.memory()
	}
}

// thin keeps one in n hits of the ordinary load, and health polls.
func thin(n int) func(*made) {
	return func(m *made) {
		m.requests = slices.DeleteFunc(m.requests, func(r journal.Request) bool {
			return r.Attack == "load" && r.Seq%uint64(n) != 0
		})
		asked := map[string]int{}
		m.entries = slices.DeleteFunc(m.entries, func(e journal.Entry) bool {
			if _, ok := e.Body.(journal.Poll); !ok {
				return false
			}
			asked[e.On]++
			return asked[e.On]%n != 0
		})
	}
}

// fewSamples keeps one in ten samples of pg_stat_activity.
func fewSamples(m *made) {
	n := 0
	m.entries = slices.DeleteFunc(m.entries, func(e journal.Entry) bool {
		if _, ok := e.Body.(journal.Activity); !ok {
			return false
		}
		n++
		return n%10 != 0
	})
}

// surgeOnce is an overload of one step, twice the capacity.
func surgeOnce(good, took float64, code int) func() *made {
	return func() *made {
		m := newMade()
		m.step("capacity", "measure_capacity", "operation", "", 3, 6)
		m.at(6, "capacity", journal.Measured{Quantity: journal.Quantity{Name: "capacity", Value: 40, Unit: "1/s"}})
		surgeMade(m, "x2", 7, 2, good, took, code)
		return m
	}
}

var (
	_ = madeUpAs("metastability/held-came-back", makes(clientsMade(2, 16)))
	_ = madeUpAs("metastability/violated-stays-down", makes(clientsMade(99, 62)))
	_ = madeUpAs("metastability/unknown-watched-too-short", makes(clientsMade(99, 30)))

	_ = madeUpAs("shedding/held-limiter", makes(surgeOnce(36, 0.02, 503)))
	_ = madeUpAs("shedding/violated-unlimited", makes(surgeOnce(8, 1, 0)))
	_ = madeUpAs("shedding/unknown-not-overloaded", makes(surgeOnce(100, 0.02, 503)))

	_ = madeUpAs("pool_bound/held-ten", makes(locks(10, 1, 503), thin(4), fewSamples))
	_ = madeUpAs("pool_bound/violated-unbounded", makes(locks(25, 1, 503), thin(4), fewSamples))
	_ = madeUpAs("pool_bound/violated-no-acquire-timeout", makes(locks(10, 10, 0), thin(4), fewSamples))
	_ = madeUpAs("pool_bound/unknown-not-exhausted", makes(locks(4, 1, 503), thin(4), fewSamples))

	_ = madeUpAs("statement_bound/held-context", makes(locks(10, 1, 503), thin(20), fewSamples))
	_ = madeUpAs("statement_bound/violated-background", makes(locks(10, 9, 503), thin(20), fewSamples))
	_ = madeUpAs("statement_bound/unknown-no-waiter", makes(locks(0, 1, 503), thin(20), fewSamples))

	_ = madeUpAs("drain/held-self", makes(drains(5.1, 7.3, 8), thin(2)))
	_ = madeUpAs("drain/violated-closed-before-flip", makes(drains(5.1, 5, 8), thin(2)))
	_ = madeUpAs("drain/unknown-nothing-in-flight", makes(drains(5.1, 7.3, 8), thin(2), func(m *made) {
		m.change(func(r *journal.Request) { r.Done = min(r.Done, r.Sent+secs(0.01)) })
	}))

	_ = madeUpAs("drain_deadline/held-gave-up", makes(func() *made { return hangMade(9.5, 14.5) }))
	_ = madeUpAs("drain_deadline/violated-no-deadline", makes(func() *made { return hangMade(14, 19) }))
	_ = madeUpAs("drain_deadline/unknown-nothing-hung", makes(func() *made { return hangMade(0.5, 7) }))

	_ = madeUpAs("rolling_restart/held-unnoticed", makes(rollMade))
	_ = madeUpAs("rolling_restart/violated-lost", makes(rollMade, func(m *made) {
		m.change(func(r *journal.Request) {
			if r.Due > secs(5.5) && r.Due < secs(5.6) {
				r.OK, r.Code, r.Err, r.Done = false, 0, journal.ErrRefused, r.Sent+secs(0.001)
			}
		})
	}))
	_ = madeUpAs("rolling_restart/unknown-few-requests", makes(rollMade, thin(4)))

	_ = madeUpAs("metrics_truth/held-honest", makes(func() *made { return truthMade(honest) }))
	_ = madeUpAs("metrics_truth/violated-errors-as-200", makes(func() *made {
		return truthMade(func(r journal.Request) counted {
			c := honest(r)
			if r.Code >= 500 {
				c.code = "200"
			}
			return c
		})
	}))
	_ = madeUpAs("metrics_truth/unknown-only-successes", makes(func() *made {
		m := truthMade(honest)
		m.requests = slices.DeleteFunc(m.requests, func(r journal.Request) bool { return !r.OK })
		m.expose(honest)
		return m
	}))

	_ = madeUpAs("liveness/held-alive", makes(aliveMade, thin(2)))
	_ = madeUpAs("liveness/violated-asks-the-database", makes(aliveMade, pollsOf(journal.Liveness, 6, 15,
		func(p *journal.Poll) { p.Code, p.Took = 503, time.Second }), thin(2)))
	_ = madeUpAs("liveness/unknown-few-polls", makes(aliveMade, thin(20)))

	_ = madeUpAs("readiness/held-true", makes(readies(7, 32), thin(2)))
	_ = madeUpAs("readiness/violated-always-200", makes(readies(44, 44), thin(2)))
	_ = madeUpAs("readiness/unknown-short-fault", makes(readies(44, 44), thin(2), func(m *made) {
		for i, e := range m.entries {
			if s, ok := e.Body.(journal.StepEvent); ok && s.Phase == journal.PhaseInForce {
				m.entries[i].At = secs(20)
			}
		}
	}))

	_ = madeUpAs("containment/held-breaker", makes(contains(0.02)))
	_ = madeUpAs("containment/violated-no-breaker", makes(contains(1)))
	_ = madeUpAs("containment/unknown-undeclared", makes(contains(0.02), func(m *made) {
		m.header.Routes[1].Uses = nil
	}))
)

func locks(waiting int, took float64, code int) func() *made {
	return func() *made { return lockMade(waiting, took, code) }
}

func drains(flip, closed, exit float64) func() *made {
	return func() *made { return drainMade(flip, closed, exit) }
}

func readies(turned, back float64) func() *made {
	return func() *made { return readyMade("db", turned, back) }
}

// contains is a fault on payments with 15 s of load after it.
func contains(perRequest float64) func() *made {
	return func() *made {
		m := containedMade(perRequest, 28)
		m.header.LoadFor = 40 * time.Second
		m.requests = slices.DeleteFunc(m.requests, func(r journal.Request) bool { return r.Due >= secs(40) })
		return m
	}
}
