package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// stormTo is the end of a fault that is long enough for a budget to run out.
const stormTo = journal.Instant(19 * time.Second)

// storm is a fault of 16 s in which every payment asks payments so often: the
// attempts of the n-th logical call, zero for one that a breaker keeps back.
func storm(attempts func(n int) int, edit ...func(*stubCalls)) *stubCalls {
	return stormOf(nil, attempts, edit...)
}

// stormOf is a storm beside a load that is edited.
func stormOf(hit func(i int, r *journal.Request), attempts func(n int) int, edit ...func(*stubCalls)) *stubCalls {
	m := fixture()
	step(m, 0, faultFrom, stormTo)
	load(m, hit)
	s := &stubCalls{Memory: m}
	for _, e := range edit {
		e(s)
	}
	s.calm()
	for n := range 16 * loadRate / 2 {
		if k := attempts(n); k > 0 {
			s.play(faultFrom.Add(time.Duration(n)*40*ms), 503, constantGaps(k-1, ms)...)
		}
	}
	return s
}

// times is the same number of attempts for every logical call.
func times(k int) func(int) int { return func(int) int { return k } }

// everyOther makes one more attempt for each n-th logical call.
func everyOther(n int) func(int) int { return func(i int) int { return 1 + one(i%n == 0) } }

// opened is a breaker after a second, which lets one in 25 calls through: those
// are tried three times.
func opened(n int) int {
	if n > 25 && n%25 != 0 {
		return 0
	}
	return 3
}

func unmarked(s *stubCalls) { s.mark = func(int, int, *journal.Call) {} }

func TestRetryBudget(t *testing.T) {
	d := RetryBudget{Most: budgetMost, Fail: budgetFail, MinSamples: budgetLeast}
	for _, tt := range []struct {
		name string
		d    RetryBudget
		j    journal.Journal
		want Outcome
		says string
		a    float64
	}{
		{"no retry", d, storm(times(1)), Held, "250 calls for 250 requests", 1},
		{"a budget of a tenth", d, storm(everyOther(10)), Held, "1.10 ", 1.1},
		{"a budget of a fifth", d, storm(everyOther(5)), Held, "1.20 ", 1.2},
		{"a budget of a fourth", d, storm(everyOther(4)), Held, "would keep it below 1.2", 1.248},
		{"four attempts", d, storm(times(4)), Held, "would keep it below 1.2", 4},
		{"five attempts", d, storm(times(5)), Violated, "open a circuit breaker", 5},
		{"a breaker", d, storm(opened), Held, "calls a request", 0.12},
		{"a breaker for ever", d, storm(func(n int) int { return 3 * one(n < 25) }), Held, "0 calls for 250", 0},
		{"five attempts, nothing ties them", d, storm(times(5), unmarked), Violated, "relative to the steady state", 5},
		{"as many as were asked for", RetryBudget{Fail: 2, MinSamples: 1}, storm(times(2)), Held, "", 2},
		{"more than were asked for", RetryBudget{Fail: 2, MinSamples: 1}, storm(times(3)), Violated, "", 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.d.Detect(tt.j)
			expect(t, f, tt.want, tt.says)
			if got := value(t, f, "amplification"); got < tt.a-0.001 || got > tt.a+0.001 {
				t.Errorf("amplification is %v, want %v", got, tt.a)
			}
		})
	}
}

func TestRetryBudgetIsNotKnown(t *testing.T) {
	d := RetryBudget{MinSamples: budgetLeast}
	undeclared := storm(times(5), unmarked, func(s *stubCalls) {
		h := s.Header()
		h.Routes[0].Uses = nil
		s.Memory = journal.NewMemory(h)
		step(s.Memory, 0, faultFrom, stormTo)
	})
	halfFail := storm(times(3), func(s *stubCalls) {
		s.answer = func(n, _ int, c *journal.Call) { c.Status = 200 + 303*(n%2) }
	})
	// gone is a service that ends when the dependency fails.
	gone := fixture()
	step(gone, 0, faultFrom, stormTo)
	load(gone, func(_ int, r *journal.Request) {
		if r.Due > faultFrom+sec {
			r.Code, r.OK, r.Err = 0, false, journal.ErrEOF
		}
	})
	s := &stubCalls{Memory: gone}
	s.calm()
	for n := range 25 {
		s.play(faultFrom.Add(time.Duration(n)*40*ms), 503)
	}
	for _, tt := range []struct {
		name string
		d    RetryBudget
		j    journal.Journal
		want Outcome
		says string
	}{
		{"a short step", d, newStubCalls().calm().failing(100, ms), Unknown, "lasted 10s, and 15s are needed"},
		{"half of the calls fail", d, halfFail, Unknown, "95 % of them"},
		{"few requests", RetryBudget{MinSamples: 251}, storm(times(5)), Unknown, "251 requests are needed"},
		{"nobody is there to ask", d, gone, Unknown, "only 0 of them were answered"},
		{"another step", RetryBudget{During: "slow"}, storm(times(5)), Unknown, "no such fault"},
		{"nothing ties calls to requests", d, undeclared, Unknown, "cannot be tied together"},
		{"no such dependency", RetryBudget{On: "db"}, storm(times(5)), NotApplicable, "no http dependency"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.d.Detect(tt.j), tt.want, tt.says) })
	}
}

// Two logical calls of one request are no retries.
func TestRetryBudgetCountsLogicalCalls(t *testing.T) {
	s := storm(times(3), func(s *stubCalls) {
		s.mark = func(n, a int, c *journal.Call) {
			passOn(n, a, c)
			c.IdempotencyKey = "k"
		}
	})
	for n := range 16 * loadRate / 2 {
		s.mark = func(_, a int, c *journal.Call) {
			passOn(n+75, a, c)
			c.Path = "/fee"
		}
		s.play(faultFrom.Add(time.Duration(n)*40*ms+20*ms), 503, constantGaps(2, ms)...)
	}
	f := (&RetryBudget{MinSamples: budgetLeast}).Detect(s)
	expect(t, f, Held, "1500 calls for 250 requests, 3.00 attempts of one logical call")
}

var (
	_ = madeUpAs("retry_budget/held-tenth", func() journal.Journal { return storm(everyOther(10)) })
	_ = madeUpAs("retry_budget/held-breaker", func() journal.Journal { return storm(opened) })
	_ = madeUpAs("retry_budget/violated-five-times", func() journal.Journal { return storm(times(5)) })
	_ = madeUpAs("retry_budget/unknown-short-step", func() journal.Journal {
		return newStubCalls().calm().failing(100, ms)
	})
)
