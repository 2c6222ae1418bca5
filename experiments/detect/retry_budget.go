package detect

import (
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// RetryBudget judges how many calls a failing http dependency gets for one
// logical call while every call fails (detectors.md D15): its amplification of
// the load. A dependency in trouble that is asked three times as often as a
// healthy one does not get well again.
//
// It is counted over the last ten seconds of a fault step of at least 15 s, when
// what a budget lets through at once is used up and a breaker has had time to
// open. Up to 1.2 calls a logical call hold (gRPC's budget and the usual one of
// 10 % of the calls give 1.10 ± 0.013 at 500 calls, 7 standard deviations away;
// an open breaker gives next to 0); up to 4 hold with a remark, as that is what
// the default of max_attempts gives without a budget; more is a violation.
//
// A logical call is a chain of attempts that are tied together, and a request
// that uses the dependency makes at least one. So the amplification is the
// smaller of calls per request, which an open breaker brings down, and attempts
// per chain, which several logical calls of one request do not raise. Where
// nothing ties attempts, calls per request are compared with those of the
// steady state; they are then known only where it had calls.
type RetryBudget struct {
	// Most is the largest amplification that a budget gives. Default 1.2.
	Most float64 `yaml:"most" json:"most,omitempty"`
	// Fail is the amplification above which it is a violation. Default 4.
	Fail float64 `yaml:"fail" json:"fail,omitempty"`
	// On is the http dependency. Empty: the experiment's target.
	On string `yaml:"on" json:"on,omitempty"`
	// During is the name of the fault step. Empty: the last one on the
	// dependency.
	During string `yaml:"during" json:"during,omitempty"`
	// MinSamples is how many requests that use the dependency must have been
	// sent in the ten seconds. Default 200.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "retry_budget", ID: "D15", Checklist: []string{"3.3", "3.6"}, Class: Rate,
	Summary: "retries do not multiply the load on a dependency that fails every call",
}, func() Detector { return &RetryBudget{Most: budgetMost, Fail: budgetFail, MinSamples: budgetLeast} })

// Thresholds of D15.
const (
	budgetMost  = 1.2
	budgetFail  = 4
	budgetLeast = 200
	budgetOver  = 10 * time.Second // the end of the step in which calls are counted
	budgetLead  = 5 * time.Second  // how long before that the step must have begun
	// budgetFailed is the share of failed calls from which all of them fail.
	budgetFailed = 0.95
	// budgetBite is how many calls must have failed in the whole step: after
	// that a breaker may let none through.
	budgetBite = 10
)

// Detect judges the journal.
func (d *RetryBudget) Detect(j journal.Journal) Finding {
	f := finding("retry_budget")
	on, err := httpTarget(j.Header(), d.On)
	if err != nil {
		return f.notApplicable("the amplification of retries is not judged: %v", err)
	}
	step, w, err := d.step(j, on)
	if err != nil {
		return f.unknown("the amplification of retries is not known: %v", err)
	}
	whole := span{name: fmt.Sprintf("step %q", step.Name), windows: []journal.Window{w}}
	end := span{
		name:    fmt.Sprintf("the last %v of step %q", budgetOver, step.Name),
		windows: []journal.Window{{From: w.To.Add(-budgetOver), To: w.To}},
	}
	if failed, all := failedIn(j, on, whole); failed < budgetBite || ratio(failed, all) < budgetFailed {
		return f.unknown("of %d calls at %s in %v %d failed; at least %d must, and %s of them, before a budget is needed",
			all, on, whole, failed, budgetBite, pct(budgetFailed))
	}
	return d.judge(f, callsOn(j, on, end, ties), on, end)
}

// step is the fault step that is judged, and its window.
func (d *RetryBudget) step(j journal.Journal, on string) (journal.Step, journal.Window, error) {
	var last journal.Step
	for _, s := range j.Steps() {
		if s.Class == "fault" && s.Target == on && (d.During == "" || s.Name == d.During) {
			last = s
		}
	}
	if last.Name == "" {
		return last, journal.Window{}, fmt.Errorf("the method has no such fault on %s", on)
	}
	w, ok := carriedOut(last)
	switch {
	case !ok || w.To == 0:
		return last, w, fmt.Errorf("step %q (%s on %s) was not in force and taken back%s", last.Name, last.Action, on,
			because(last))
	case w.Length() < budgetOver+budgetLead:
		return last, w, fmt.Errorf("step %q lasted %v, and %v are needed for a budget to run out", last.Name,
			brief(w.Length()), budgetOver+budgetLead)
	}
	return last, w, nil
}

// failedIn counts the calls at a dependency that arrived in a span.
func failedIn(j journal.Journal, on string, s span) (failed, all int) {
	for _, a := range arrivals(j, on) {
		if s.contains(a.at) {
			all++
			failed += one(a.failed())
		}
	}
	return failed, all
}

// perLogicalCall is the amplification, on how many observations it rests, and
// what it was counted by. An empty text means that it is not known.
func (c callsIn) perLogicalCall() (amplification float64, samples int, by string) {
	if c.tied == "" {
		if c.asked == 0 || c.calm == 0 {
			return 0, c.asked, ""
		}
		return c.amplification(), c.asked, "calls a request, relative to the steady state"
	}
	attempts := 0
	for _, ch := range c.chains {
		attempts += len(ch)
	}
	perChain, perRequest := ratio(attempts, len(c.chains)), ratio(c.calls, c.asked)
	if c.asked == 0 || len(c.chains) > 0 && perChain < perRequest {
		return perChain, max(c.asked, len(c.chains)), "attempts of one logical call, tied by " + c.tied
	}
	return perRequest, c.asked, "calls a request"
}

func (d *RetryBudget) judge(f Finding, c callsIn, on string, s span) Finding {
	a, n, by := c.perLogicalCall()
	if c.calls == 0 && c.asked > 0 {
		a, n, by = 0, c.asked, "calls a request"
	}
	if by == "" {
		return f.unknown("in %v %s", s, c.untied(on))
	}
	most, fail := orDefault(d.Most, budgetMost), orDefault(d.Fail, budgetFail)
	f.Quantities = append(f.Quantities,
		bounded("amplification", a, "1", "<=", fail, n), measured("calls", float64(c.calls), "1", n))
	said := say("promised: retries do not multiply the load on a failing dependency; seen in %v, while all calls "+
		"to %s failed: %d calls for %d requests, %.2f %s, where %.4g is what a budget gives and more than %.4g is too much",
		s, on, c.calls, c.asked, a, by, most, fail)
	switch {
	case n < d.MinSamples:
		return f.unknown("%s; but %d requests are needed to tell", said, d.MinSamples)
	case a > fail:
		f.Evidence = c.evidence(1)
		return f.violated("%s; bound retries as a share of all calls, or open a circuit breaker", said)
	case c.asked > 0 && c.answered < d.MinSamples:
		return f.unknown("%s; but only %d of them were answered, so that few calls show nothing", said, c.answered)
	case a > most:
		f.Remark = fmt.Sprintf("a retry budget would keep it below %.4g", most)
	}
	return f.held("%s", said)
}
