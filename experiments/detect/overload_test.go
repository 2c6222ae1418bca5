package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// surgeMade adds an attack of 15 s at a multiple of a capacity of 40/s: good
// answers a second, the rest with the code (0: a timeout) after took.
func surgeMade(m *made, name string, from, factor, good, took float64, code int) {
	rate := 40 * factor
	m.step(name, "attack", "operation", "", from, from+15)
	m.at(from, name, journal.Measured{Quantity: journal.Quantity{Name: "offered", Value: rate, Unit: "1/s"}})
	m.at(from+15, name, journal.Attack{From: secs(from), For: 15 * time.Second, Planned: uint64(15 * rate)})
	served := 0.0
	for i := range int(15 * rate) {
		at := from + float64(i)/rate
		if served += good / rate; served >= 1 {
			served--
			m.hit(name, "create", at, 0.3, 201)
			continue
		}
		m.hit(name, "create", at, took, code).RetryAfter = code == 503
	}
}

func overloadMade(good, took float64, code int) *made {
	m := newMade()
	m.step("capacity", "measure_capacity", "operation", "", 3, 6)
	m.at(6, "capacity", journal.Measured{Quantity: journal.Quantity{Name: "capacity", Value: 40, Unit: "1/s"}})
	surgeMade(m, "x0.8", 7, 0.8, 32, 0, 503)
	surgeMade(m, "x2", 23, 2, good, took, code)
	surgeMade(m, "x5", 39, 5, good, took, code)
	m.polls("replica-1", journal.Liveness, 1, 55, 200)
	return m
}

func TestShedding(t *testing.T) {
	inStep := func(name string, edit func(*journal.Request)) func(*made) {
		return func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Attack == name {
					edit(r)
				}
			})
		}
	}
	nothing := func(*made) {}
	tests := []struct {
		name       string
		good, took float64
		code       int
		edit       func(*made)
		outcome    Outcome
		reason     string
	}{
		{"limiter", 36, 0.02, 503, nothing, Held, "went on with"},
		{"just enough goodput", 25, 0.02, 503, nothing, Held, "went on with"},
		{"too little goodput", 23, 0.02, 503, nothing, Violated, "promised to go on with 24.0/s"},
		{"no limit", 8, 1, 0, nothing, Violated, "ended in a timeout"},
		{"504 for the rest", 30, 0.9, 504, nothing, Violated, "ended in a timeout or a 504"},
		{"slow refusals", 36, 0.26, 503, nothing, Violated, "promised refusals within 250ms"},
		{"refusals just in time", 36, 0.24, 503, nothing, Held, ""},
		{"429", 36, 0.02, 429, nothing, Held, "0 % of the refusals in attack \"x2\" carried Retry-After"},
		{"500 instead", 36, 0.02, 500, nothing, Violated, "promised to refuse with 429 or 503"},
		{"no capacity", 36, 0.02, 503, func(m *made) {
			m.entries = m.entries[1:]
			for i, e := range m.entries {
				if q, ok := e.Body.(journal.Measured); ok && q.Name == "capacity" {
					m.entries[i].Body = journal.Note{}
				}
			}
		}, Unknown, "no capacity was measured"},
		{"large capacity", 36, 0.02, 503, func(m *made) {
			m.at(6.5, "capacity", journal.Measured{Quantity: journal.Quantity{Name: "capacity", Value: 101}})
		}, Unknown, "is above 100/s"},
		{"capacity measured too high", 8, 1, 0, inStep("x0.8", func(r *journal.Request) {
			r.OK, r.Code = r.Seq%2 == 0, 200
		}), Unknown, "was not measured rightly"},
		{"never overloaded", 1000, 0.02, 503, nothing, Unknown, "it was not overloaded"},
		{"no attack", 36, 0.02, 503, func(m *made) { m.requests = nil }, Unknown, "sent only 0 hits"},
		{"liveness fails once", 36, 0.02, 503, func(m *made) {
			m.at(45, "replica-1", journal.Poll{Endpoint: journal.Liveness, Code: 503})
		}, Violated, "answered with something else than 200"},
		{"liveness silent once", 36, 0.02, 503, func(m *made) {
			m.at(45, "replica-1", journal.Poll{Endpoint: journal.Liveness, Err: journal.ErrTimeout})
		}, Held, "liveness polls got no answer"},
		{"liveness not polled", 36, 0.02, 503, func(m *made) {
			for i, e := range m.entries {
				if _, ok := e.Body.(journal.Poll); ok {
					m.entries[i].Body = journal.Note{}
				}
			}
		}, Held, "liveness was not polled"},
		{"late generator, good service", 36, 0.02, 503, inStep("x5", func(r *journal.Request) {
			r.Due = r.Sent.Add(-900 * time.Millisecond)
		}), Unknown, "the load generator fell behind"},
		{"late generator, collapsed service", 4, 1, 0, inStep("x5", func(r *journal.Request) {
			r.Due = r.Sent.Add(-900 * time.Millisecond)
		}), Violated, "ended in a timeout"},
		{"dropped hits", 36, 0.02, 503, inStep("x5", func(r *journal.Request) {
			r.Dropped = r.Seq%10 == 0
		}), Unknown, "the load generator fell behind"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := overloadMade(tt.good, tt.took, tt.code)
			tt.edit(m)
			wants(t, judged(t, "shedding", m), tt.outcome, tt.reason)
		})
	}
}

func TestSheddingQuantities(t *testing.T) {
	f := judged(t, "shedding", overloadMade(36, 0.02, 503))
	for name, want := range map[string]float64{
		"capacity": 40, "goodput_ratio": 0.9, "timeout_ratio": 0, "shed_p99": 0.02, "retry_after_ratio": 1,
	} {
		if got := quantityOf(t, f, name).Value; got < want-0.01 || got > want+0.01 {
			t.Errorf("%s is %v, wanted %v", name, got, want)
		}
	}
}
