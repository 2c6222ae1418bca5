package detect

import (
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// probedStep is a step that asked a health endpoint far more often than a
// platform would.
type probedStep struct {
	name   string
	window journal.Window
	probes float64 // how many were answered
}

// probedSteps are those for one endpoint.
func probedSteps(j journal.Journal, endpoint string) []probedStep {
	var all []probedStep
	for _, s := range j.Steps() {
		w, ok := carriedOut(s)
		if s.Action != "health_probes" || !ok || w.To == 0 {
			continue
		}
		if n, found := measuredValue(j, endpoint+"_probes", s.Name); found {
			all = append(all, probedStep{s.Name, w, n})
		}
	}
	return all
}

const (
	// costBearable is how many calls a second of dependencies probes may add
	// (detectors.md D74): those of a check in the background, which are made
	// however often is asked.
	costBearable = 2.0
	// costOver is the least time over which calls are counted.
	costOver = time.Second
	// quietFor is the time before the first step that is compared with.
	quietFor = 2 * time.Second
)

// costOf is how many calls a second of dependencies a step of probes added to
// those of the quiet time before the first step; false when that is not known.
func costOf(j journal.Journal, s probedStep) (added float64, ok bool) {
	steady, err := steadySpan(j)
	if err != nil {
		return 0, false
	}
	quiet := steady.windows[0]
	quiet.From = max(quiet.From, quiet.To.Add(-quietFor)) // before it, the service has just been started
	if quiet.To == 0 || quiet.Length() < costOver || s.window.Length() < costOver {
		return 0, false
	}
	before := float64(callsWithin(j, quiet)) / quiet.Length().Seconds()
	during := float64(callsWithin(j, s.window)) / s.window.Length().Seconds()
	return during - before, true
}

// callsWithin counts what all dependencies were asked in a window: calls of
// stubs, and for the others the pieces that their proxies carried towards them,
// without our own round trips.
func callsWithin(j journal.Journal, w journal.Window) int {
	n := 0
	for e := range journal.Of[journal.Call](j) {
		n += one(w.Contains(e.At))
	}
	for _, dep := range j.Header().Dependencies {
		if dep.Kind == "http" {
			continue
		}
		n += chunksWithin(j, dep.Name, w)
	}
	return n
}

func chunksWithin(j journal.Journal, on string, w journal.Window) int {
	var seen []uint64
	last := uint64(0)
	for e, t := range journal.Of[journal.Tally](j) {
		switch {
		case e.On != on:
		case e.At < w.From:
			last = t.UpChunks
		case w.Contains(e.At):
			seen = append(seen, t.UpChunks)
		}
	}
	if len(seen) == 0 || slices.Min(seen) < last {
		return 0 // nothing has moved, or the agent was replaced
	}
	n := int(seen[len(seen)-1] - last)
	for e, r := range journal.Of[journal.RoundTrip](j) {
		n -= one(e.On == on && r.Up > 0 && w.Contains(e.At))
	}
	return max(n, 0)
}
