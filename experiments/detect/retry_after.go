package detect

import (
	"fmt"
	"net/http"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// RetryAfter judges whether the service waits as long as a dependency asks it to
// (detectors.md D16): after a 503 or 429 with Retry-After the next attempt of
// the same logical call comes no sooner than 0.95 of that time after the end of
// the answer, or never. The twentieth allows for clocks that are not quite the
// same; the usual mistake, the caller's own backoff, is several times shorter
// than the whole seconds that the header can ask for.
//
// A service that does not try such calls again cannot be seen to know the header,
// and holds with a remark. It is violated when more than a tenth of the retries,
// and at least three, came too soon: a request may ask the same thing twice, and
// the second question then looks like a retry.
type RetryAfter struct {
	// On is the http dependency. Empty: the experiment's target.
	On string `yaml:"on" json:"on,omitempty"`
	// During is the window in which logical calls begin: fault (default),
	// method, all or a step's name.
	During string `yaml:"during" json:"during,omitempty"`
	// MinSamples is how many logical calls must have been told to wait.
	// Default 20.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "retry_after", ID: "D16", Checklist: []string{"3.3"}, Class: Rate,
	Summary: "a dependency that says when to come back is not asked again before",
}, func() Detector { return &RetryAfter{MinSamples: 20} })

// Thresholds of D16.
const (
	waitedShare = 0.95
	hastyShare  = 0.1
	hastyLeast  = 3
)

// toldToWait says that the answer asked the caller to come back later.
func (a arrival) toldToWait() bool {
	s := a.call.Status
	return a.answered() && a.call.RetryAfter > 0 &&
		(s == http.StatusServiceUnavailable || s == http.StatusTooManyRequests)
}

// waitsAsked is what became of the logical calls that were told to wait.
type waitsAsked struct {
	told    int       // logical calls
	shares  []float64 // of each retry: its wait, as a share of what was asked
	hasty   int       // of these, too short
	longest time.Duration
	worst   []Evidence
}

func waitsAfter(chains []chain) waitsAsked {
	var w waitsAsked
	least := waitedShare
	for _, c := range chains {
		told := false
		for i, a := range c {
			if !a.toldToWait() {
				continue
			}
			told = true
			w.longest = max(w.longest, a.call.RetryAfter)
			if i+1 == len(c) {
				continue
			}
			gap := c[i+1].at.Sub(a.end())
			share := gap.Seconds() / a.call.RetryAfter.Seconds()
			w.shares = append(w.shares, share)
			w.hasty += one(share < waitedShare)
			if share < least {
				least = share
				w.worst = []Evidence{
					a.evidence("answered %d, Retry-After: %v", a.call.Status, a.call.RetryAfter),
					c[i+1].evidence("the next attempt, %s after that", brief(gap)),
				}
			}
		}
		w.told += one(told)
	}
	return w
}

// Detect judges the journal.
func (d *RetryAfter) Detect(j journal.Journal) Finding {
	f := finding("retry_after")
	on, err := httpTarget(j.Header(), d.On)
	if err != nil {
		return f.notApplicable("Retry-After is not judged: %v", err)
	}
	s, err := resolve(j, d.During, DuringFault)
	if err != nil {
		return f.unknown("whether Retry-After is heeded is not known: %v", err)
	}
	calls := callsOn(j, on, s, ties)
	if calls.tied == "" {
		return f.unknown("in %v %s", s, calls.untied(on))
	}
	return d.judge(f, waitsAfter(calls.chains), calls.tied, on, s)
}

func (d *RetryAfter) judge(f Finding, w waitsAsked, tied, on string, s span) Finding {
	if w.told < max(1, d.MinSamples) {
		return f.unknown("in %v %d logical calls to %s were told to wait by Retry-After, and %d are needed", s, w.told, on,
			max(1, d.MinSamples))
	}
	f.Quantities = append(f.Quantities, measured("told_to_wait", float64(w.told), "1", w.told))
	said := say("promised: nobody is asked again before the time that they set; seen in %v: %d logical calls to "+
		"%s were told to wait up to %v", s, w.told, on, w.longest)
	f.Quantities = append(f.Quantities,
		bounded("hasty_share", ratio(w.hasty, len(w.shares)), "1", "<=", hastyShare, len(w.shares)))
	if len(w.shares) == 0 {
		f.Remark = fmt.Sprintf("none of them was tried again, so it is not known whether the service reads Retry-After; "+
			"a wait of %v may be more than its callers have", w.longest)
		return f.held("%s, and none was tried again", said)
	}
	shortest := quantiles(w.shares, 0, 0.5)
	f.Quantities = append(f.Quantities,
		bounded("wait_share_min", shortest[0], "1", ">=", waitedShare, len(w.shares)),
		measured("wait_share_median", shortest[1], "1", len(w.shares)),
		measured("hasty", float64(w.hasty), "1", len(w.shares)))
	f.Evidence = w.worst
	said = say("%s, and %d of the %d retries came before %s of that time, the soonest after %s of it (tied by %s)",
		said, w.hasty, len(w.shares), pct(waitedShare), pctSeen(shortest[0]), tied)
	switch {
	case w.hasty == 0:
		return f.held("%s", said)
	case w.hasty >= hastyLeast && ratio(w.hasty, len(w.shares)) > hastyShare:
		return f.violated("%s; wait for the longer of Retry-After and your own backoff, or give up", said)
	}
	return f.unknown("%s: too few to tell retries from other calls of the same request", said)
}
