package experiments

import (
	"fmt"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
)

// merge fills the verdict from its attempts on a number of expectations.
func (v *Verdict) merge(expectations int) {
	for i := range expectations {
		if f, ok := v.tally(i).merged(); ok {
			v.Findings = append(v.Findings, f)
		}
	}
	outcome, reason := Inconclusive, v.Attempts[len(v.Attempts)-1].Reason
	if len(v.Findings) > 0 || expectations == 0 {
		outcome, reason = weigh(v.Findings)
	}
	v.Outcome, v.Reason = outcome, reason
	if outcome == Failed {
		return
	}
	for _, ending := range []Outcome{Error, Aborted} {
		for _, a := range v.Attempts {
			if a.Outcome == ending {
				v.Outcome, v.Reason = ending, a.Reason
				return
			}
		}
	}
}

// tally counts what the attempts say of one expectation.
type tally struct {
	violated, held, unknown, notApplicable []detect.Finding
}

func (t *tally) add(f detect.Finding) {
	switch f.Outcome {
	case detect.Violated:
		t.violated = append(t.violated, f)
	case detect.Held:
		t.held = append(t.held, f)
	case detect.NotApplicable:
		t.notApplicable = append(t.notApplicable, f)
	default:
		t.unknown = append(t.unknown, f)
	}
}

// tally is what the attempts found for one expectation. Those that are not
// sound count only for violations of class safety.
func (v *Verdict) tally(i int) *tally {
	t := &tally{}
	for _, a := range v.Attempts {
		if i >= len(a.Findings) {
			continue
		}
		f := a.Findings[i]
		lost := f.Outcome == detect.Violated && classOf(f.Detector) == detect.Safety
		if a.Sound || lost {
			t.add(f)
		}
	}
	return t
}

// merged is the one finding that all of them come to; false when there is none.
func (t *tally) merged() (detect.Finding, bool) {
	n := len(t.violated) + len(t.held) + len(t.unknown) + len(t.notApplicable)
	switch {
	case len(t.violated) > 0 && (len(t.violated) > 1 || classOf(t.violated[0].Detector) == detect.Safety):
		return t.violated[0], true
	case len(t.violated) > 0 && len(t.held) > 0:
		f := t.held[0]
		remark := fmt.Sprintf("violated in 1 of %d: %s", n, t.violated[0].Reason)
		if f.Remark != "" {
			remark = f.Remark + "; " + remark
		}
		f.Remark = remark
		return f, true
	case len(t.violated) > 0:
		f := t.violated[0]
		f.Outcome = detect.Unknown
		f.Reason = "violated in one attempt, which no other confirmed: " + f.Reason
		return f, true
	case len(t.held) > 0:
		return t.held[0], true
	case len(t.unknown) > 0:
		return t.unknown[0], true
	case len(t.notApplicable) > 0:
		return t.notApplicable[0], true
	}
	return detect.Finding{}, false
}

// MaxAttempts bounds a confirmation: one that was inconclusive, one that was
// violated, and one that says whether it stays so.
const MaxAttempts = 3

// Confirm reports whether another attempt is wanted: a violation of class
// timing or rate has been seen once and was neither confirmed nor refuted, or
// the only attempt so far was inconclusive. An aborted or broken attempt is not
// repeated, nor is a failure that stands.
func Confirm(p Plan, attempts []journal.Journal) bool {
	v := Judge(p, attempts...)
	return v.unsettled()
}

func (v *Verdict) unsettled() bool {
	if v.Outcome != Inconclusive || len(v.Attempts) == 0 || len(v.Attempts) >= MaxAttempts {
		return false
	}
	if len(v.Attempts) == 1 {
		return true
	}
	for i := range v.Attempts[0].Findings {
		if t := v.tally(i); len(t.violated) == 1 && len(t.held) == 0 {
			return true
		}
	}
	return false
}

// TrialOutcome is the outcome of a whole trial: aborted when a run was, for the
// trial is then incomplete; otherwise failed when an experiment was, for what
// was seen stands whatever else went wrong; then error, then inconclusive. It
// is passed when at least one experiment passed and the rest had nothing to try.
// A trial without a verdict, or of nothing but those, is inconclusive.
func TrialOutcome(verdicts ...Verdict) Outcome {
	seen := map[Outcome]bool{}
	for _, v := range verdicts {
		seen[v.Outcome] = true
	}
	for _, o := range []Outcome{Aborted, Failed, Error, Inconclusive, Passed} {
		if seen[o] {
			return o
		}
	}
	return Inconclusive
}

// ExitCode is the exit code that tells an outcome. Not applicable is told as
// inconclusive: nothing was measured.
func (o Outcome) ExitCode() int {
	switch o {
	case Passed:
		return ExitPassed
	case Failed:
		return ExitFailed
	case Aborted:
		return ExitAborted
	case Error:
		return ExitError
	default:
		return ExitInconclusive
	}
}
