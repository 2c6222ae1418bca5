package detect

import (
	"math"

	"github.com/seatrial/seatrial/experiments/journal"
)

// BackoffGrowth judges whether the waits between a failing call's attempts grow
// (detectors.md D11). A gap is the time from the end of one answer at the stub
// to the arrival of the next attempt.
//
// With K gaps the trimmed mean of the last must be at least 1.25^(K−1) times
// that of the first. Retries without a wait (a median gap below 5 ms) are a
// violation; a single retry has nothing to grow. Simulated error at the needed
// numbers: constant backoff is never taken for growing, a constant one with
// full jitter in at most 3 of 10,000 runs, and a doubling one is never missed.
type BackoffGrowth struct {
	// On is the http dependency. Empty: the experiment's target.
	On string `yaml:"on" json:"on,omitempty"`
	// During is the window in which logical calls begin: fault (default),
	// method, all or a step's name.
	During string `yaml:"during" json:"during,omitempty"`
	// MinSamples is how many logical calls must have had all K gaps. Zero: 100,
	// and 200 where there are two gaps.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "backoff_growth", ID: "D11", Checklist: []string{"3.3"}, Class: Rate,
	Summary: "the waits between attempts grow",
}, func() Detector { return &BackoffGrowth{} })

// Thresholds of D11.
const (
	growthPerGap   = 1.25
	growthTrim     = 0.1
	immediateBelow = 0.005 // seconds
	immediateLeast = 20    // logical calls needed to call retries immediate
)

// retryGaps are the waits of the logical calls that failed, in seconds.
type retryGaps [][]float64

// gapsOf measures the waits after whole answers; what follows an attempt that
// was hung up on is left out, as its wait cannot be told from its timeout.
func gapsOf(chains []chain) retryGaps {
	var out retryGaps
	for _, c := range failing(chains) {
		var gaps []float64
		for i := 1; i < len(c) && c[i-1].answered(); i++ {
			gaps = append(gaps, c[i].at.Sub(c[i-1].end()).Seconds())
		}
		out = append(out, gaps)
	}
	return out
}

// nth are the n-th gaps (from 1) of the calls that had at least as many as k.
func (g retryGaps) nth(n, k int) []float64 {
	var out []float64
	for _, gaps := range g {
		if len(gaps) >= k {
			out = append(out, gaps[n-1])
		}
	}
	return out
}

// most is the largest number of gaps that at least need(k) calls had; zero when
// there is none.
func (g retryGaps) most(need func(k int) int) int {
	longest := 0
	for _, gaps := range g {
		longest = max(longest, len(gaps))
	}
	for k := longest; k > 0; k-- {
		if n := len(g.nth(1, k)); n >= need(k) {
			return k
		}
	}
	return 0
}

// growth is the trimmed mean of the last gaps over that of the first.
func growth(first, last []float64) float64 {
	return trimmedMean(last, growthTrim) / trimmedMean(first, growthTrim)
}

// growthNeeded is the least growth over k gaps.
func growthNeeded(k int) float64 { return math.Pow(growthPerGap, float64(k-1)) }

// Detect judges the journal.
func (d *BackoffGrowth) Detect(j journal.Journal) Finding {
	f := finding("backoff_growth")
	on, err := httpTarget(j.Header(), d.On)
	if err != nil {
		return f.notApplicable("backoff is not judged: %v", err)
	}
	s, err := resolve(j, d.During, DuringFault)
	if err != nil {
		return f.unknown("backoff is not known: %v", err)
	}
	calls := callsOn(j, on, s, ties)
	if calls.tied == "" {
		return f.unknown("in %v %s", s, calls.untied(on))
	}
	return d.judge(f, calls, on, s)
}

// Enough is the finding on the calls so far, once there are as many as it takes.
// While there are fewer, most calls may have shown no more than their first wait.
func (d *BackoffGrowth) Enough(j journal.Journal, _ string) Finding {
	f := d.Detect(j)
	if f.Outcome == NotApplicable {
		return f.unknown("not enough was seen: %s", f.Reason)
	}
	return f
}

func (d *BackoffGrowth) need(k int) int {
	switch {
	case d.MinSamples > 0:
		return d.MinSamples
	case k == 2:
		return 200
	}
	return 100
}

func (d *BackoffGrowth) judge(f Finding, c callsIn, on string, s span) Finding {
	gaps := gapsOf(c.chains)
	if once := gaps.nth(1, 1); len(once) >= immediateLeast {
		median := quantiles(once, 0.5)[0]
		f.Quantities = append(f.Quantities, bounded("gap_median", median, "s", ">=", immediateBelow, len(once)))
		if median < immediateBelow {
			f.Evidence = c.evidence(1)
			return f.violated("promised: attempts wait longer and longer; seen in %v: half of the %d first retries of %s "+
				"came within %s of the refusal, without any wait (tied by %s); wait before each attempt, and twice as long each "+
				"time", s, len(once), on, briefSeconds(median), c.tied)
		}
	}
	k := gaps.most(d.need)
	if k == 0 {
		return d.tooFew(f, gaps, on, s)
	}
	first, last := gaps.nth(1, k), gaps.nth(k, k)
	if k == 1 {
		if n := len(gaps.nth(1, 2)); n > len(first)/10 {
			return f.unknown("only %d logical calls to %s in %v were retried twice or more, and %d are needed to see waits "+
				"grow", n, on, s, d.need(2))
		}
		return f.notApplicable("%s is retried once in %v, so there is no second wait that could be longer", on, s)
	}
	grown, needed := growth(first, last), growthNeeded(k)
	f.Evidence = c.evidence(k)
	f.Quantities = append(f.Quantities,
		bounded("growth", grown, "1", ">=", needed, len(last)),
		measured("gaps", float64(k), "1", len(last)),
		measured("gap_first", trimmedMean(first, growthTrim), "s", len(first)),
		measured("gap_last", trimmedMean(last, growthTrim), "s", len(last)))
	said := say("promised: attempts wait longer and longer; seen in %v: the first wait before a retry of %s is "+
		"%s and the last of %d is %s on average, %.2f times as long where %.2f is needed (%d logical calls, tied by %s)",
		s, on, briefSeconds(trimmedMean(first, growthTrim)), k, briefSeconds(trimmedMean(last, growthTrim)),
		grown, needed, len(last), c.tied)
	if grown >= needed {
		return f.held("%s", said)
	}
	return f.violated("%s; double the wait with each attempt, up to a bound", said)
}

func (d *BackoffGrowth) tooFew(f Finding, gaps retryGaps, on string, s span) Finding {
	retried := len(gaps.nth(1, 1))
	if len(gaps) >= d.need(1) && retried == 0 {
		return f.notApplicable("none of %d failed calls to %s in %v was tried again, so there is no wait to judge",
			len(gaps), on, s)
	}
	return f.unknown("of %d failed logical calls to %s in %v only %d were tried again, and %d are needed to judge the "+
		"waits", len(gaps), on, s, retried, d.need(max(1, gaps.typical())))
}

// typical is the number of gaps that most calls with any had.
func (g retryGaps) typical() int {
	counts := map[int]int{}
	best := 0
	for _, gaps := range g {
		if n := len(gaps); n > 0 {
			counts[n]++
			if counts[n] > counts[best] {
				best = n
			}
		}
	}
	return best
}

// evidence shows the first logical call that had k gaps.
func (c callsIn) evidence(k int) []Evidence {
	for _, ch := range failing(c.chains) {
		if len(ch) <= k {
			continue
		}
		var out []Evidence
		for i, a := range ch[:min(len(ch), evidenceMost)] {
			if i == 0 {
				out = append(out, a.evidence("attempt 1, answered %d", a.call.Status))
				continue
			}
			out = append(out, a.evidence("attempt %d, %s after the end of the one before", i+1,
				brief(a.at.Sub(ch[i-1].end()))))
		}
		return out
	}
	return nil
}
