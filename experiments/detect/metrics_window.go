package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// seriesGrowth is by how much every series of all replicas together has grown within
// a span of time.
type seriesGrowth struct {
	samples map[string]journal.Sample
	// window is from the first scrape that the growth is counted from to the
	// last that it is counted to: they lie inside the span that was asked for,
	// so that nothing from outside of it is in the growth.
	window journal.Window
}

// grownWithin sums the growth over the replicas between the first and the last
// scrape of each that were sent in the window. The error is a reason for an
// unknown finding.
func grownWithin(j journal.Journal, w journal.Window) (seriesGrowth, error) {
	g := seriesGrowth{samples: map[string]journal.Sample{}}
	for _, replica := range j.Header().Replicas {
		var first, last journal.Metrics
		for m := range journal.Changes(j, replica, w) {
			switch {
			case first.Start == 0:
				first = m
			case m.Start != first.Start:
				return g, fmt.Errorf("%s was restarted between %v and %v, so its metrics began anew", replica, w.From, m.At)
			}
			last = m
		}
		if first.Start == 0 || last.At == first.At {
			return g, fmt.Errorf("%s was not scraped twice between %v and %v, so what its metrics say of that time is not "+
				"known", replica, w.From, w.To)
		}
		sums := map[string]journal.Sample{}
		addGrowth(sums, last.Since(first))
		for key, s := range sums {
			s.Value += g.samples[key].Value
			g.samples[key] = s
		}
		if g.window.To == 0 || first.At < g.window.From {
			g.window.From = first.At
		}
		g.window.To = max(g.window.To, last.At)
	}
	return g, nil
}

// list is the grown samples, sorted by name and labels.
func (g seriesGrowth) list() []journal.Sample {
	var all []journal.Sample
	for _, key := range slices.Sorted(maps.Keys(g.samples)) {
		all = append(all, g.samples[key])
	}
	return all
}

// unscraped says why there are no metrics to judge: not applicable where no
// replica is scraped, unknown where no scrape succeeded; empty when there are
// some.
func unscraped(j journal.Journal) (Outcome, error) {
	for _, replica := range j.Header().Replicas {
		scraped := false
		for range journal.Scrapes(j, replica) {
			scraped = true
			break
		}
		if !scraped {
			return scrapeOutcome(j), scrapeTrouble(j, replica)
		}
	}
	return "", nil
}

// secondsPer is how many seconds one unit of a duration's series is, by its
// name.
func secondsPer(name string) float64 {
	switch {
	case words(name, "millisecond", "_ms"), strings.HasSuffix(name, "_millis"):
		return 1e-3
	case words(name, "microsecond", "_us"):
		return 1e-6
	case words(name, "nanosecond", "_ns"):
		return 1e-9
	}
	return 1
}
