package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestLatency(t *testing.T) {
	// slow makes every nth hit of the fault take so long from its sending.
	slow := func(nth int, took time.Duration) func(int, *journal.Request) {
		return func(i int, r *journal.Request) {
			if inFault(r.Due) && i%nth == 0 {
				r.Done = r.Sent.Add(took)
			}
		}
	}
	late := func(lag time.Duration, then func(int, *journal.Request)) func(int, *journal.Request) {
		return func(i int, r *journal.Request) {
			took := r.RawLatency()
			r.Sent = r.Due.Add(lag)
			r.Done = r.Sent.Add(took)
			if then != nil {
				then(i, r)
			}
		}
	}
	for _, tt := range []struct {
		name string
		d    Latency
		edit func(int, *journal.Request)
		want Outcome
		says string
	}{
		{"quick", Latency{}, nil, Held, "p99 of good answers within 1s"},
		{"one of a hundred", Latency{}, slow(100, 3*time.Second), Held, "of 500"},
		{"one of fifty", Latency{}, slow(50, 3*time.Second), Violated, "3s of 500"},
		{"p50 of the same", Latency{Quantile: "p50"}, slow(50, 3*time.Second), Held, "p50"},
		{"max of the same", Latency{Quantile: "max"}, slow(100, 3*time.Second), Violated, "max"},
		{"a looser bound", Latency{Within: 4 * time.Second}, slow(2, 3*time.Second), Held, "within 4s"},
		{"just within", Latency{Within: 3001 * time.Millisecond}, slow(1, 3*time.Second), Held, ""},
		{"just beyond", Latency{Within: 2990 * time.Millisecond}, slow(1, 3*time.Second), Violated, ""},
		{"late generator, quick service", Latency{}, late(1200*time.Millisecond, nil), Unknown, "the generator was late"},
		{
			"late generator, slow service",
			Latency{},
			late(200*time.Millisecond, slow(1, 2*time.Second)),
			Violated, "even from the actual sending",
		},
		{
			"one of a hundred late, quick service",
			Latency{Quantile: "max"},
			func(i int, r *journal.Request) {
				if inFault(r.Due) && i%200 == 0 {
					r.Sent, r.Done = r.Due.Add(2*time.Second), r.Due.Add(2*time.Second+5*ms)
				}
			},
			Unknown, "from the actual sending it was 5",
		},
		{"late generator, quick all the same", Latency{}, late(200*time.Millisecond, nil), Held, ""},
		{"few samples", Latency{MinSamples: 501}, nil, Unknown, "501 are needed"},
		{"p99.9 needs a thousand", Latency{Quantile: "p99.9"}, nil, Unknown, "1000 are needed"},
		{"a bad quantile", Latency{Quantile: "99"}, nil, Unknown, "not like p50"},
		{"a bad of", Latency{Of: "some"}, nil, Unknown, "none of success"},
		{"nothing due", Latency{Routes: []string{"none"}}, nil, Unknown, "no request was due"},
		{"no such step", Latency{During: "none"}, nil, Unknown, "names no step"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := fixture()
			step(m, 0, faultFrom, faultTo)
			load(m, tt.edit)
			expect(t, tt.d.Detect(m), tt.want, tt.says)
		})
	}
}

func TestLatencyOf(t *testing.T) {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	load(m, func(i int, r *journal.Request) {
		switch {
		case inFault(r.Due) && i%3 == 0:
			fail(r, 503, 2*time.Second)
		case inFault(r.Due) && i%3 == 1:
			fail(r, 0, 6*time.Second)
			r.Err = journal.ErrTimeout
		}
	})
	expect(t, (&Latency{}).Detect(m), Held, "good answers")
	expect(t, (&Latency{Of: "answers", Within: 3 * time.Second}).Detect(m), Held, "of answers")
	expect(t, (&Latency{Of: "answers"}).Detect(m), Violated, "2s of 333")
	expect(t, (&Latency{Of: "all", Within: 3 * time.Second}).Detect(m), Violated, "6s of 500")
}

// Without a bound every answer would be too late.
func TestLatencyNeedsABound(t *testing.T) {
	m := fixture(func(h *journal.Header) { h.Promises.SLOLatency = 0 })
	step(m, 0, faultFrom, faultTo)
	load(m, nil)
	expect(t, (&Latency{}).Detect(m), Unknown, "no bound")
	expect(t, (&Latency{Within: time.Second}).Detect(m), Held)
}

func TestLatencyDropsMakeItUnknown(t *testing.T) {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	load(m, func(i int, r *journal.Request) {
		if i%20 == 0 {
			drop(r)
		}
	})
	expect(t, (&Latency{}).Detect(m), Unknown, "25 of 500 hits could not be sent")
}
