package experiments

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// Judge says what the attempts at a plan amount to. It is a pure function of
// the plan and the journals.
//
// One attempt is judged in this order; the first that applies decides:
//
//  1. The run broke for a reason of the harness: error.
//  2. It was interrupted, a guardrail ended it, or its journal is cut off:
//     aborted.
//  3. The steady state did not hold before the first fault: inconclusive.
//  4. The agent was replaced, a step was not in force, a guard on the
//     harness (load, noise) does not hold, or a detector that the runner asked
//     says now, of the same part of the journal, what it did not say then:
//     inconclusive, unless a detector of class safety found a violation; a lost
//     write is lost on a noisy machine too. The guard on the load only makes
//     unknown what held.
//  5. An expectation is violated: failed.
//  6. An expectation is unknown: inconclusive. Where a step was in force but
//     not exercised, what held proves nothing and is unknown, except on the
//     steady state.
//  7. At least one expectation held: passed.
//  8. No expectation applies to the subject: not applicable.
//
// Over the attempts, every expectation is merged by its detector's class, from
// the attempts that came as far as step 5 (for class safety, from all): safety
// is violated by one violation, timing and rate by two. One violation beside
// one attempt in which it held is held, with the remark "violated in 1 of 2";
// one violation that no other attempt confirmed or refuted is unknown. Then: a
// violated expectation fails the experiment; otherwise an attempt that ended by
// an error or was aborted makes the verdict that, unknown makes it
// inconclusive, and passed needs at least one expectation that held.
func Judge(p Plan, attempts ...journal.Journal) Verdict {
	return judge{&p, detect.Guards()}.attempts(attempts)
}

// judge is a plan with the guards on the harness.
type judge struct {
	*Plan
	guards []detect.Detector
}

func (p judge) attempts(attempts []journal.Journal) Verdict {
	v := Verdict{Experiment: p.Name}
	if p.NotApplicable != "" {
		v.Outcome, v.Reason = NotTried, p.NotApplicable
		return v
	}
	for i, j := range attempts {
		a := p.attempt(j)
		a.Number = i + 1
		v.Attempts = append(v.Attempts, a)
	}
	if len(attempts) == 0 {
		v.Outcome, v.Reason = Inconclusive, "nothing was measured: there was no attempt"
		return v
	}
	v.merge(len(p.Experiment.Expect))
	return v
}

func (p judge) attempt(j journal.Journal) Attempt {
	a := Attempt{}
	if outcome, reason := ended(j); outcome != "" {
		a.Outcome, a.Reason = outcome, reason
		if f, any := p.answers(j); any && !stands(f) {
			a.Guards, a.Reason = []detect.Finding{f}, reason+"; and "+f.Reason
		}
		return a
	}
	var broken string
	a.Guards, broken = p.assumptions(j)
	doubt := ""
	if broken == "" {
		broken, doubt = p.witnesses(j, &a.Guards)
	}
	a.Findings = p.expectations(j, doubt)
	if f, ok := first(a.Guards, func(f detect.Finding) bool { return f.Detector == detect.GuardLoad }); ok {
		doubtHeld(a.Findings, f)
	}
	if broken == "" {
		a.Sound = true
		a.Outcome, a.Reason = weigh(a.Findings)
		return a
	}
	a.Outcome, a.Reason = Inconclusive, broken
	if f, ok := first(a.Findings, func(f detect.Finding) bool {
		return f.Outcome == detect.Violated && classOf(f.Detector) == detect.Safety
	}); ok {
		a.Outcome, a.Reason = Failed, sentence(f)
	}
	return a
}

// ended says why a run did not come to its end; empty when it did, or when only
// the gate ended it.
func ended(j journal.Journal) (Outcome, string) {
	for _, a := range journal.Of[journal.Aborted](j) {
		switch a.By {
		case "gate":
			return "", ""
		case "error":
			return Error, a.Reason
		default:
			return Aborted, fmt.Sprintf("ended by %s: %s", a.By, a.Reason)
		}
	}
	phases, down := 0, false
	for _, phase := range journal.Of[journal.Phase](j) {
		phases++
		down = down || phase.Name == "down" || phase.Name == "end"
	}
	if phases > 0 && !down {
		return Aborted, "the journal is cut off before the run's end"
	}
	return "", ""
}

// assumptions are what must hold for a run to say anything: the gate, the agent
// and the guards. The text says which does not.
func (p judge) assumptions(j journal.Journal) (findings []detect.Finding, broken string) {
	for _, e := range p.Experiment.SteadyState.Expect {
		f := completed(detect.Ask(e.Detector, j), e.Kind)
		findings = append(findings, f)
		if broken == "" && !stands(f) {
			broken = "the steady state did not hold before the first fault: " + f.Reason
		}
	}
	for _, a := range journal.Of[journal.AgentReplaced](j) {
		if broken == "" {
			broken = "the agent was replaced while the run went on, and its connections were lost: " + a.Reason
		}
	}
	if f, any := p.answers(j); any {
		findings = append(findings, f)
		if broken == "" && !stands(f) {
			broken = f.Reason
		}
	}
	for _, g := range p.guards {
		f := detect.Ask(g, j)
		findings = append(findings, f)
		if broken == "" && !stands(f) && f.Detector != detect.GuardLoad {
			broken = f.Reason
		}
	}
	return findings, broken
}

// stands reports whether an assumption does.
func stands(f detect.Finding) bool {
	return f.Outcome == detect.Held || f.Outcome == detect.NotApplicable
}

// doubtHeld takes away what held where the load fell short of its plan.
// Violations stay: detectors call them that by the optimistic figures too.
func doubtHeld(findings []detect.Finding, load detect.Finding) {
	if stands(load) {
		return
	}
	for i := range findings {
		if f := &findings[i]; f.Outcome == detect.Held {
			f.Outcome, f.Reason, f.Remark = detect.Unknown, "it held, but "+load.Reason, ""
		}
	}
}

// witnesses asks every step whether it was in force and exercised. A step that
// was not in force leaves the run without a meaning; the second text says which
// was not exercised.
func (p judge) witnesses(j journal.Journal, findings *[]detect.Finding) (notInForce, notExercised string) {
	steps := j.Steps()
	for i, planned := range p.Steps {
		f := detect.Finding{Detector: "witness", Outcome: detect.Held}
		f.Reason = fmt.Sprintf("%s (%s) was in force and exercised", planned.Name, planned.Detail)
		err := witness(planned, steps, i, j)
		switch {
		case err == nil:
		case errors.Is(err, faults.ErrNotExercised):
			f.Outcome, f.Reason = detect.Unknown, fmt.Sprintf("step %q: %v", planned.Name, err)
			if notExercised == "" {
				notExercised = f.Reason
			}
		default:
			f.Outcome, f.Reason = detect.Unknown, fmt.Sprintf("step %q: %v", planned.Name, err)
			if notInForce == "" {
				notInForce = f.Reason
			}
		}
		*findings = append(*findings, f)
	}
	return notInForce, notExercised
}

func witness(planned PlannedStep, steps []journal.Step, i int, j journal.Journal) error {
	if i >= len(steps) {
		return fmt.Errorf("%w: the journal knows of %d steps only", faults.ErrNotInForce, len(steps))
	}
	w, ok := steps[i].Window()
	if !ok {
		why := steps[i].Error
		if why == "" {
			why = "it was not begun"
		}
		return fmt.Errorf("%w: %s", faults.ErrNotInForce, why)
	}
	return planned.Do.Witness(j, planned.Target, w)
}

// expectations asks every detector, in the plan's order.
func (p judge) expectations(j journal.Journal, notExercised string) []detect.Finding {
	findings := make([]detect.Finding, len(p.Experiment.Expect))
	for i, e := range p.Experiment.Expect {
		f := p.expectation(e, j)
		if notExercised != "" && f.Outcome == detect.Held && restsOnFaults(e.Detector) {
			f.Outcome, f.Reason, f.Remark = detect.Unknown, "it held, but "+notExercised, ""
		}
		findings[i] = f
	}
	return findings
}

// expectation asks one detector, where its question makes sense for the
// subject.
func (p judge) expectation(e Expectation, j journal.Journal) detect.Finding {
	not := func(reason string) detect.Finding {
		info, _ := detect.Describe(e.Kind)
		return detect.Finding{
			Detector: e.Kind, Checklist: info.Checklist, Outcome: detect.NotApplicable, Reason: reason,
		}
	}
	if p.Subject != nil && e.Kind == "ledger" && p.Subject.Traffic.Ledger == nil {
		return not("the subject does not say where its writes are found again (traffic.ledger), so none can be missed")
	}
	if reason := p.only(e); reason != "" {
		return not(reason)
	}
	return completed(detect.Ask(e.Detector, j), e.Kind)
}

// only says why an expectation is not meant for the plan's target; empty when
// it is.
func (p judge) only(e Expectation) string {
	if e.Only == "" || p.Subject == nil {
		return ""
	}
	d, ok := p.Subject.Dependency(p.Target)
	switch {
	case !ok || d.Soft == (e.Only == OnlySoft):
		return ""
	case d.Soft:
		return d.Name + " is a soft dependency, and this is asked of hard ones only"
	}
	return d.Name + " is not declared soft, so nothing promises that the service goes on without it"
}

// completed fills in what a detector left open; no outcome counts as unknown.
func completed(f detect.Finding, kind string) detect.Finding {
	if f.Detector == "" {
		f.Detector = kind
	}
	if f.Outcome == "" {
		f.Outcome = detect.Unknown
	}
	return f
}

// restsOnFaults is false only for a detector that looks at the steady state.
func restsOnFaults(d detect.Detector) bool {
	v := reflect.Indirect(reflect.ValueOf(d))
	if v.Kind() != reflect.Struct {
		return true
	}
	during := v.FieldByName("During")
	return !during.IsValid() || during.Kind() != reflect.String || during.String() != detect.DuringSteady
}

// weigh makes an outcome of findings: a violation goes before an unknown one,
// and nothing is passed that did not hold somewhere.
func weigh(findings []detect.Finding) (Outcome, string) {
	is := func(o detect.Outcome) func(detect.Finding) bool {
		return func(f detect.Finding) bool { return f.Outcome == o }
	}
	safety := func(f detect.Finding) bool {
		return f.Outcome == detect.Violated && classOf(f.Detector) == detect.Safety
	}
	if f, ok := first(findings, safety); ok {
		return Failed, sentence(f)
	}
	if f, ok := first(findings, is(detect.Violated)); ok {
		return Failed, sentence(f)
	}
	if f, ok := first(findings, is(detect.Unknown)); ok {
		return Inconclusive, sentence(f)
	}
	held := 0
	for _, f := range findings {
		if f.Outcome == detect.Held {
			held++
		}
	}
	switch {
	case held > 0:
		return Passed, fmt.Sprintf("%d of %d expectations held%s", held, len(findings), rest(len(findings)-held))
	case len(findings) > 0:
		return NotTried, "no expectation applies to this subject: " + findings[0].Reason
	}
	return Inconclusive, "nothing was measured: there is no expectation"
}

func rest(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d not applicable", n)
}

func sentence(f detect.Finding) string { return f.Detector + ": " + f.Reason }

func first(findings []detect.Finding, is func(detect.Finding) bool) (detect.Finding, bool) {
	for _, f := range findings {
		if is(f) {
			return f, true
		}
	}
	return detect.Finding{}, false
}

// classOf is a detector's class; one that nobody registered is held to be of
// class timing, so that one run cannot fail a service.
func classOf(kind string) detect.Class {
	if info, ok := detect.Describe(kind); ok {
		return info.Class
	}
	return detect.Timing
}
