package detect

import (
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// stubCalls writes what the payments stub of a fixture saw.
type stubCalls struct {
	*journal.Memory
	n int // logical calls so far
	// mark puts on each call what its caller would send. Default: our request
	// id, passed on.
	mark func(logical, attempt int, c *journal.Call)
	// answer shapes each attempt's fate. Default: 503 after 1 ms in the fault.
	answer func(logical, attempt int, c *journal.Call)
}

func newStubCalls(edit ...func(*journal.Header)) *stubCalls { return newStubCallsFor(nil, edit...) }

// newStubCallsFor has a load that is edited.
func newStubCallsFor(hit func(i int, r *journal.Request), edit ...func(*journal.Header)) *stubCalls {
	m := fixture(edit...)
	step(m, 0, faultFrom, faultTo)
	load(m, hit)
	return &stubCalls{Memory: m}
}

// passOn marks a call as a service does that passes our request id on.
func passOn(logical, _ int, c *journal.Call) {
	c.RequestID = journal.RequestID("r1", loadAttack, uint64(logical))
}

// play records one logical call: attempts that arrive the given gaps after the
// end of the one before.
func (s *stubCalls) play(at journal.Instant, status int, gaps ...time.Duration) {
	for i := range len(gaps) + 1 {
		c := journal.Call{
			Method: "POST", Path: "/charge", BodyRead: true, BodyBytes: 20, BodyHash: "same", Status: status,
			Answered: time.Millisecond, Conn: 1, Nth: 1,
		}
		mark := s.mark
		if mark == nil {
			mark = passOn
		}
		mark(s.n, i, &c)
		if s.answer != nil {
			s.answer(s.n, i, &c)
		}
		s.Record(journal.Entry{At: at, On: "payments", Body: c})
		at = at.Add(max(c.Answered, c.HungUpAfter))
		if i < len(gaps) {
			at = at.Add(gaps[i])
		}
	}
	s.n++
}

// calm records good calls, one for each payment of the steady state.
func (s *stubCalls) calm() *stubCalls {
	shape := s.answer
	s.answer = nil
	for i := range 75 {
		s.play(journal.Instant(i)*40*journal.Instant(time.Millisecond)+1, 200)
	}
	s.answer = shape
	return s
}

// failing records n logical calls in the fault, spread over its first half.
func (s *stubCalls) failing(n int, gaps ...time.Duration) *stubCalls {
	for i := range n {
		s.play(faultFrom.Add(time.Duration(i+1)*5*time.Second/time.Duration(n+1)), 503, gaps...)
	}
	return s
}

// constantGaps are n gaps of the same length.
func constantGaps(n int, gap time.Duration) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = gap
	}
	return out
}

// parentOf is a traceparent for each trace and span.
func parentOf(trace, span int) string { return fmt.Sprintf("00-%032x-%016x-01", trace+1, span+1) }
