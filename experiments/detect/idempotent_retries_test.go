package detect

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// writes is a journal in which n logical writes in the fault are attempted so
// often, each attempt answered with the status (zero: never) and marked with a
// key and body by the function.
func writes(n, attempts, status int, mark func(logical, attempt int, c *journal.Call)) *stubCalls {
	s := newStubCalls()
	s.mark = func(l, a int, c *journal.Call) {
		passOn(l, a, c)
		c.BodyHash = strconv.Itoa(l)
		if mark != nil {
			mark(l, a, c)
		}
	}
	s.calm()
	s.answer = func(_, _ int, c *journal.Call) {
		c.Status = status
		if status == 0 {
			c.Answered, c.HungUp, c.HungUpAfter = 0, true, 300*ms
		}
	}
	return s.failing(n, constantGaps(attempts-1, 50*ms)...)
}

func method(m string) func(int, int, *journal.Call) {
	return func(_, _ int, c *journal.Call) { c.Method = m }
}

func oneKey(l, _ int, c *journal.Call)   { c.IdempotencyKey = fmt.Sprint("k", l) }
func freshKey(l, a int, c *journal.Call) { c.IdempotencyKey = fmt.Sprint("k", l, "/", a) }

func TestIdempotentRetries(t *testing.T) {
	d := &IdempotentRetries{MinSamples: 30}
	for _, tt := range []struct {
		name string
		j    journal.Journal
		want Outcome
		says string
	}{
		{"once", writes(30, 1, 500, nil), Held, "0 of 30 writes left in doubt"},
		{"unanswered, once", writes(30, 1, 0, nil), Held, "0 of 30"},
		{"again under one key", writes(30, 3, 500, oneKey), Held, "0 of 30"},
		{"again without a key", writes(30, 2, 500, nil), Violated, "30 of 30"},
		{"unanswered, again without a key", writes(30, 2, 0, nil), Violated, "30 of 30"},
		{"again under fresh keys", writes(30, 2, 504, freshKey), Violated, "tied by the request id"},
		{"one is enough", writes(1, 2, 502, nil), Violated, "1 of 1"},
		{"one key, another body", writes(30, 2, 500, func(l, a int, c *journal.Call) {
			oneKey(l, a, c)
			c.BodyHash = fmt.Sprint(l, "/", a)
		}), Violated, "30 of 30"},
		{"one key for all", writes(30, 1, 500, func(l, _ int, c *journal.Call) {
			c.IdempotencyKey = fmt.Sprint("k", l/2)
		}), Violated, "the key of another"},
		{"too few", writes(29, 1, 500, nil), Unknown, "30 writes in doubt are needed"},
		{"refused only", writes(40, 2, 503, nil), Unknown, "0 of 0 writes left in doubt"},
		{"reads may be repeated", writes(40, 3, 500, method("GET")), Unknown, "no POST"},
		{"idempotent by method", writes(40, 3, 500, method("PUT")), Unknown, "no POST"},
		{"not read to its end", writes(40, 3, 0, func(_, _ int, c *journal.Call) { c.BodyRead = false }), Unknown, "0 of 0"},
		{"untied", func() journal.Journal {
			s := writes(40, 2, 500, func(_, _ int, c *journal.Call) { c.RequestID, c.BodyHash = "", "same" })
			return s
		}(), Unknown, "cannot be tied"},
		{"tied by the body, fresh keys", writes(40, 2, 500, func(l, a int, c *journal.Call) {
			freshKey(l, a, c)
			c.RequestID = ""
		}), Violated, "tied by the body"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, d.Detect(tt.j), tt.want, tt.says) })
	}
}

func TestIdempotentRetriesAfterRefusal(t *testing.T) {
	s := writes(30, 1, 500, nil)
	s.answer = nil
	s.failing(10, 50*ms)
	expect(t, (&IdempotentRetries{MinSamples: 30}).Detect(s), Held, "10 writes that were refused")
}

// What the transport repeats by itself carries the same key, and is not
// counted; without a key it was the service, however soon.
func TestIdempotentRetriesLeavesOutReplays(t *testing.T) {
	for _, keyed := range []bool{true, false} {
		s := writes(30, 1, 500, func(l, a int, c *journal.Call) {
			if keyed {
				oneKey(l, a, c)
			}
		})
		s.answer = func(_, attempt int, c *journal.Call) {
			if attempt == 0 {
				c.Status, c.Answered, c.Nth = 0, 0, 5
			}
		}
		s.failing(10, 150*ms/1000)
		f := (&IdempotentRetries{MinSamples: 30}).Detect(s)
		if !keyed {
			expect(t, f, Violated, "10 of 40")
			continue
		}
		expect(t, f, Held)
		if got := value(t, f, "transport_replays"); got != 10 {
			t.Errorf("%v replays", got)
		}
	}
}
