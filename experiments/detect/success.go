package detect

import (
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Success judges the share of good answers.
//
// It holds when the share is at least the promised one, and is violated when
// the share is below it with 99 % confidence (the upper Wilson bound, one-sided,
// so that a service exactly as good as its promise is called worse in at most
// 1 % of the runs). In between there are too few requests to tell. Dropped hits
// count as bad for holding, and not at all for a violation. Requests that we
// hung up on are left out.
type Success struct {
	// Ratio is the least share of good answers, 0 to 1. Zero: the promise
	// success_ratio.
	Ratio float64 `yaml:"ratio" json:"ratio,omitempty"`
	// During is the window: fault (default), steady, method, after, again, all
	// or a step's name.
	During string `yaml:"during" json:"during,omitempty"`
	// Routes restricts the judgement to these requests of the traffic. Empty:
	// all.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
	// Attack restricts it to one attack's hits: a step's name, or any. Empty:
	// the ordinary load.
	Attack string `yaml:"attack" json:"attack,omitempty"`
	// MinSamples is how many answered or failed requests are needed. Default
	// 100.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "success", Class: Rate,
	Summary: "the share of good answers is as promised",
}, func() Detector { return &Success{MinSamples: 100} })

// Validate says what is wrong with the parameters.
func (d *Success) Validate() error {
	if d.Ratio < 0 || d.Ratio > 1 {
		return fmt.Errorf("ratio: %v is not between 0 and 1", d.Ratio)
	}
	return nil
}

// Detect judges the journal.
func (d *Success) Detect(j journal.Journal) Finding {
	f := finding("success")
	s, err := resolve(j, d.During, DuringFault)
	if err != nil {
		return f.unknown("the share of good answers is not known: %v", err)
	}
	bound := d.Ratio
	if bound == 0 {
		bound = j.Header().Promises.SuccessRatio
	}
	c := countHits(j, s, d.Attack, d.Routes)
	f.Quantities, f.Evidence = c.quantities(bound), c.bad
	return c.judge(f, s, bound, max(d.MinSamples, 1))
}

// hitCount is what came of a span's hits.
type hitCount struct {
	sent, ok, dropped int
	answers           tally      // of those that were not OK
	bad               []Evidence // the first ones
}

func countHits(j journal.Journal, s span, attack string, routes []string) hitCount {
	c := hitCount{answers: tally{}}
	run := j.Header().Run
	for r := range hits(j, s, attack, routes) {
		switch {
		case r.Dropped:
			c.dropped++
			continue
		case r.OK:
			c.ok++
		default:
			c.answers[answer(r)]++
			if len(c.bad) < evidenceMost {
				c.bad = append(c.bad, requestEvidence(run, r))
			}
		}
		c.sent++
	}
	slices.SortStableFunc(c.bad, func(a, b Evidence) int { return int(a.At.Sub(b.At)) })
	return c
}

// ratio is the share of good answers among the hits sent, and among all that
// were due.
func (c hitCount) ratio() (raw, corrected float64) {
	if c.sent == 0 {
		return 0, 0
	}
	return float64(c.ok) / float64(c.sent), float64(c.ok) / float64(c.sent+c.dropped)
}

func (c hitCount) quantities(bound float64) []journal.Quantity {
	raw, _ := c.ratio()
	lower, upper := wilson(c.ok, c.sent)
	return []journal.Quantity{
		bounded("success_ratio", raw, "1", ">=", bound, c.sent),
		measured("success_ratio_lower", lower, "1", c.sent),
		measured("success_ratio_upper", upper, "1", c.sent),
		measured("failures", float64(c.sent-c.ok), "1", c.sent),
		bounded("dropped_ratio", share(c.dropped, c.sent+c.dropped), "1", "<=", dropsBearable, c.sent+c.dropped),
	}
}

func share(k, n int) float64 {
	if n == 0 {
		return 0
	}
	return float64(k) / float64(n)
}

func (c hitCount) judge(f Finding, s span, bound float64, need int) Finding {
	raw, corrected := c.ratio()
	_, upper := wilson(c.ok, c.sent)
	said := say("promised: at least %s good answers; seen in %v: %s of %d requests",
		pct(bound), s, pctSeen(raw), c.sent)
	if len(c.answers) > 0 {
		said += " (" + c.answers.String() + ")"
	}
	switch {
	case c.sent+c.dropped == 0:
		return f.unknown("no request was due in %v, so nothing is known about good answers", s)
	case c.sent < need && upper >= bound:
		return f.unknown("only %d requests were sent in %v, and %d are needed to judge %s good answers",
			c.sent, s, need, pct(bound))
	case upper < bound:
		return f.violated("%s", said)
	case share(c.dropped, c.sent+c.dropped) > dropsBearable:
		return f.unknown("%s, but %d of %d hits could not be sent: the load fell short of its plan",
			said, c.dropped, c.sent+c.dropped)
	case corrected >= bound:
		return f.held("%s", said)
	case raw >= bound:
		return f.unknown("%s, but %d hits could not be sent, and with them the share would be %s",
			said, c.dropped, pctSeen(corrected))
	}
	return f.unknown("%s: below the promise, but by so little that %d requests cannot tell it from chance; "+
		"send more", said, c.sent)
}
