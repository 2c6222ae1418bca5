package detect

import (
	"strconv"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// firstFailing is the first hit of the load that is due in the fault.
const firstFailing = 150

func oddHit(hit int) bool { return hit >= firstFailing && hit%2 == 1 }
func anyHit(hit int) bool { return hit >= firstFailing }

// resentCalls has clients that send some of the hits of the fault so many times
// under one id, and a service that makes so many attempts for each of sixty.
func resentCalls(
	again func(hit int) bool, times, attempts int, mark func(logical, attempt int, c *journal.Call),
) *stubCalls {
	s := newStubCallsFor(func(i int, r *journal.Request) {
		if again(i) {
			r.Tries, r.Done = times, r.Due.Add(time.Second)
		}
	})
	s.mark = mark
	s.calm()
	s.n = firstFailing
	for i := range 60 {
		gaps := attempts - 1
		if again(s.n) {
			gaps = times*attempts - 1
		}
		s.play(faultFrom.Add(time.Duration(i+1)*20*ms), 503, constantGaps(gaps, 50*ms)...)
	}
	s.n = 900
	s.play(faultTo-1, 503) // seen to the end
	return s
}

func TestAttemptsOfClientsThatTryAgain(t *testing.T) {
	byTraceOf := func(l, a int, c *journal.Call) {
		sent := journal.Trace("r1", loadAttack, uint64(l))
		sent.Span[0] ^= byte(a + 1)
		c.Traceparent = sent.Traceparent()
	}
	byOwnTrace := func(l, a int, c *journal.Call) { c.Traceparent = parentOf(l, a) }
	byBodyOf := func(l, _ int, c *journal.Call) { c.BodyHash = strconv.Itoa(l) }
	for _, tt := range []struct {
		name            string
		again           func(hit int) bool
		times, attempts int
		mark            func(logical, attempt int, c *journal.Call)
		edit            func(*stubCalls)
		want            Outcome
		says            string
	}{
		{
			"only the client", oddHit, 3, 3, passOn, nil, Held,
			"3 at most, over 31 failed logical calls (30 × 3 attempts, 1 × 1 attempt), tied by the request id; 30 more " +
				"requests were sent up to 3 times each",
		},
		{"few together", oddHit, 2, 2, passOn, nil, Held, "4 at most, over 61 failed"},
		{"by the trace", oddHit, 3, 3, byTraceOf, nil, Held, "tied by the trace id; 30 more requests"},
		{"a trace of the service's own", oddHit, 3, 3, byOwnTrace, nil, Violated, "9 at most, over 61 failed"},
		{"the service, too", oddHit, 2, 8, passOn, nil, Violated, "8 at most, over 31 failed"},
		{"one request is enough", oddHit, 2, 3, passOn, func(s *stubCalls) {
			s.n = 301
			s.play(faultFrom.Add(4*time.Second), 503, constantGaps(10, 50*ms)...)
		}, Violated, "11 calls for a request that was sent 2 times at most, so at least 6 for one of them"},
		{"five of one sending are not told apart", oddHit, 2, 3, passOn, func(s *stubCalls) {
			s.n = 301
			s.play(faultFrom.Add(4*time.Second), 503, constantGaps(9, 50*ms)...)
		}, Held, "31 more requests"},
		{"nothing says which", oddHit, 3, 3, byBodyOf, nil, Held, "tied by the body; 30 more requests"},
		{"each of them", anyHit, 3, 3, passOn, nil, Unknown, "1 at most, over 1 failed logical call"},
		{"each, the service too", anyHit, 3, 6, passOn, nil, Violated, "18 calls for a request that was sent 3 times"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := resentCalls(tt.again, tt.times, tt.attempts, tt.mark)
			if tt.edit != nil {
				tt.edit(s)
			}
			expect(t, (&Attempts{MinSamples: 20}).Detect(s), tt.want, tt.says)
		})
	}
}

// While a client is at it, nobody knows how often it will have sent a request.
func TestAttemptsAreNotSureWhileClientsTryAgain(t *testing.T) {
	d := &Attempts{MinSamples: 20}
	s := resentCalls(oddHit, 3, 7, passOn)
	expect(t, d.Enough(s, ""), Violated, "7 at most")
	s.Record(journal.Entry{On: loadAttack, Body: journal.Attack{Began: true, Retries: 2}})
	expect(t, d.Enough(s, ""), Unknown, "clients try again")
	expect(t, d.Detect(s), Violated, "7 at most")
}

// Writes under one key are one logical call to who knows nothing but the key.
func TestAttemptsOfResubmittedKeys(t *testing.T) {
	s := newStubCalls()
	s.mark = func(l, _ int, c *journal.Call) { c.IdempotencyKey = strconv.Itoa(l) }
	s.calm().failing(25, constantGaps(2, 50*ms)...)
	first := s.n
	s.failing(10, constantGaps(5, 50*ms)...)
	expect(t, (&Attempts{MinSamples: 20}).Detect(s), Violated, "6 at most")
	for l := first; l < s.n; l++ {
		for n := range 2 {
			s.Record(journal.Entry{At: faultFrom, Body: journal.Write{
				Attack: "again", Seq: uint64(2*l + n), Key: strconv.Itoa(l),
			}})
		}
	}
	expect(t, (&Attempts{MinSamples: 20}).Detect(s), Held, "3 at most, over 25 failed", "10 more requests")
}

// A client that comes back at once is not a service that does.
func TestRetryAfterOfClientsThatTryAgain(t *testing.T) {
	told := func(s *stubCalls) *stubCalls {
		s.answer = func(_, _ int, c *journal.Call) { c.RetryAfter = time.Second }
		return s
	}
	build := func(times int) *stubCalls {
		s := told(newStubCallsFor(func(i int, r *journal.Request) {
			if i >= 100 && i%2 == 1 {
				r.Tries = times
			}
		})).calm()
		s.n = 100
		for i := range 60 {
			if s.n%2 == 1 {
				s.play(faultFrom.Add(time.Duration(i)*ms), 503, 50*ms)
				continue
			}
			s.play(faultFrom.Add(time.Duration(i)*ms), 503)
		}
		return s
	}
	d := &RetryAfter{MinSamples: 20}
	expect(t, d.Detect(build(2)), Held, "30 logical calls to payments were told to wait", "none was tried again")
	expect(t, d.Detect(build(1)), Violated, "30 of the 30 retries came before")
}

// Clients that send a request five times make the service call five times.
func TestRetryBudgetOfClientsThatTryAgain(t *testing.T) {
	sent := func(tries int) Finding {
		s := stormOf(func(_ int, r *journal.Request) {
			if r.Due >= faultFrom {
				r.Tries = tries
			}
		}, times(5))
		return (&RetryBudget{MinSamples: 200}).Detect(s)
	}
	expect(t, sent(0), Violated, "1250 calls for 250 requests, 5.00 ")
	expect(t, sent(5), Held, "1.00 calls a request, relative to the steady state")
}
