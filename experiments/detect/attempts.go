package detect

import (
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Attempts judges how often the service calls a failing http dependency for one
// logical call, the first attempt included (detectors.md D10). What the HTTP
// transport repeats by itself is not counted.
//
// A promise that the owner stated is held to the letter. Held against the
// default of 4, five attempts are a remark (gRPC clients stop there) and six a
// violation. It holds only when enough logical calls failed, and enough of them
// were given up while the fault still was in force: a service that never gives
// up is not better for having been answered in the end.
//
// Calls for a request that its client sent more than once look like attempts of
// one logical call. Their number divided by that of the sendings is what one had
// at least, and too many of those are a violation; else they count as attempts
// where there are no more than Max of all together, and are left out where there
// are.
type Attempts struct {
	// Max is the most attempts. Zero: the promise max_attempts.
	Max int `yaml:"max" json:"max,omitempty"`
	// On is the http dependency. Empty: the experiment's target.
	On string `yaml:"on" json:"on,omitempty"`
	// During is the window in which logical calls begin: fault (default),
	// method, all or a step's name.
	During string `yaml:"during" json:"during,omitempty"`
	// MinSamples is how many logical calls must have failed at first. Default
	// 20.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "attempts", ID: "D10", Checklist: []string{"3.3"}, Class: Safety,
	Summary: "a failing call is tried a few times and then given up",
}, func() Detector { return &Attempts{MinSamples: 20} })

const (
	// gaveUpLeast is how many logical calls must have been given up.
	gaveUpLeast = 5
	// gaveUpAfter is how long none must have followed on the last attempt, or
	// twice the longest wait that was seen, if that is more: until then it may
	// still come.
	gaveUpAfter = 2 * time.Second
)

// Detect judges the journal.
func (d *Attempts) Detect(j journal.Journal) Finding {
	f := finding("attempts")
	h := j.Header()
	on, err := httpTarget(h, d.On)
	if err != nil {
		return f.notApplicable("attempts are not judged: %v", err)
	}
	s, err := resolve(j, d.During, DuringFault)
	if err != nil {
		return f.unknown("attempts are not known: %v", err)
	}
	limit, warn := d.limits(h)
	calls := callsOn(j, on, s, ties)
	if a := calls.amplification(); a > 0 {
		f.Quantities = append(f.Quantities, measured("amplification", a, "1", calls.asked))
	}
	if calls.tied == "" && len(calls.again) == 0 {
		return d.byAmplification(f, calls, on, s, limit+warn)
	}
	return d.judge(f, calls, on, s, limit, warn)
}

// Enough is the finding on the calls so far: a call with too many attempts is
// one for good, unless clients try again, and otherwise it is unknown until
// enough calls were given up.
func (d *Attempts) Enough(j journal.Journal, _ string) Finding {
	f := d.Detect(j)
	if f.Outcome == Violated && clientsTryAgain(j) {
		return f.unknown("clients try again, so that it is known at the end: %s", f.Reason)
	}
	return f
}

// limits are the most attempts, and how many more are only worth a remark.
func (d *Attempts) limits(h journal.Header) (limit, warn int) {
	if d.Max > 0 {
		return d.Max, 0
	}
	if slices.Contains(h.Defaults, "max_attempts") {
		return h.Promises.MaxAttempts, 1
	}
	return h.Promises.MaxAttempts, 0
}

// byAmplification judges where attempts cannot be tied together: when requests
// cause more calls on average than the most attempts allowed, some logical call
// had more.
func (d *Attempts) byAmplification(f Finding, c callsIn, on string, s span, most int) Finding {
	if a := c.amplification(); a > float64(most) && c.asked >= d.MinSamples {
		return f.violated("promised: at most %d attempts of one call to %s; seen in %v: %.1f calls a request on average "+
			"(nothing ties single attempts together)", most, on, s, a)
	}
	return f.unknown("in %v %s", s, c.untied(on))
}

// attemptsSeen is what became of the logical calls that failed.
type attemptsSeen struct {
	failed  []chain
	again   []sentAgain // whose calls are more than one may have, of all sendings
	worst   chain
	divided sentAgain // with the most calls of one sending, at least
	gaveUp  int
	lengths tally
}

func (c callsIn) attempts(limit int) attemptsSeen {
	seen := attemptsSeen{failed: failing(c.chains), lengths: tally{}}
	for _, a := range c.again {
		switch {
		case !a.chain[0].failed():
		case len(a.chain) <= limit:
			seen.failed = append(seen.failed, a.chain)
		default:
			seen.again = append(seen.again, a)
			if seen.divided.chain == nil || a.least() > seen.divided.least() {
				seen.divided = a
			}
		}
	}
	wait := max(gaveUpAfter, 2*longestWait(seen.failed))
	for _, ch := range seen.failed {
		seen.lengths[say("%d attempts", len(ch))]++
		if ch.gaveUp(c.until, wait) {
			seen.gaveUp++
		}
		if len(ch) > len(seen.worst) {
			seen.worst = ch
		}
	}
	return seen
}

// aside tells of the calls that are left out.
func (a attemptsSeen) aside() string {
	if len(a.again) == 0 {
		return ""
	}
	return say("; %d more requests were sent up to %d times each, so that their clients' tries cannot be told "+
		"from the service's attempts", len(a.again), mostSent(a.again))
}

func (d *Attempts) judge(f Finding, c callsIn, on string, s span, limit, warn int) Finding {
	seen := c.attempts(limit)
	if a := seen.divided; a.chain != nil && a.least() > max(limit+warn, len(seen.worst)) {
		return d.divided(f, c, a, on, s, limit, warn)
	}
	worst, failed := seen.worst, len(seen.failed)
	f.Quantities = append(f.Quantities,
		bounded("attempts_max", float64(len(worst)), "1", "<=", float64(limit+warn), failed),
		measured("given_up", float64(seen.gaveUp), "1", failed),
		measured("transport_replays", float64(c.replays), "1", c.calls))
	for i, a := range worst[:min(len(worst), evidenceMost)] {
		f.Evidence = append(f.Evidence, a.evidence("attempt %d of %d of one logical call", i+1, len(worst)))
	}
	said := say("promised: at most %d attempts of one call to %s; seen in %v: %d at most, over %d failed logical "+
		"calls (%v), tied by %s%s", limit, on, s, len(worst), failed, seen.lengths, c.by.name, seen.aside())
	switch {
	case len(worst) > limit+warn:
		return f.violated("%s; bound the attempts, those of nested clients together", said)
	case failed+len(seen.again) == 0:
		return f.unknown("none of the %d calls at %s in %v failed, so nothing was tried again", c.calls, on, s)
	case failed < d.MinSamples:
		return f.unknown("%s; %d failed logical calls are needed", said, d.MinSamples)
	case seen.gaveUp < gaveUpLeast:
		return f.unknown("%s; but only %d were given up while failing, and %d are needed to say that it gives up at all",
			said, seen.gaveUp, gaveUpLeast)
	case len(worst) > limit:
		f.Remark = say("%d attempts are one more than the default of %d; state max_attempts if they are meant",
			len(worst), limit)
	}
	return f.held("%s", said)
}

// divided is the finding on a request for which there were too many calls,
// whichever of its sendings they were made for.
func (d *Attempts) divided(f Finding, c callsIn, a sentAgain, on string, s span, limit, warn int) Finding {
	f.Quantities = append(f.Quantities,
		bounded("attempts_max", float64(a.least()), "1", "<=", float64(limit+warn), a.times),
		measured("transport_replays", float64(c.replays), "1", c.calls))
	for i, call := range a.chain[:min(len(a.chain), evidenceMost)] {
		f.Evidence = append(f.Evidence, call.evidence("call %d of %d for one request", i+1, len(a.chain)))
	}
	return f.violated("promised: at most %d attempts of one call to %s; seen in %v: %d calls for a request that was sent "+
		"%d times at most, so at least %d for one of them, tied by %s; bound the attempts, those of nested clients together",
		limit, on, s, len(a.chain), a.times, a.least(), c.by.name)
}
