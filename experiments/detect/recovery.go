package detect

import (
	"fmt"
	"math"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Recovery judges how soon after the last step was taken back the service is
// good again, and stays so. Requests belong to the instant they were due.
//
// The time after the last step is cut into sliding windows. The service has
// recovered at its last bad answer within the last window whose share of good
// answers was below the ratio; at once when there was no such window. Not
// recovered is a violation only when it was watched for as long as was
// promised. After it has recovered the steady state must hold again: the share
// of good answers from there to the load's end is held against the promise
// success_ratio.
type Recovery struct {
	// Within is how soon. Zero: the promise recovers_within.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
	// Ratio is the share of good answers a window needs, 0 to 1. Default 0.99
	// (detectors.md D20).
	Ratio float64 `yaml:"ratio" json:"ratio,omitempty"`
	// Window is the length of a sliding window. Zero: as long as takes 50
	// requests at the planned rate, at least 1s and at most 5s.
	Window time.Duration `yaml:"window" json:"window,omitempty"`
	// Routes restricts the judgement to these requests of the traffic. Empty:
	// all.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
}

var _ = register(Info{
	Kind: "recovery", Checklist: []string{"3.6"}, Class: Timing,
	Summary: "the service is good again soon after the last fault, and stays so",
}, func() Detector { return &Recovery{Ratio: 0.99} })

// binsPerWindow is how finely windows slide.
const binsPerWindow = 10

// Detect judges the journal.
func (d *Recovery) Detect(j journal.Journal) Finding {
	f := finding("recovery")
	s, err := resolve(j, DuringAfter, "")
	if err != nil {
		return f.unknown("whether the service recovered is not known: %v", err)
	}
	h := j.Header()
	within, ratio := d.Within, d.Ratio
	if within == 0 {
		within = h.Promises.RecoversWithin
	}
	if ratio == 0 {
		ratio = 0.99
	}
	w := watch(j, s, d.window(h.Rate), d.Routes)
	if len(w.bins) < binsPerWindow || w.hits == 0 {
		return f.unknown("the service was watched for %v after the last step with %d requests; at least one window of "+
			"%v is needed: make the experiment's recovery longer", brief(w.watched()), w.hits, w.size)
	}
	return w.judge(f, within, ratio, h.Promises.SuccessRatio)
}

func (d *Recovery) window(rate float64) time.Duration {
	if d.Window > 0 {
		return d.Window
	}
	if rate <= 0 {
		return 5 * time.Second
	}
	return time.Duration(min(5, max(1, math.Ceil(50/rate)))) * time.Second
}

// bin counts the hits due in a tenth of a window.
type bin struct {
	ok, bad, dropped int
	lastBad          journal.Instant // due time of the last that was bad or dropped
}

// watched is the time after the last step.
type recoveryWatch struct {
	from journal.Instant
	size time.Duration
	last journal.Instant // the last due time
	bins []bin
	hits int
	bad  []Evidence // of the worst: the latest bad answers
}

func watch(j journal.Journal, s span, size time.Duration, routes []string) recoveryWatch {
	w := recoveryWatch{from: s.hull().From, size: size}
	step := size / binsPerWindow
	run := j.Header().Run
	var latest journal.Request
	for r := range hits(j, s, "", routes) {
		at := int(r.Due.Sub(w.from) / step)
		for len(w.bins) <= at {
			w.bins = append(w.bins, bin{})
		}
		b := &w.bins[at]
		w.hits++
		w.last = max(w.last, r.Due)
		if r.OK {
			b.ok++
			continue
		}
		if r.Dropped {
			b.dropped++
		} else {
			b.bad++
		}
		b.lastBad = max(b.lastBad, r.Due)
		if r.Due >= latest.Due {
			latest = r
			w.bad = []Evidence{requestEvidence(run, r)}
		}
	}
	return w
}

func (w recoveryWatch) watched() time.Duration { return max(0, w.last.Sub(w.from)) }

// recovered is the time from the last step to the last bad answer of the last
// bad window; the second result is false when the last window was bad too.
func (w recoveryWatch) recovered(ratio float64, countDropped bool) (time.Duration, bool) {
	last := -1
	for i := 0; i+binsPerWindow <= len(w.bins); i++ {
		if !good(w.bins[i:i+binsPerWindow], ratio, countDropped) {
			last = i
		}
	}
	if last < 0 {
		return 0, true
	}
	at := w.from
	for _, b := range w.bins[last : last+binsPerWindow] {
		at = max(at, b.lastBad)
	}
	return at.Sub(w.from), last+binsPerWindow < len(w.bins)
}

// good says whether a window's share of good answers reaches the ratio. A
// window without any hit says nothing against the service.
func good(bins []bin, ratio float64, countDropped bool) bool {
	var ok, all int
	for _, b := range bins {
		ok += b.ok
		all += b.ok + b.bad
		if countDropped {
			all += b.dropped
		}
	}
	return all == 0 || float64(ok) >= ratio*float64(all)
}

// after counts the answers from an instant on, as hitCount does.
func (w recoveryWatch) after(t time.Duration) hitCount {
	var c hitCount
	step := w.size / binsPerWindow
	for i, b := range w.bins {
		if time.Duration(i)*step > t || t == 0 {
			c.ok += b.ok
			c.sent += b.ok + b.bad
			c.dropped += b.dropped
		}
	}
	return c
}

func (w recoveryWatch) judge(f Finding, within time.Duration, ratio, steady float64) Finding {
	took, ok := w.recovered(ratio, true)
	rawTook, rawOK := w.recovered(ratio, false)
	again := w.after(took)
	againRatio, _ := again.ratio()
	_, againUpper := wilson(again.ok, again.sent)
	f.Quantities = []journal.Quantity{measured("watched", w.watched().Seconds(), "s", w.hits)}
	if ok {
		f.Quantities = append(f.Quantities, boundedTime("time_to_recovery", took, within, w.hits),
			bounded("steady_again_ratio", againRatio, "1", ">=", steady, again.sent))
	} else if w.watched() >= within {
		f.Quantities = append(f.Quantities, boundedTime("time_to_recovery_least", w.watched(), within, w.hits))
	}
	f.Evidence = w.bad
	promised := fmt.Sprintf("promised: good again (%s of the answers in %v) within %v of the last step",
		pct(ratio), w.size, within)
	switch {
	case ok && took <= within && againUpper < steady:
		return f.violated("%s, and then as good as before; seen: from %v after it on only %s of %d good answers, "+
			"where %s are promised", promised, brief(took), pctSeen(againRatio), again.sent, pct(steady))
	case ok && took <= within:
		return f.held("%s; seen: good after %v, and so for the rest of the %v watched", promised, brief(took),
			brief(w.watched()))
	case rawOK && rawTook <= within:
		return f.unknown("%s; hits that could not be sent hide whether it recovered; watched for %v",
			promised, brief(w.watched()))
	case ok:
		return f.violated("%s; seen: the last bad answers were due %v after it", promised, brief(took))
	case w.watched() >= within:
		return f.violated("%s; seen: not recovered while watched for %v, though the cause was gone", promised,
			brief(w.watched()))
	}
	return f.unknown("%s; not recovered while watched for %v: make the experiment's recovery longer", promised,
		brief(w.watched()))
}
