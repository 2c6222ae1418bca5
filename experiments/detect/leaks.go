package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Leaks judges whether goroutines or descriptors are left behind each time a
// fault comes and goes (detectors.md D91). It needs three fault steps or more
// that are alike in action, target and length, with a pause after each, and it
// compares what a replica holds in those pauses.
//
// The figure of a cycle is the least that was seen in its pause from 1 s after
// all steps ended: requests and idle connections come and go, and only add to
// it. A replica leaks when the figures grow from each cycle to the next, in all
// by at least 10 and by at least 4 % of the requests that it got in the cycles
// after the first. A cold start says nothing, as connections kept open grow in
// the first cycle (a warm service held 133 goroutines and a cold one 3, without
// a leak; one that leaked at every request 103, 203 and 303): the first cycle's
// pause is the baseline. With r requests a cycle and replica, leaks at 5/r of
// them or more are seen.
//
// Goroutines are read from the metrics endpoint and descriptors from the
// operating system. The heap is not judged: garbage that was not yet collected
// cannot be told from a leak without the service's help.
type Leaks struct {
	// Metric is the gauge of goroutines. Empty: go_goroutines, or another gauge
	// with goroutine in its name.
	Metric string `yaml:"metric" json:"metric,omitempty"`
	// MinGrowth is the least growth that counts. Default 10.
	MinGrowth int `yaml:"min_growth" json:"min_growth,omitempty"`
	// MinSamples is how many requests each replica must have got in each cycle,
	// on average. Default 5: fewer cannot leave 10 behind in two cycles.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "leaks", ID: "D91", Checklist: []string{"8.6"}, Class: Safety,
	Summary: "neither goroutines nor descriptors are left behind by failing calls",
}, func() Detector { return &Leaks{MinGrowth: leakGrowth, MinSamples: leakRequests} })

// Thresholds of D91.
const (
	leakCycles   = 3
	leakGrowth   = 10
	leakShare    = 0.04 // of the requests of a replica
	leakRequests = 5
	leakSettle   = time.Second
	leakLooks    = 3 // samples needed in each pause
)

// leakCycle is one of the steps that are alike, with the pause after it.
type leakCycle struct {
	step  journal.Step
	pause journal.Window // from leakSettle after its end
}

// name is the step's action in a line.
func (c leakCycle) name() string { return cmp.Or(c.step.Detail, c.step.Action) }

// Detect judges the journal.
func (d *Leaks) Detect(j journal.Journal) Finding {
	k := open("leaks")
	cycles := alike(j)
	if len(cycles) < leakCycles {
		return k.unknown("the method has %d fault steps that are alike, with a pause after each, and %d are needed to see "+
			"whether something is left behind", len(cycles), leakCycles)
	}
	requests := 0
	per := max(1, len(j.Header().Replicas))
	for i, c := range cycles {
		n, using := requestsSent(j, journal.Window{From: c.step.Begun, To: c.pause.To}, c.step.Target)
		if using < d.MinSamples*per {
			return k.unknown("only %d requests that use %s were sent in cycle %d (%v), and %d are needed to see a leak", using,
				c.step.Target, i+1, c.step.Begun, d.MinSamples*per)
		}
		if i > 0 {
			requests += n
		}
	}
	bound := max(float64(orDefault(d.MinGrowth, leakGrowth)), leakShare*float64(requests)/float64(per))
	known := map[string]int{}
	for _, replica := range j.Header().Replicas {
		d.replica(k, j, replica, cycles, bound, known)
	}
	return k.close("promised: nothing is left behind by calls that fail; seen after %d cycles of %s on %s: %s by %.0f "+
		"(%d requests)", len(cycles), cycles[0].name(), cycles[0].step.Target, leaksSaid(known), bound, requests)
}

// leaksSaid says what did not grow, and of how many replicas that is known.
func leaksSaid(known map[string]int) string {
	g, f := known[goroutinesHeld], known[descriptorsHeld]
	switch {
	case g == f:
		return say("neither goroutines nor descriptors of %d replicas grew", g)
	case f == 0:
		return say("the goroutines of %d replicas did not grow", g)
	case g == 0:
		return say("the descriptors of %d replicas did not grow", f)
	}
	return say("neither the goroutines of %d replicas nor the descriptors of %d grew", g, f)
}

// What a replica may leave behind.
const (
	goroutinesHeld  = "goroutines"
	descriptorsHeld = "descriptors"
)

// replica judges one replica's goroutines and descriptors, and counts which of the
// two are known.
func (d *Leaks) replica(
	k *docket, j journal.Journal, name string, cycles []leakCycle, bound float64, known map[string]int,
) {
	if at, restarted := startedIn(j, name, cycles); restarted {
		k.doubt("%s was started again at %v, so what it held before is gone", name, at)
		return
	}
	held := []struct {
		what string
		seen []reading
	}{
		{goroutinesHeld, goroutinesOf(j, name, d.Metric)},
		{descriptorsHeld, descriptorsOf(j, name)},
	}
	if len(held[0].seen)+len(held[1].seen) == 0 {
		k.doubt("there is neither a gauge of goroutines (go_goroutines) nor a sample of descriptors of %s", name)
		return
	}
	for _, h := range held {
		if len(h.seen) == 0 {
			k.note("the %s of %s are not known", h.what, name)
			continue
		}
		known[h.what]++
		judgeLeak(k, name, h.what, h.seen, cycles, bound)
	}
}

// judgeLeak compares one figure of a replica in the pauses.
func judgeLeak(k *docket, name, what string, all []reading, cycles []leakCycle, bound float64) {
	var least []reading
	for i, c := range cycles {
		r, looks := leastIn(all, c.pause)
		if looks < leakLooks {
			k.doubt("the %s of %s were looked at %d times in the pause after cycle %d, and %d are needed", what, name,
				looks, i+1, leakLooks)
			return
		}
		least = append(least, r)
	}
	growing, figures := true, []string{}
	for i, r := range least {
		growing = growing && (i == 0 || r.value > least[i-1].value)
		figures = append(figures, fmt.Sprintf("%.0f", r.value))
	}
	growth := least[len(least)-1].value - least[0].value
	k.add(bounded(what+"_growth", growth, "1", "<", bound, len(least)))
	switch {
	case growth >= bound && growing:
		k.against("promised: nothing is left behind by calls that fail; %s held %s %s in the pauses after %d cycles of %s "+
			"on %s, a growth of %.0f where less than %.0f is noise: end what a call began also when it fails or its caller "+
			"leaves", name, strings.Join(figures, ", "), what, len(cycles), cycles[0].name(), cycles[0].step.Target,
			growth, bound)
		for _, r := range least {
			k.point(r.evidence(name, what))
		}
	case growth >= bound:
		k.doubt("%s held %s %s after the cycles: more in the end, but not more each time", name, strings.Join(figures, ", "),
			what)
	}
}

// alike are the fault steps that were carried out and taken back, and are like
// the most others in action, target and length, with the pauses after them.
func alike(j journal.Journal) []leakCycle {
	steps := j.Steps()
	groups := map[string][]journal.Step{}
	var best []journal.Step
	for _, s := range steps {
		if s.Class != "fault" || !s.Has[journal.PhaseInForce] || !s.Has[journal.PhaseReverted] {
			continue
		}
		key := fmt.Sprint(s.Action, "\x00", s.Detail, "\x00", s.Target, "\x00", s.For)
		groups[key] = append(groups[key], s)
		if len(groups[key]) > len(best) {
			best = groups[key]
		}
	}
	var out []leakCycle
	for _, s := range best {
		if w, ok := pauseAfter(j, steps, s); ok {
			out = append(out, leakCycle{s, w})
		}
	}
	slices.SortFunc(out, func(a, b leakCycle) int { return cmp.Compare(a.step.Begun, b.step.Begun) })
	return out
}

// pauseAfter is the time from leakSettle after the end of a step, and of those
// that began during it, to the beginning of the next or the end of the load.
func pauseAfter(j journal.Journal, steps []journal.Step, s journal.Step) (journal.Window, bool) {
	end, next := s.Reverted, loadEnd(j)
	for _, o := range steps {
		switch {
		case !o.Has[journal.PhaseBegin]:
		case o.Begun >= s.Reverted:
			if next == 0 || o.Begun < next {
				next = o.Begun
			}
		case o.Begun >= s.Begun && o.Has[journal.PhaseReverted]:
			end = max(end, o.Reverted)
		}
	}
	w := journal.Window{From: end.Add(leakSettle), To: next}
	return w, w.To > w.From
}

// startedIn says when a replica was started again during the cycles.
func startedIn(j journal.Journal, name string, cycles []leakCycle) (journal.Instant, bool) {
	for e := range journal.Of[journal.Started](j) {
		if e.On == name && e.At > cycles[0].step.Begun && e.At < cycles[len(cycles)-1].pause.To {
			return e.At, true
		}
	}
	return 0, false
}

// reading is what a gauge said at an instant.
type reading struct {
	at    journal.Instant
	kind  string // of the entry
	value float64
}

func (r reading) evidence(on, what string) Evidence {
	return Evidence{At: r.at, Kind: r.kind, On: on, Excerpt: fmt.Sprintf("%.0f %s", r.value, what)}
}

// leastIn is the smallest reading in a window, and how many there were.
func leastIn(all []reading, w journal.Window) (least reading, looks int) {
	for _, r := range all {
		if !w.Contains(r.at) {
			continue
		}
		looks++
		if looks == 1 || r.value < least.value {
			least = r
		}
	}
	return least, looks
}

// goroutinesOf are the readings of a replica's gauge of goroutines.
func goroutinesOf(j journal.Journal, replica, metric string) []reading {
	var out []reading
	for m := range journal.Scrapes(j, replica) {
		if metric == "" {
			metric = goroutineMetric(m)
		}
		if v, ok := m.Sum(metric); ok {
			out = append(out, reading{m.At, journal.Scrape{}.Kind(), v})
		}
	}
	return out
}

// goroutineMetric finds the gauge of goroutines; empty when there is none.
func goroutineMetric(m journal.Metrics) string {
	found := ""
	for s := range m.All() {
		switch {
		case s.Name == "go_goroutines":
			return s.Name
		case found == "" && (s.Type == "gauge" || s.Type == "untyped") && words(s.Name, "goroutine"):
			found = s.Name
		}
	}
	return found
}

func descriptorsOf(j journal.Journal, replica string) []reading {
	var out []reading
	for e, s := range journal.Of[journal.ProcessSample](j) {
		if e.On == replica && s.FDs > 0 {
			out = append(out, reading{e.At, s.Kind(), float64(s.FDs)})
		}
	}
	return out
}
