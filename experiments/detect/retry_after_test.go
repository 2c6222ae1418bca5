package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// patient are n logical calls whose first attempt is told to wait 2 s. The
// second comes after the given wait, and is answered well; zero: there is none.
func patient(n int, wait func(i int) time.Duration) *stubCalls {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	s := &stubCalls{Memory: m}
	s.answer = func(_, attempt int, c *journal.Call) {
		if attempt > 0 {
			c.Status = 201
			return
		}
		c.RetryAfter = 2 * time.Second
	}
	for i := range n {
		var gaps []time.Duration
		if w := wait(i); w > 0 {
			gaps = append(gaps, w)
		}
		s.play(faultFrom.Add(time.Duration(i+1)*100*ms), 503, gaps...)
	}
	return s
}

// waiting is the same wait for every call.
func waiting(w time.Duration) func(int) time.Duration {
	return func(int) time.Duration { return w }
}

// hasty lets the first few calls come back at once.
func hasty(first int) func(int) time.Duration {
	return func(i int) time.Duration {
		if i < first {
			return 100 * ms
		}
		return 2100 * ms
	}
}

func TestRetryAfter(t *testing.T) {
	d := RetryAfter{MinSamples: 20}
	tooMany := patient(20, waiting(200*ms))
	plain := tooMany.answer
	busy := patient(0, nil)
	busy.answer = func(n, attempt int, c *journal.Call) {
		if plain(n, attempt, c); attempt == 0 {
			c.Status = 429
		}
	}
	for i := range 20 {
		busy.play(faultFrom.Add(time.Duration(i)*50*ms+1), 429, 200*ms)
	}
	for _, tt := range []struct {
		name string
		d    RetryAfter
		j    journal.Journal
		want Outcome
		says string
	}{
		{"waits", d, patient(20, waiting(2010*ms)), Held, "0 of the 20 retries"},
		{"a bit early", d, patient(20, waiting(1900*ms)), Held, "soonest after 95 %"},
		{"too early", d, patient(20, waiting(1899*ms)), Violated, "20 of the 20 retries"},
		{"its own backoff", d, tooMany, Violated, "wait for the longer"},
		{"its own backoff after 429", d, busy, Violated, "20 of the 20 retries"},
		{"no retry", d, patient(20, waiting(0)), Held, "none of them was tried again"},
		{"nineteen calls", d, patient(19, waiting(200*ms)), Unknown, "19 logical calls"},
		{"fewer are enough", RetryAfter{MinSamples: 5}, patient(5, waiting(200*ms)), Violated, "5 of the 5"},
		{"two of twenty", d, patient(20, hasty(2)), Unknown, "too few"},
		{"three of twenty", d, patient(20, hasty(3)), Violated, "3 of the 20"},
		{"three of thirty", d, patient(30, hasty(3)), Unknown, "too few"},
		{"four of thirty", d, patient(30, hasty(4)), Violated, "4 of the 30"},
		{"nobody was told", d, newStubCalls().calm().failing(30, 50*ms), Unknown, "0 logical calls"},
		{"no call", d, newStubCalls().calm(), Unknown, "no call arrived"},
		{"another step", RetryAfter{During: "slow"}, tooMany, Unknown, "names no step"},
		{"no such dependency", RetryAfter{On: "db"}, tooMany, NotApplicable, "no http dependency"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.d.Detect(tt.j), tt.want, tt.says) })
	}
}

// A retry that follows an answer without the header is none of its business.
func TestRetryAfterIsThatOfTheAnswerBefore(t *testing.T) {
	s := patient(20, waiting(0))
	s.answer = func(_, attempt int, c *journal.Call) {
		if attempt == 1 {
			c.RetryAfter = time.Second
		}
	}
	for i := range 20 {
		s.play(faultFrom.Add(time.Duration(i)*50*ms+1), 503, 10*ms, 1100*ms)
	}
	expect(t, (&RetryAfter{MinSamples: 20}).Detect(s), Held, "0 of the 20 retries", "40 logical calls")
}

var (
	_ = madeUpAs("retry_after/held-waits", func() journal.Journal { return patient(20, waiting(2010*ms)) })
	_ = madeUpAs("retry_after/held-no-retry", func() journal.Journal { return patient(20, waiting(0)) })
	_ = madeUpAs("retry_after/violated-own-backoff", func() journal.Journal { return patient(20, waiting(200*ms)) })
	_ = madeUpAs("retry_after/unknown-nobody-told", func() journal.Journal {
		return chainsOnly().failing(20, constantGaps(2, 50*ms)...)
	})
)
