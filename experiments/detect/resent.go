package detect

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// sentAgain is what was called for a request that was sent more than once: by a
// client that tries again, by its transport, or under the key of another. All
// sendings carry the same mark, so that the calls made for them look like the
// attempts of one logical call.
type sentAgain struct {
	chain
	times int // at most, the first included
}

// least is how many of the calls were made for one sending at least.
func (s sentAgain) least() int { return (len(s.chain) + s.times - 1) / s.times }

// sendings is how often a request may have reached the service. What a transport
// repeated is known of a client's last try.
func sendings(r journal.Request) int { return max(r.Tries, 1) + r.Replays }

// setAside takes the calls of requests that were sent more than once away from
// the chains. Where none is left, nothing ties the attempts of the service.
func (c *callsIn) setAside(j journal.Journal) {
	if c.tied == "" || len(c.chains) == 0 {
		return
	}
	r := resendsOf(j, c.by, c.chains)
	c.chains = slices.DeleteFunc(c.chains, func(ch chain) bool {
		n := r.times(ch)
		if n > 1 {
			c.again = append(c.again, sentAgain{ch, n})
		}
		return n > 1
	})
	switch {
	case len(c.chains) == 0:
		c.tied = ""
	case len(c.again) > 0:
		c.tied += fmt.Sprintf(" (%d logical calls of requests that were sent more than once are left out)", len(c.again))
	}
}

// mostSent is how often one of the requests was sent, at most.
func mostSent(all []sentAgain) (times int) {
	for _, s := range all {
		times = max(times, s.times)
	}
	return times
}

// clientsTryAgain says that some attack's clients send a request again. While
// one is at it, the journal does not know how often.
func clientsTryAgain(j journal.Journal) bool {
	for _, a := range journal.Of[journal.Attack](j) {
		if a.Retries > 0 {
			return true
		}
	}
	return false
}

// resends tells how often the requests were sent that calls were made for.
type resends struct {
	run  string
	tie  tie
	hits *carried[int]  // those sent more than once, by the marks that calls carry
	keys map[string]int // sendings under the keys that calls carry, where clients sent those
	busy []resending    // disjoint, in the order of time
}

// resending is a time in which requests were under way that were sent more than
// once, and how often at most.
type resending struct {
	journal.Window
	times int
}

func resendsOf(j journal.Journal, t tie, chains []chain) *resends {
	r := &resends{run: j.Header().Run, tie: t, keys: map[string]int{}}
	r.hits = newCarried[int](j.Header())
	for _, c := range chains {
		r.hits.by(c[0].call)
		r.keys[c[0].call.IdempotencyKey] = 0
	}
	delete(r.keys, "")
	again := map[origin]int{}
	for q := range j.Requests(journal.Window{}) {
		n := sendings(q)
		if n < 2 {
			continue
		}
		again[origin{q.Attack, q.Seq}] = n
		byID, byTrace := r.hits.of(q)
		for _, at := range []*int{byID, byTrace} {
			if at != nil {
				*at = n
			}
		}
		r.busy = append(r.busy, resending{journal.Window{From: q.Sent, To: q.Done}, n})
	}
	for _, w := range journal.Of[journal.Write](j) {
		if _, carried := r.keys[w.Key]; carried {
			r.keys[w.Key] += max(again[origin{w.Attack, w.Seq}], 1)
		}
	}
	r.join()
	return r
}

// join makes the times disjoint.
func (r *resends) join() {
	slices.SortFunc(r.busy, func(a, b resending) int { return cmp.Compare(a.From, b.From) })
	joined := r.busy[:0]
	for _, b := range r.busy {
		if last := len(joined) - 1; last >= 0 && b.From <= joined[last].To {
			joined[last].To = max(joined[last].To, b.To)
			joined[last].times = max(joined[last].times, b.times)
			continue
		}
		joined = append(joined, b)
	}
	r.busy = joined
}

// times is how often the request of a chain was sent, at most: of its hit, where
// the calls carry its id, its trace or its key; else of any that was under way
// meanwhile. A trace that is not of the load's was begun by the service, anew for
// each sending.
func (r *resends) times(c chain) int {
	first := c[0].call
	if n := r.hits.by(first); n != nil && *n > 0 {
		return *n
	}
	if r.tie.tellsHit(r.run, first) {
		return 1
	}
	if n := r.keys[first.IdempotencyKey]; n > 0 {
		return n
	}
	return r.meanwhile(c)
}

func (r *resends) meanwhile(c chain) int {
	most := 1
	from, _ := slices.BinarySearchFunc(r.busy, c[0].at, func(b resending, at journal.Instant) int {
		return cmp.Compare(b.To, at)
	})
	for _, b := range r.busy[from:] {
		if b.From > c[len(c)-1].at {
			break
		}
		most = max(most, b.times)
	}
	return most
}
