package detect

import (
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Made-up journals for the detectors of requests, calls and writes. They carry
// the thinnest load that still decides.

// thinly is a run with a fault in which every hit was edited.
func thinly(edit func(int, *journal.Request)) func() journal.Journal {
	return func() journal.Journal {
		m := fixture()
		step(m, 0, faultFrom, faultTo)
		load(m, edit)
		return m
	}
}

// inTheFault edits the hits of the fault, and those due so long after it.
func inTheFault(after time.Duration, f func(r *journal.Request)) func(int, *journal.Request) {
	return func(_ int, r *journal.Request) {
		if r.Due >= faultFrom && r.Due < faultTo.Add(after) {
			f(r)
		}
	}
}

func refuse(r *journal.Request) { fail(r, 503, 2*ms) }

func slowly(took time.Duration) func(*journal.Request) {
	return func(r *journal.Request) { r.Done = r.Due.Add(took) }
}

var (
	_ = madeUpAs("success/held-all-good", thinly(nil))
	_ = madeUpAs("success/violated-refused", thinly(inTheFault(0, refuse)))
	_ = madeUpAs("success/unknown-few-bad", thinly(func(i int, r *journal.Request) {
		if inFault(r.Due) && i%100 == 0 {
			refuse(r)
		}
	}))

	_ = madeUpAs("latency/held-quick", thinly(nil))
	_ = madeUpAs("latency/violated-slow", thinly(inTheFault(0, slowly(1500*ms))))
	_ = madeUpAs("latency/unknown-late-generator", thinly(func(_ int, r *journal.Request) {
		r.Sent, r.Done = r.Due.Add(1200*ms), r.Due.Add(1205*ms)
	}))

	_ = madeUpAs("recovery/held-after-a-second", thinly(inTheFault(time.Second, refuse)))
	_ = madeUpAs("recovery/violated-metastable", func() journal.Journal {
		m := fixture(func(h *journal.Header) { h.Promises.RecoversWithin = 5 * time.Second })
		step(m, 0, faultFrom, faultTo)
		load(m, inTheFault(time.Minute, refuse))
		return m
	})
	_ = madeUpAs("recovery/unknown-watched-too-short", thinly(inTheFault(time.Minute, refuse)))

	_ = madeUpAs("ledger/held-all-stored", func() journal.Journal { return goodBooks().close() })
	_ = madeUpAs("ledger/violated-lost", func() journal.Journal {
		b := goodBooks()
		b.write(journal.Acknowledged, 201, 0)
		return b.close()
	})
	_ = madeUpAs("ledger/violated-doubled", func() journal.Journal {
		b := goodBooks()
		b.write(journal.UnknownOutcome, 0, 2)
		return b.close()
	})
	_ = madeUpAs("ledger/violated-changed", func() journal.Journal {
		b := goodBooks()
		b.acknowledged("id-1", "ten")
		b.is(journal.Stored{Count: 1, ID: "id-1", Value: "eleven"})
		return b.close()
	})
	_ = madeUpAs("ledger/unknown-not-read", func() journal.Journal { return goodBooks() })

	_ = madeUpAs("deadline/held-in-time", func() journal.Journal { return hanging(2*time.Second, 2*time.Second, nil) })
	_ = madeUpAs("deadline/violated-no-timeout", func() journal.Journal {
		return hanging(2*time.Second, 2*time.Second, func(_ int, r *journal.Request) {
			if !r.OK {
				r.Code, r.Err, r.Done = 0, journal.ErrTimeout, r.Sent.Add(6*time.Second)
			}
		})
	})
	_ = madeUpAs("deadline/violated-call-left-open", func() journal.Journal {
		return hanging(2*time.Second, 12*time.Second, nil)
	})
	_ = madeUpAs("deadline/unknown-a-bit-late", func() journal.Journal {
		return hanging(6*time.Second, 6*time.Second, nil)
	})

	_ = madeUpAs("cancellation/held-at-once", func() journal.Journal { return hangUps(20, nil, some(0, true)) })
	_ = madeUpAs("cancellation/violated-background", func() journal.Journal { return hangUps(20, nil, some(20, true)) })
	_ = madeUpAs("cancellation/violated-statement", func() journal.Journal { return statements(50*ms, 2900*ms) })
	_ = madeUpAs("cancellation/violated-pool-full", func() journal.Journal { return poolFull(40, 15) })
	_ = madeUpAs("cancellation/unknown-three-late", func() journal.Journal { return hangUps(20, nil, some(3, true)) })
)

// chainsOnly is a stub's journal with calls and no load.
func chainsOnly() *stubCalls {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	return &stubCalls{Memory: m}
}

var (
	_ = madeUpAs("attempts/held-three", func() journal.Journal {
		return chainsOnly().failing(20, constantGaps(2, 50*ms)...)
	})
	_ = madeUpAs("attempts/violated-for-ever", func() journal.Journal {
		return chainsOnly().failing(5, constantGaps(19, 50*ms)...)
	})
	_ = madeUpAs("attempts/unknown-untied", func() journal.Journal {
		s := chainsOnly()
		s.mark = func(int, int, *journal.Call) {}
		return s.failing(20, constantGaps(2, 50*ms)...)
	})

	_ = madeUpAs("backoff_growth/held-doubling-full-jitter", waits("full", 3, 100))
	_ = madeUpAs("backoff_growth/violated-constant", waits("constant", 3, 100))
	_ = madeUpAs("backoff_growth/violated-at-once", func() journal.Journal {
		return chainsOnly().failing(20, constantGaps(2, ms/10)...)
	})
	_ = madeUpAs("backoff_growth/unknown-few-calls", waits("full", 3, 30))

	_ = madeUpAs("jitter/held-full", waits("full", 2, 100))
	_ = madeUpAs("jitter/held-decorrelated", waits("decorrelated", 3, 100))
	_ = madeUpAs("jitter/violated-none", waits("none", 2, 100))
	_ = madeUpAs("jitter/unknown-noisy", func() journal.Journal {
		return retriedOn(chainsOnly(), noises[2], "constant", 0.05, 2, 100, 5)
	})

	_ = madeUpAs("idempotent_retries/held-one-key", inDoubt(30, 2, oneKey))
	_ = madeUpAs("idempotent_retries/held-once", inDoubt(30, 1, nil))
	_ = madeUpAs("idempotent_retries/violated-fresh-key", inDoubt(30, 2, freshKey))
	_ = madeUpAs("idempotent_retries/unknown-few-in-doubt", inDoubt(10, 1, nil))
)

// waits are the calls of a service with a policy of waiting, on a quiet machine.
func waits(policy string, k, calls int) func() journal.Journal {
	return func() journal.Journal { return retriedOn(chainsOnly(), noises[0], policy, 0.1, k, calls, 5) }
}

// inDoubt are n writes answered with 500 and sent so often.
func inDoubt(n, attempts int, mark func(int, int, *journal.Call)) func() journal.Journal {
	return func() journal.Journal {
		s := chainsOnly()
		s.mark = func(l, a int, c *journal.Call) {
			passOn(l, a, c)
			if mark != nil {
				mark(l, a, c)
			}
		}
		s.answer = func(_, _ int, c *journal.Call) { c.Status = 500 }
		return s.failing(n, constantGaps(attempts-1, 50*ms)...)
	}
}

func soundly(edit func(int, *journal.Request), more func(*journal.Memory)) func() journal.Journal {
	return func() journal.Journal {
		m := sound(edit)
		if more != nil {
			more(m)
		}
		return m
	}
}

var (
	_ = madeUpAs("guard_load/held-as-planned", soundly(nil, nil))
	_ = madeUpAs("guard_load/unknown-dropped", soundly(func(i int, r *journal.Request) {
		if i%20 == 0 {
			drop(r)
		}
	}, nil))
	_ = madeUpAs("guard_noise/held-quiet", soundly(nil, nil))
	_ = madeUpAs("guard_noise/unknown-busy", soundly(nil, func(m *journal.Memory) {
		m.Record(journal.Entry{At: 20 * sec, Body: journal.Sleeper{
			Sleep: shortSleep, Overshoots: constantGaps(20, 80*ms),
		}})
	}))
	_ = madeUpAs("guard_stub/held-quick", soundly(nil, nil))
	_ = madeUpAs("guard_stub/unknown-slow", soundly(nil, func(m *journal.Memory) { roundTrips(m, 40*ms, "") }))
	_ = madeUpAs("guard_baseline/held-good", soundly(nil, nil))
	_ = madeUpAs("guard_baseline/unknown-bad", soundly(func(i int, r *journal.Request) {
		if i%4 == 0 {
			refuse(r)
		}
	}, nil))
	_ = madeUpAs("guard_cleanup/held-taken-back", soundly(nil, nil))
	_ = madeUpAs("guard_cleanup/unknown-left-in-force", func() journal.Journal {
		m := fixture()
		step(m, 0, faultFrom, 0)
		return m
	})
	_ = madeUpAs("guard_agent/held-same", soundly(nil, nil))
	_ = madeUpAs("guard_agent/unknown-replaced", soundly(nil, func(m *journal.Memory) {
		m.Record(journal.Entry{At: 7 * sec, On: "agent", Body: journal.AgentReplaced{Reason: "its API did not answer"}})
	}))
)
