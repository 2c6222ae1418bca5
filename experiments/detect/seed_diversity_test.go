package detect

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// seedsMade has 25 calls on each of two replicas refused at 3.4 s, and 20 calls
// on each failing one after the other from 5 s on. A replica's waits are drawn
// by its own function, in the order of its calls.
func seedsMade(draws ...func() time.Duration) *made {
	m := newMade()
	m.header.Rate = -1
	m.header.Target = "payments"
	m.step("held", "hang", "fault", "payments", 3, 3.4)
	for i, r := range m.header.Replicas {
		m.step("together."+string(rune('1'+i)), "attack", "operation", r, 3.05, 3.05)
	}
	m.step("failing", "status", "fault", "payments", 4.9, 18)
	for i, r := range m.header.Replicas {
		m.step("alone."+string(rune('1'+i)), "attack", "operation", r, 5, 17)
		for n := range 25 {
			m.retried("together."+string(rune('1'+i)), uint64(n), 3.1, 3.4+float64(n)/1e4, draws[i]())
		}
		for n := range 20 {
			due := 5 + 0.6*float64(n)
			m.retried("alone."+string(rune('1'+i)), uint64(n), due, due+0.005, draws[i](), draws[i]())
		}
	}
	for i := range m.header.Method {
		if m.header.Method[i].Action == "attack" && m.header.Method[i].At < secs(4) {
			m.header.Method[i].For = 0
		}
	}
	return m
}

// retried is a hit that makes one call, which is answered with 503 at an
// instant, and again after each wait.
func (m *made) retried(attack string, seq uint64, due, answered float64, waits ...time.Duration) {
	r := m.hit(attack, "create", due, 1, 503)
	r.Seq = seq
	call := func(at, answered float64) {
		m.at(at, "payments", journal.Call{
			Method: "POST", Path: "/charges", BodyRead: true, Status: 503, Answered: secs(answered - at).Duration(),
			RequestID: journal.RequestID("t", attack, seq), Traceparent: journal.Trace("t", attack, seq).Traceparent(),
		})
	}
	call(due, answered)
	for _, wait := range waits {
		at := answered + wait.Seconds()
		answered = at + 0.002
		call(at, answered)
	}
}

// drawn are waits of full jitter.
func drawn(seed uint64) func() time.Duration {
	r := rand.New(rand.NewPCG(seed, 1))
	return func() time.Duration { return time.Duration(r.Int64N(int64(200 * time.Millisecond))) }
}

// noisily adds up to 5 ms to waits.
func noisily(draw func() time.Duration, seed uint64) func() time.Duration {
	r := rand.New(rand.NewPCG(seed, 2))
	return func() time.Duration { return draw() + time.Duration(r.Int64N(int64(5*time.Millisecond))) }
}

func constant() time.Duration { return 100 * time.Millisecond }

func TestSeedDiversity(t *testing.T) {
	edited := func(m *made, edit func(*journal.Call)) *made {
		replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
			edit(&c)
			return c
		})
		return m
	}
	shifted := drawn(3)
	_, _ = shifted(), shifted()
	tests := []struct {
		name    string
		made    *made
		outcome Outcome
		reason  string
	}{
		{"seeded each", seedsMade(drawn(1), drawn(2)), Held, "the waits of 2 replicas are independent"},
		{"one seed", seedsMade(drawn(1), drawn(1)), Violated, "seed the source of random numbers"},
		{"one seed, with noise", seedsMade(noisily(drawn(1), 1), noisily(drawn(1), 2)), Violated, "the same, call by call"},
		{"one seed, one draw of a call ahead", seedsMade(drawn(3), shifted), Violated, "the same, call by call"},
		{"no jitter", seedsMade(constant, constant), Violated, "within 5ms of each other"},
		{"by the trace", edited(seedsMade(drawn(1), drawn(1)), func(c *journal.Call) { c.RequestID = "own" }), Violated, ""},
		{
			"nothing passed on", edited(seedsMade(drawn(1), drawn(1)), func(c *journal.Call) {
				c.IdempotencyKey, c.RequestID, c.Traceparent = c.RequestID, "", ""
			}), Unknown, "pass X-Request-Id or traceparent on",
		},
		{"no retries", func() *made {
			m := seedsMade(drawn(1), drawn(2))
			first := map[string]bool{}
			replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
				if first[c.RequestID] {
					return journal.Note{}
				}
				first[c.RequestID] = true
				return c
			})
			return m
		}(), NotApplicable, "none of 90 calls of payments that failed was tried again"},
		{"together on one replica", func() *made {
			m := seedsMade(drawn(1), drawn(2))
			for i, r := range m.requests {
				if r.Attack == "together.2" {
					m.requests[i].Attack = "together.1"
					m.requests[i].Seq += 25
				}
			}
			replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
				for n := range uint64(25) {
					if c.RequestID == journal.RequestID("t", "together.2", n) {
						c.RequestID = journal.RequestID("t", "together.1", n+25)
						c.Traceparent = journal.Trace("t", "together.1", n+25).Traceparent()
					}
				}
				return c
			})
			return m
		}(), Unknown, "only one replica"},
		{"one replica", func() *made {
			m := seedsMade(drawn(1), drawn(2))
			m.header.Replicas = m.header.Replicas[:1]
			return m
		}(), Unknown, "two are needed to compare"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wants(t, judged(t, "seed_diversity", tt.made), tt.outcome, tt.reason)
		})
	}
}

// TestSeedDiversityErrors counts how often independent waits are taken for one
// sequence, and waits of one seed are not, with the noise of a busy machine.
func TestSeedDiversityErrors(t *testing.T) {
	alarms, missed := 0, 0
	for i := range uint64(300) {
		for _, same := range []bool{false, true} {
			a, b := drawn(i), drawn(i+1000)
			if same {
				b = drawn(i)
			}
			f := judged(t, "seed_diversity", seedsMade(noisily(a, i), noisily(b, i+1)))
			alarms += one(!same && f.Outcome == Violated)
			missed += one(same && f.Outcome != Violated)
		}
	}
	if alarms > 0 || missed > 0 {
		t.Errorf("of 300 each, %d independent pairs are one sequence, and %d of one seed are not", alarms, missed)
	}
}

var (
	_ = madeUpAs("seed_diversity/held-seeded-each", makes(func() *made { return seedsMade(drawn(1), drawn(2)) }))
	_ = madeUpAs("seed_diversity/violated-one-seed", makes(func() *made { return seedsMade(drawn(1), drawn(1)) }))
	_ = madeUpAs("seed_diversity/unknown-one-replica", makes(func() *made {
		m := seedsMade(drawn(1), drawn(2))
		m.header.Method = m.header.Method[:len(m.header.Method)-1]
		return m
	}))
)
