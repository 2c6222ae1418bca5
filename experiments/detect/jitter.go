package detect

import (
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Jitter judges whether the waits between a failing call's attempts are spread
// at random (detectors.md D12), on the last gap of each logical call, where the
// spread of any policy is largest.
//
// The spread is the median less the 10 % quantile: the lower half, as a
// machine's noise only ever makes a wait longer. It must be at least 5 % of the
// median and three times the spread of our own 200 ms sleeps at the same time.
// It is violated when it is not and the machine was quiet enough for 5 % to be
// seen; else unknown. Simulated error with 100 logical calls: no jitter is
// passed in less than 1 of 10,000 runs; ±20 % or more is never failed, ±10 % in
// 7 of 10,000.
type Jitter struct {
	// On is the http dependency. Empty: the experiment's target.
	On string `yaml:"on" json:"on,omitempty"`
	// During is the window in which logical calls begin: fault (default),
	// method, all or a step's name.
	During string `yaml:"during" json:"during,omitempty"`
	// MinSamples is how many logical calls with the last gap are needed.
	// Default 100.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "jitter", ID: "D12", Checklist: []string{"3.3"}, Class: Rate,
	Summary: "the waits between attempts are spread at random",
}, func() Detector { return &Jitter{MinSamples: 100} })

// Thresholds of D12.
const (
	jitterShare  = 0.05
	jitterNoises = 3
	controlSleep = 200 * time.Millisecond
	// controlLeast is how many control sleeps a run needs: with 50, constant
	// backoff was passed in 1 of 1,000 simulated runs on a machine under heavy
	// load, with 20 in 1 of 50, with 100 in none of 2,000.
	controlLeast = 100
	// controlBeside is how many of them must have been during the fault.
	controlBeside = 20
	decorrelation = 0.35 // rank correlation of neighbouring waits
)

// jitterFigures is what D12 rests on, in seconds.
type jitterFigures struct {
	q10, q50, spread float64
	control          float64 // the control sleeps' spread
}

// measureJitter takes the control sleeps of the whole run and those during the
// fault; the wider spread counts, as the noise may have come and gone.
func measureJitter(last []float64, controls ...[]float64) jitterFigures {
	q := quantiles(last, 0.1, 0.5)
	m := jitterFigures{q10: q[0], q50: q[1], spread: q[1] - q[0]}
	for _, control := range controls {
		c := quantiles(control, 0.1, 0.5)
		m.control = max(m.control, c[1]-c[0])
	}
	return m
}

// needed is the least spread of a jittered wait.
func (f jitterFigures) needed() float64 { return max(jitterShare*f.q50, jitterNoises*f.control) }

func (f jitterFigures) outcome() Outcome {
	switch {
	case f.spread >= f.needed():
		return Held
	case jitterNoises*f.control <= jitterShare*f.q50:
		return Violated
	}
	return Unknown
}

// family names the policy that the waits look like, for the reader only.
func (f jitterFigures) family(gap1, gap2 []float64) string {
	switch low := f.q10 / f.q50; {
	case len(gap2) > 0 && spearman(gap1, gap2) > decorrelation:
		return "decorrelated jitter"
	case low < 0.4:
		return "full jitter"
	case low < 0.66:
		return "about ±50 %"
	case low < 0.78:
		return "equal jitter"
	case low < 0.95:
		return "±20 % or less"
	}
	return "none"
}

// controlOvershoots are our own long sleeps' overshoots in a window, in
// seconds. An entry's overshoots happened before it was recorded.
func controlOvershoots(j journal.Journal, sleep time.Duration, w journal.Window) []float64 {
	var out []float64
	for e, s := range journal.Of[journal.Sleeper](j) {
		if s.Sleep != sleep || !w.Contains(e.At) {
			continue
		}
		for _, o := range s.Overshoots {
			out = append(out, o.Seconds())
		}
	}
	return out
}

// Detect judges the journal.
func (d *Jitter) Detect(j journal.Journal) Finding {
	f := finding("jitter")
	on, err := httpTarget(j.Header(), d.On)
	if err != nil {
		return f.notApplicable("jitter is not judged: %v", err)
	}
	s, err := resolve(j, d.During, DuringFault)
	if err != nil {
		return f.unknown("jitter is not known: %v", err)
	}
	calls := callsOn(j, on, s, ties)
	if calls.tied == "" {
		return f.unknown("in %v %s", s, calls.untied(on))
	}
	all := controlOvershoots(j, controlSleep, journal.Window{})
	beside := controlOvershoots(j, controlSleep, s.hull())
	return d.judge(f, calls, all, beside, on, s)
}

// Enough is the finding on the calls so far: it is unknown until there are as
// many as it takes, and control sleeps to go with them.
func (d *Jitter) Enough(j journal.Journal, _ string) Finding { return d.Detect(j) }

func (d *Jitter) judge(f Finding, c callsIn, control, beside []float64, on string, s span) Finding {
	gaps := gapsOf(c.chains)
	need := max(1, d.MinSamples)
	k := gaps.most(func(int) int { return need })
	retried := len(gaps.nth(1, 1))
	switch {
	case k == 0 && retried == 0 && len(gaps) >= need:
		return f.notApplicable("none of %d failed calls to %s in %v was tried again, so there is no wait to judge",
			len(gaps), on, s)
	case k == 0:
		return f.unknown("of %d failed logical calls to %s in %v only %d were tried again, and %d are needed to judge "+
			"jitter", len(gaps), on, s, retried, need)
	case len(control) < controlLeast || len(beside) < controlBeside:
		return f.unknown("the machine's own noise is not known: %d control sleeps of %v, %d of them in %v, where %d and %d "+
			"are needed", len(control), controlSleep, len(beside), s, controlLeast, controlBeside)
	}
	last := gaps.nth(k, k)
	m := measureJitter(last, control, beside)
	f.Evidence = c.evidence(k)
	f.Quantities = []journal.Quantity{
		bounded("jitter_spread", m.spread, "s", ">=", m.needed(), len(last)),
		measured("jitter_spread_ratio", m.spread/m.q50, "1", len(last)),
		measured("gap_median", m.q50, "s", len(last)),
		measured("control_spread", m.control, "s", len(control)),
		measured("gaps", float64(k), "1", len(last)),
	}
	said := fmt.Sprintf("promised: waits before a retry are spread at random; seen in %v: wait %d of %s has a median of "+
		"%s and its lower half spreads over %s, where %s are needed (%d logical calls, tied by %s; our own sleeps spread "+
		"over %s)", s, k, on, briefSeconds(m.q50), briefSeconds(m.spread), briefSeconds(m.needed()), len(last), c.tied,
		briefSeconds(m.control))
	switch m.outcome() {
	case Held:
		var gap2 []float64
		if k >= 2 {
			gap2 = gaps.nth(2, k)
		}
		return f.held("%s; it looks like %s", said, m.family(gaps.nth(1, k), gap2))
	case Violated:
		return f.violated("%s; draw each wait at random, such as between nothing and its full length", said)
	}
	return f.unknown("%s: this machine is too noisy to see a spread of 5 %%", said)
}
