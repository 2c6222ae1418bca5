package detect

import (
	"net/http"

	"github.com/seatrial/seatrial/experiments/journal"
)

// The hypotheses between which an attack's hits decide: shares of the capacity
// that come back as good answers in time, and shares of hits that run into a
// timeout, fail otherwise or are refused late. They lie on both sides of the
// thresholds 0.6 and 0.05, and inside of what limiters (0.88 and more, hardly
// any) and services without one (0.28 at most, nearly all) were measured to
// give.
const (
	goodShare      = 0.8
	badShare       = 0.45
	goodTroubles   = 0.01
	badTroubles    = 0.10
	leastOfOffered = 0.95 // a step below the capacity cannot give more than it is offered
)

// Enough says whether the attack of the step has been judged long enough: one
// sequential test on the rate of good answers in time and one on the share of
// timeouts, late refusals and other failures must both have decided for the
// good, or one of them for the bad, each with errors of one in 1000. The
// beginning that is not judged is left out as in [Shedding.Detect].
func (s *Shedding) Enough(j journal.Journal, step string) Finding {
	d := open("shedding")
	p := s.resolved(j.Header().Promises)
	capacity, measured := measuredValue(j, "capacity", "")
	offered, sent := measuredValue(j, "offered", step)
	if !measured || !sent || capacity <= 0 || offered <= 0 {
		return d.unknown("no attack of %q at a multiple of a measured capacity has begun", step)
	}
	goodput, troubles, hits := p.tested(j, step, capacity, offered)
	d.add(measuredCount("goodput_hits", goodput.seen), measuredCount("trouble_hits", troubles.seen))
	switch {
	case goodput.sure == Violated:
		return d.violated("enough was seen of %q: its good answers in time come at %s of the capacity or less", step,
			pct(badShare))
	case troubles.sure == Violated:
		return d.violated("enough was seen of %q: %s of its hits or more fail or wait", step, pct(badTroubles))
	case goodput.sure == Held && troubles.sure == Held && hits >= fewestHits:
		return d.held("enough was seen of %q: good answers in time come at %s of the capacity or more, and %s of the hits "+
			"or fewer fail or wait", step, pct(goodShare), pct(goodTroubles))
	}
	return d.unknown("not enough was seen of %q", step)
}

func measuredCount(name string, n int) journal.Quantity { return measured(name, float64(n), "1", n) }

// tested runs both tests over the hits of an attack, in the order of their
// numbers and up to the first that has not ended.
func (s *Shedding) tested(
	j journal.Journal, step string, capacity, offered float64,
) (goodput *rateTest, troubles *shareTest, hits int) {
	possible := min(capacity, leastOfOffered*offered)
	goodput = &rateTest{good: max(goodShare*possible, badShare*capacity*1.2), bad: badShare * capacity}
	troubles = &shareTest{good: goodTroubles, bad: badTroubles}
	var from journal.Instant
	for e, a := range journal.Of[journal.Attack](j) {
		if e.On == step {
			from = a.From.Add(s.Discard)
		}
	}
	for r := range byNumber(j, step) {
		if r.Due < from {
			continue
		}
		hits++
		inTime := r.OK && r.Latency() <= s.Latency
		goodput.count(one(inTime), 1/offered)
		troubles.count(s.troubled(r))
	}
	return goodput, troubles, hits
}

// troubled says that a hit was neither answered well nor refused quickly. A
// good answer that is late counts against the goodput alone.
func (s *Shedding) troubled(r journal.Request) bool {
	switch {
	case r.OK:
		return false
	case r.Dropped:
		return true
	case r.Code == http.StatusTooManyRequests, r.Code == http.StatusServiceUnavailable:
		return r.Latency() > s.ShedsWithin
	}
	return true
}
