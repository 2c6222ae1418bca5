package detect

import (
	"github.com/seatrial/seatrial/experiments/journal"
)

// BaselineGuard holds when the service was good before the first step: a
// service that fails anyway shows nothing under a fault.
type BaselineGuard struct {
	// Ratio is the least share of good answers. Default 0.995, and the promise
	// success_ratio where that is less.
	Ratio float64 `yaml:"ratio" json:"ratio,omitempty"`
	// MinSamples is how many requests are needed. Zero: 500, but not more than
	// nine tenths of what was planned for the steady-state window, so that a
	// thin load is not held against the service.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "guard_baseline", Class: Rate, Summary: "the service was good before the first step",
}, func() Detector { return &BaselineGuard{} })

// Thresholds of the guard on the baseline.
const (
	baselineRatio = 0.995
	baselineHits  = 500
)

// Detect judges the journal.
func (d *BaselineGuard) Detect(j journal.Journal) Finding {
	f := finding("guard_baseline")
	h := j.Header()
	if h.Rate <= 0 {
		return f.notApplicable("the experiment has no load before its first step")
	}
	s, err := steadySpan(j)
	if err != nil {
		return f.unknown("the service was not seen before the first step: %v", err)
	}
	need := d.MinSamples
	if need == 0 {
		need = baselineHits
		if length := s.length(); length > 0 {
			need = max(1, min(need, int(0.9*h.Rate*length.Seconds())))
		}
	}
	bound := d.Ratio
	if bound == 0 {
		bound = baselineRatio
		if p := h.Promises.SuccessRatio; p > 0 {
			bound = min(bound, p)
		}
	}
	c := countHits(j, s, "", nil)
	f.Quantities, f.Evidence = c.quantities(bound), c.bad
	f = c.judge(f, s, bound, need)
	if f.Outcome == Violated {
		return f.unknown("the service was not good before anything was broken: %s", f.Reason)
	}
	return f
}
