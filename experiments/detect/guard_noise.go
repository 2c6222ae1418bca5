package detect

import (
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// NoiseGuard holds when our own 20 ms sleeps overshot by at most 50 ms at the
// p99: on a machine noisier than that, no time can be told from its noise.
type NoiseGuard struct{}

var _ = register(Info{
	Kind: "guard_noise", Class: Rate, Summary: "the machine was quiet enough to measure times on",
}, func() Detector { return &NoiseGuard{} })

// Thresholds of the guard on noise.
const (
	shortSleep  = 20 * time.Millisecond
	noiseMost   = 50 * time.Millisecond
	noiseNeeded = 100 // sleeps, so that one lies above the p99
	// noiseGap is the longest time without a record of sleeps, which there is each
	// second (1.14 s apart at most in 250 recorded runs).
	noiseGap = 5 * time.Second
)

// Detect judges the journal.
func (*NoiseGuard) Detect(j journal.Journal) Finding {
	f := finding("guard_noise")
	l := newLatencies()
	var worst journal.Entry
	most := time.Duration(-1)
	var told []journal.Instant
	for e, s := range journal.Of[journal.Sleeper](j) {
		if s.Sleep != shortSleep {
			continue
		}
		told = append(told, e.At)
		for _, o := range s.Overshoots {
			l.add(o)
			if o > most {
				worst, most = e, o
			}
		}
	}
	p99 := l.at(0.99)
	f.Quantities = []journal.Quantity{
		boundedTime("overshoot_p99", p99, noiseMost, l.count()),
		measured("overshoot_p50", l.at(0.5).Seconds(), "s", l.count()),
	}
	if l.count() < noiseNeeded {
		return f.unknown("only %d control sleeps of %v were recorded, and %d are needed to know this machine's noise",
			l.count(), shortSleep, noiseNeeded)
	}
	f.Evidence = []Evidence{{
		At: worst.At, Kind: worst.Body.Kind(), Excerpt: "a sleep of " + shortSleep.String() + " overshot by " + brief(most),
	}}
	if p99 > noiseMost {
		return f.unknown("this machine is too busy: sleeps of %v overshot by %s at the p99, where %v are borne; run again "+
			"with less beside it", shortSleep, brief(p99), noiseMost)
	}
	if s, err := methodSpan(j); err == nil {
		if gap := longestGap(told, s.hull(), nil); gap > noiseGap {
			return f.unknown("no control sleep was recorded for %s of %v, so that this machine's noise is not known then",
				brief(gap), s)
		}
	}
	return f.held("sleeps of %v overshot by %s at the p99 (%d sleeps)", shortSleep, brief(p99), l.count())
}
