package loadgen

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// DefaultBackoff bounds the first wait of a client that tries again.
const DefaultBackoff = 100 * time.Millisecond

// Retries make an attack's clients impatient, as callers are: a try that gets
// no answer in time, no connection, 429 or 5xx is made again after a wait that
// is drawn evenly between zero and a bound that doubles each time (full
// jitter). A hit is then one logical call: it has the due time and the sending
// of its first try, and the end and the answer of its last.
type Retries struct {
	// Most is how often a hit is tried again. Zero: never.
	Most int
	// Backoff bounds the first wait. Zero means DefaultBackoff.
	Backoff time.Duration
}

// bound is the longest wait before a try, the first retry being 1.
func (t Retries) bound(try int) time.Duration {
	first := t.Backoff
	if first == 0 {
		first = DefaultBackoff
	}
	return first << (try - 1)
}

// patience is the longest that a hit may take with all its tries.
func (t Retries) patience(timeout time.Duration) time.Duration {
	whole := timeout
	for try := 1; try <= t.Most; try++ {
		whole += t.bound(try) + timeout
	}
	return whole
}

// ask sends a hit, and again as its client would.
func (e *engine) ask(r *journal.Request, t Target, h hit) []byte {
	retries := e.client.Retries
	if retries.Most == 0 {
		return e.send(e.ctx, r, t, h)
	}
	draws, header, first := e.draws(h.seq), t.Header, journal.Instant(0)
	for try := 1; ; try++ {
		*r = journal.Request{Seq: r.Seq, Attack: r.Attack, Route: r.Route, Due: r.Due, Tries: try}
		t.Header = header.Clone()
		e.tries.Add(1)
		answer := e.send(e.ctx, r, t, h)
		if try == 1 {
			first = r.Sent
		}
		r.Sent = first
		if try > retries.Most || !again(*r) || !e.wait(retries.draw(draws, try)) {
			return answer
		}
	}
}

// draw is the wait before a try.
func (t Retries) draw(draws *rand.Rand, try int) time.Duration {
	return time.Duration(draws.Int64N(int64(t.bound(try))))
}

// draws are those of one hit's waits, apart from those of what it asks for.
func (e *engine) draws(seq uint64) *rand.Rand {
	return rand.New(rand.NewPCG(e.source.seed^e.stream, scatter(^seq))) //nolint:gosec // repeatable, not secret
}

// again says whether a client would try again after an answer.
func again(r journal.Request) bool {
	if r.OK || r.Canceled {
		return false
	}
	return r.Err != "" || r.Code == http.StatusTooManyRequests || r.Code >= http.StatusInternalServerError
}

// wait waits before the next try; false when the attack is over.
func (e *engine) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return e.ctx.Err() == nil
	case <-e.ctx.Done():
		return false
	}
}
