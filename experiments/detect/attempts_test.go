package detect

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

const ms = time.Millisecond

func TestAttempts(t *testing.T) {
	gaps := func(n int) []time.Duration { return constantGaps(n, 50*ms) }
	stated := func(h *journal.Header) { h.Defaults = nil }
	d := Attempts{MinSamples: 20}
	for _, tt := range []struct {
		name string
		d    Attempts
		j    *stubCalls
		want Outcome
		says string
	}{
		{"three", d, newStubCalls().calm().failing(25, gaps(2)...), Held, "3 at most"},
		{"four", d, newStubCalls().calm().failing(25, gaps(3)...), Held, "tied by the request id"},
		{"five", d, newStubCalls().calm().failing(25, gaps(4)...), Held, "one more than the default"},
		{"six", d, newStubCalls().calm().failing(25, gaps(5)...), Violated, "6 at most"},
		{"five, but four were stated", d, newStubCalls(stated).calm().failing(25, gaps(4)...), Violated, "5"},
		{"three, but two are asked for", Attempts{Max: 2}, newStubCalls().failing(25, gaps(2)...), Violated, "3 at"},
		{"nineteen calls", d, newStubCalls().calm().failing(19, gaps(2)...), Unknown, "20 failed logical"},
		{"one of many, certain all the same", d, newStubCalls().failing(1, gaps(9)...), Violated, "10 at"},
		{"none failed", d, func() *stubCalls {
			s := newStubCalls().calm()
			s.play(faultFrom+1, 200)
			return s
		}(), Unknown, "none of the 1 call at"},
		{"nothing arrived", d, newStubCalls().calm(), Unknown, "no call arrived"},
		{"no such dependency", Attempts{On: "db"}, newStubCalls(), NotApplicable, "no http dependency"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.d.Detect(tt.j), tt.want, tt.says) })
	}
}

// A service that tries until it is answered has not shown that it gives up.
func TestAttemptsWantsCallsThatAreGivenUp(t *testing.T) {
	s := newStubCalls().calm()
	s.answer = func(_, attempt int, c *journal.Call) {
		if attempt == 2 {
			c.Status = 200
		}
	}
	s.failing(40, constantGaps(2, 50*ms)...)
	expect(t, (&Attempts{MinSamples: 20}).Detect(s), Unknown, "only 0 were given up")
}

// What was tried a moment ago may still be tried again: asked while the run goes
// on, a long backoff is no giving up.
func TestAttemptsWaitsForTheNext(t *testing.T) {
	build := func(seenFor time.Duration, gaps ...time.Duration) *stubCalls {
		s := newStubCalls().calm()
		for i := range 30 {
			s.play(faultFrom.Add(time.Duration(i)*ms), 503, gaps...)
		}
		s.play(faultFrom.Add(seenFor), 200)
		return s
	}
	d := &Attempts{MinSamples: 20}
	expect(t, d.Detect(build(1900*ms, 50*ms)), Unknown, "only 0 were given up")
	expect(t, d.Detect(build(2200*ms, 50*ms)), Held, "2 at most")
	expect(t, d.Detect(build(4*time.Second, 1500*ms)), Unknown, "only 0 were given up")
	expect(t, d.Detect(build(5*time.Second, 1500*ms)), Held, "2 at most")
}

func TestAttemptsLeavesOutTransportReplays(t *testing.T) {
	replayed := func(nth int, method string) *stubCalls {
		s := newStubCalls().calm()
		s.answer = func(_, attempt int, c *journal.Call) {
			c.Method = method
			if attempt%2 == 0 {
				c.Status, c.Answered, c.Nth = 0, 0, nth
			}
		}
		return s.failing(25, constantGaps(7, 200*time.Microsecond)...)
	}
	f := (&Attempts{MinSamples: 20}).Detect(replayed(2, "GET"))
	expect(t, f, Held, "4 at most")
	if got := value(t, f, "transport_replays"); got != 100 {
		t.Errorf("%v replays", got)
	}
	// On a fresh connection the transport does not repeat: the service did.
	expect(t, (&Attempts{MinSamples: 20}).Detect(replayed(1, "GET")), Violated, "8 at most")
	// Nor does it repeat a POST without a key.
	expect(t, (&Attempts{MinSamples: 20}).Detect(replayed(2, "POST")), Violated, "8 at most")
}

func TestChainsAreTiedBy(t *testing.T) {
	for _, tt := range []struct {
		name string
		mark func(logical, attempt int, c *journal.Call)
		want string
	}{
		{"request id", passOn, "the request id"},
		{"an id of the service's own, a trace", func(l, a int, c *journal.Call) {
			c.RequestID, c.Traceparent = fmt.Sprint(l, a), parentOf(l, a)
		}, "the trace id"},
		{"a trace in b3", func(l, a int, c *journal.Call) {
			c.B3 = parentOf(l, a)[19:52]
		}, "the trace id"},
		{"a trace of Jaeger's", func(l, a int, c *journal.Call) {
			c.UberTraceID = fmt.Sprintf("%x:%x:0:1", l+1, a+1)
		}, "the trace id"},
		{"a trace for each attempt, a key", func(l, a int, c *journal.Call) {
			c.Traceparent, c.IdempotencyKey = parentOf(10*l+a, a), strconv.Itoa(l)
		}, "the idempotency key"},
		{"a key for each attempt, a body", func(l, a int, c *journal.Call) {
			c.IdempotencyKey, c.BodyHash = fmt.Sprint(l, "/", a), strconv.Itoa(l)
		}, "the body"},
		{"a path", func(l, _ int, c *journal.Call) { c.Path = "/charge/" + strconv.Itoa(l) }, "the path"},
		{"ids here, keys there", func(l, a int, c *journal.Call) {
			if l%2 == 0 {
				passOn(l, a, c)
				return
			}
			c.IdempotencyKey = strconv.Itoa(l)
		}, "the request id (375 of 750 calls) and the idempotency key (375 of 750 calls)"},
		{"ids of first attempts only, keys of the others", func(l, a int, c *journal.Call) {
			if a == 0 {
				passOn(l, a, c)
				return
			}
			c.IdempotencyKey = strconv.Itoa(l)
		}, ""},
		{"ids of first attempts only, keys of all", func(l, a int, c *journal.Call) {
			if a == 0 {
				passOn(l, a, c)
			}
			c.IdempotencyKey = strconv.Itoa(l)
		}, "the idempotency key"},
		{"a trace here, paths of their own there", func(l, a int, c *journal.Call) {
			if l%3 == 0 {
				c.Traceparent = parentOf(l, a)
				return
			}
			c.Path = "/charge/" + strconv.Itoa(l)
		}, "the trace id (252 of 750 calls) and the path (498 of 750 calls)"},
		{"nothing", func(int, int, *journal.Call) {}, ""},
		{"a constant key", func(_, _ int, c *journal.Call) { c.IdempotencyKey = "k" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStubCalls()
			s.mark = tt.mark
			// Each of the 125 payments due in the first half of the fault makes
			// three attempts.
			s.calm().failing(250, constantGaps(2, 50*ms)...)
			in, err := resolve(s, DuringFault, "")
			if err != nil {
				t.Fatal(err)
			}
			got := callsOn(s, "payments", in, ties)
			if got.tied != tt.want {
				t.Fatalf("tied by %q, want %q", got.tied, tt.want)
			}
			if tt.want != "" && (len(got.chains) != 250 || len(got.chains[7]) != 3) {
				t.Errorf("%d chains, the eighth of %d", len(got.chains), len(got.chains[7]))
			}
		})
	}
}

// One request that asks a dependency for four things makes four calls, and not
// four attempts at one.
func TestSeveralCallsOfOneRequest(t *testing.T) {
	fanOut := func(differ bool) *stubCalls {
		s := newStubCalls()
		s.mark = func(logical, _ int, c *journal.Call) {
			c.Method, c.Path, c.BodyHash, c.BodyBytes = "GET", "/prices", "", 0
			c.RequestID = journal.RequestID("r1", loadAttack, uint64(logical/4))
			if differ {
				c.QueryHash = strconv.Itoa(logical % 4)
			}
		}
		return s.calm().failing(200, 50*ms)
	}
	f := (&Attempts{MinSamples: 20}).Detect(fanOut(true))
	expect(t, f, Held, "2 at most, over 200 failed logical calls", "tied by the request id")
	expect(t, (&Attempts{MinSamples: 20}).Detect(fanOut(false)), Unknown, "cannot be tied together")
}

func TestAttemptsUntied(t *testing.T) {
	untied := func(attempts int) *stubCalls {
		s := newStubCalls()
		s.mark = func(int, int, *journal.Call) {}
		return s.calm().failing(250, constantGaps(attempts-1, 10*ms)...)
	}
	expect(t, (&Attempts{MinSamples: 20}).Detect(untied(3)), Unknown, "pass X-Request-Id on", "amplification 3.00")
	expect(t, (&Attempts{MinSamples: 20}).Detect(untied(8)), Violated, "8.0 calls a request on average")
}

// Requests that we hung up on have called the dependency as well: they are no
// amplification.
func TestAmplificationCountsHangUps(t *testing.T) {
	s := newStubCalls().calm().failing(250)
	for i := range 250 {
		due := faultFrom.Add(time.Duration(i) * 40 * ms)
		r := journal.Request{Seq: uint64(i), Attack: "hang-up", Route: "pay", Due: due, Sent: due, Done: due, Canceled: true}
		s.Request(r)
		s.play(due+1, 0)
	}
	in, err := resolve(s, DuringFault, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := callsOn(s, "payments", in, ties); got.asked != 500 || got.amplification() != 1 {
		t.Errorf("%d requests, amplification %v", got.asked, got.amplification())
	}
}

func TestHTTPTarget(t *testing.T) {
	two := fixtureHeader()
	two.Dependencies = append(two.Dependencies, journal.DependencyInfo{Name: "mail", Kind: "http"})
	none := fixtureHeader()
	none.Dependencies = nil
	aimless := two
	aimless.Target, aimless.Method = "", nil
	for _, tt := range []struct {
		h        journal.Header
		on, want string
	}{
		{two, "", "payments"}, {two, "mail", "mail"}, {two, "db", ""}, {none, "", ""}, {aimless, "", ""},
	} {
		got, err := httpTarget(tt.h, tt.on)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("on %q: %q, %v, want %q", tt.on, got, err, tt.want)
		}
	}
}
