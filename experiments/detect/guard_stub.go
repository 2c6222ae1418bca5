package detect

import (
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// StubGuard holds when our own exchanges with the http stubs took at most 20 ms
// at the p99 while no step was carried out.
type StubGuard struct{}

var _ = register(Info{
	Kind: "guard_stub", Class: Rate, Summary: "the stubs themselves answered at once",
}, func() Detector { return &StubGuard{} })

// stubMost is the stubs' own latency that is borne.
const stubMost = 20 * time.Millisecond

// stubNeeded is how many exchanges are needed to judge it.
const stubNeeded = 20

// stubFails is the share of exchanges that may fail, such as while a proxy lets go
// of what a fault held (chosen).
const stubFails = 0.1

// Detect judges the journal.
func (*StubGuard) Detect(j journal.Journal) Finding {
	f := finding("guard_stub")
	http := map[string]bool{}
	for _, d := range j.Header().Dependencies {
		http[d.Name] = d.Kind == "http"
	}
	busy := stepTimes(j, time.Second)
	l, failed := newLatencies(), tally{}
	for e, r := range journal.Of[journal.RoundTrip](j) {
		switch {
		case !http[e.On] || busy.contains(e.At):
		case r.Err != "":
			failed[r.Err]++
		default:
			l.add(r.RTT)
		}
	}
	if n, all := failed.sum(), failed.sum()+l.count(); all >= stubNeeded && ratio(n, all) > stubFails {
		return f.unknown("%d of %d exchanges of our own with http stubs failed while nothing was broken (%v)", n, all, failed)
	}
	if l.count() < stubNeeded {
		return f.notApplicable("there are only %d exchanges of our own with http stubs outside of the steps", l.count())
	}
	p99 := l.at(0.99)
	f.Quantities = []journal.Quantity{boundedTime("stub_p99", p99, stubMost, l.count())}
	if p99 > stubMost {
		return f.unknown("the stubs themselves took %s at the p99 while nothing was broken, where %v are borne; run again "+
			"with less beside it", brief(p99), stubMost)
	}
	return f.held("the stubs themselves answered within %s at the p99 (%d exchanges)", brief(p99), l.count())
}

// stepTimes are the times from each step's beginning to its end and so long
// after it.
func stepTimes(j journal.Journal, after time.Duration) span {
	var all []journal.Window
	for _, s := range j.Steps() {
		if !s.Has[journal.PhaseBegin] {
			continue
		}
		w := journal.Window{From: s.Begun}
		if s.Has[journal.PhaseReverted] {
			w.To = s.Reverted.Add(after)
		}
		all = append(all, w)
	}
	return span{name: "the steps", windows: merge(all)}
}
