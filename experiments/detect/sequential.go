package detect

import (
	"maps"
	"math"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Sequential is a detector that knows from a journal that has not come to its
// end whether it has seen enough.
type Sequential interface {
	Detector
	// Enough is the finding on the journal so far, asked by the named step: not
	// unknown only where more of the step would not change it, but for the
	// errors that the detector states.
	Enough(j journal.Journal, step string) Finding
}

// SequentialKinds lists the kinds of detectors that are [Sequential], sorted.
func SequentialKinds() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(kinds)), func(kind string) bool {
		_, ok := kinds[kind].make().(Sequential)
		return !ok
	})
}

// sequentialError is the chance of either error of a sequential test, where
// what is seen follows one of its two hypotheses (detectors.md, section 1).
const sequentialError = 1e-3

// sprt is Wald's sequential probability ratio test: evidence is added up until
// it is 1000 times likelier under one hypothesis than under the other. Wald's
// bounds are kept from below, so that each error is at most 1e-3.
type sprt struct {
	llr  float64 // of the bad hypothesis against the good one
	seen int
	sure Outcome // held or violated once it is decided; what comes later is not counted
}

func (s *sprt) add(llr float64, seen int) {
	if s.sure != "" {
		return
	}
	s.llr += llr
	s.seen += seen
	bound := math.Log((1 - sequentialError) / sequentialError)
	switch {
	case s.llr >= bound:
		s.sure = Violated
	case s.llr <= -bound:
		s.sure = Held
	}
}

// shareTest decides between two shares of bad outcomes, good below bad.
type shareTest struct {
	sprt
	good, bad float64
}

func (t *shareTest) count(isBad bool) {
	if isBad {
		t.add(math.Log(t.bad/t.good), 1)
		return
	}
	t.add(math.Log((1-t.bad)/(1-t.good)), 1)
}

// rateTest decides between two rates of events, which come independently of
// each other: good, and bad, which is lower.
type rateTest struct {
	sprt
	good, bad float64 // events a second
}

// count takes down the events of a span of so many seconds.
func (t *rateTest) count(events int, seconds float64) {
	t.add(float64(events)*math.Log(t.bad/t.good)+(t.good-t.bad)*seconds, events)
}
