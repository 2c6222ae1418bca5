package experiments

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// scripted is a detector that says at each attempt what it was told to say.
type scripted struct {
	During string
	kind   string
	says   []detect.Outcome
}

func (s *scripted) Detect(j journal.Journal) detect.Finding {
	i := min(j.Header().Attempt, len(s.says)) - 1
	return detect.Finding{Detector: s.kind, Outcome: s.says[i], Reason: fmt.Sprintf("%s at attempt %d", s.says[i], i+1)}
}

// acted is an action whose witness says at each attempt what it was told to.
type acted struct{ says []error }

func (a *acted) String() string                          { return "act" }
func (a *acted) Supports(*subject.Subject, string) error { return nil }
func (a *acted) Start(context.Context, *Execution) (func(context.Context) error, error) {
	return func(context.Context) error { return nil }, nil
}

func (a *acted) Witness(j journal.Journal, _ string, _ journal.Window) error {
	return a.says[min(j.Header().Attempt, len(a.says))-1]
}

// Short names for tables: h held, v violated, u unknown, n not applicable.
func says(letters string) []detect.Outcome {
	names := map[rune]detect.Outcome{
		'h': detect.Held, 'v': detect.Violated, 'u': detect.Unknown, 'n': detect.NotApplicable,
	}
	var out []detect.Outcome
	for _, l := range letters {
		out = append(out, names[l])
	}
	return out
}

// trialOf is a judge of one experiment with the ledger (class safety) and
// latency (class rate) expected, and journals for its attempts.
type trialOf struct {
	gate, guard, safety, rate string
	witness                   []error
	load                      string // the guard on the load
	during                    string // of the rate expectation
	attempts                  int
	break_                    func(attempt int, m *journal.Memory)
}

func (o trialOf) judge() (judge, []journal.Journal) {
	orHeld := func(s string) []detect.Outcome {
		if s == "" {
			s = "h"
		}
		return says(s)
	}
	if o.witness == nil {
		o.witness = []error{nil}
	}
	planned := journal.PlannedStep{Name: "slow", Action: "act", Class: ClassFault, Target: "payments", For: time.Second}
	p := judge{
		Plan: &Plan{
			Name: "x", Steps: []PlannedStep{{PlannedStep: planned, Do: &acted{o.witness}}},
			Experiment: Experiment{
				SteadyState: SteadyState{Expect: []Expectation{{Kind: "success", Detector: &scripted{says: orHeld(o.gate)}}}},
			},
		},
		guards: []detect.Detector{
			&scripted{says: orHeld(o.guard)}, &scripted{kind: detect.GuardLoad, says: orHeld(o.load)},
		},
	}
	if o.safety != "" {
		p.Experiment.Expect = append(p.Experiment.Expect,
			Expectation{Kind: "ledger", Detector: &scripted{says: says(o.safety)}})
	}
	if o.rate != "" {
		p.Experiment.Expect = append(p.Experiment.Expect,
			Expectation{Kind: "latency", Detector: &scripted{says: says(o.rate), During: o.during}})
	}
	var journals []journal.Journal
	for i := range max(1, o.attempts) {
		m := journal.NewMemory(journal.Header{Attempt: i + 1, Method: []journal.PlannedStep{planned}})
		for _, phase := range []string{"steady", "down"} {
			if o.break_ == nil || phase == "steady" {
				m.Record(journal.Entry{At: 1, Body: journal.Phase{Name: phase}})
			}
		}
		phases := []string{journal.PhaseBegin, journal.PhaseInForce, journal.PhaseRevert, journal.PhaseReverted}
		for at, phase := range phases {
			m.Record(journal.Entry{At: journal.Instant(at + 1), Body: journal.StepEvent{Phase: phase}})
		}
		if o.break_ != nil {
			o.break_(i+1, m)
		}
		journals = append(journals, m)
	}
	return p, journals
}

func abort(by string) func(int, *journal.Memory) {
	return func(_ int, m *journal.Memory) {
		m.Record(journal.Entry{At: 9, Body: journal.Phase{Name: "down"}})
		m.Record(journal.Entry{At: 9, Body: journal.Aborted{By: by, Reason: "because"}})
	}
}

func TestJudge(t *testing.T) {
	notInForce := fmt.Errorf("%w: nobody saw it", faults.ErrNotInForce)
	notExercised := fmt.Errorf("%w: no call came", faults.ErrNotExercised)
	tests := map[string]struct {
		trialOf
		want    Outcome
		reason  string // part of it
		confirm bool
	}{
		"all held": {trialOf{safety: "h", rate: "h"}, Passed, "2 of 2 expectations held", false},
		"one does not apply": {
			trialOf{safety: "n", rate: "h"}, Passed, "1 of 2 expectations held, 1 not applicable", false,
		},
		"none applies":     {trialOf{safety: "n", rate: "n"}, NotTried, "no expectation applies", false},
		"nothing expected": {trialOf{}, Inconclusive, "nothing was measured", true},

		"safety violated once": {
			trialOf{safety: "v", rate: "h"}, Failed, "ledger: violated at attempt 1", false,
		},
		"safety goes before rate": {
			trialOf{safety: "hv", rate: "v", attempts: 2}, Failed, "ledger: violated at attempt 2", false,
		},
		"safety in an earlier attempt": {
			trialOf{safety: "vh", attempts: 2}, Failed, "ledger: violated at attempt 1", false,
		},
		"safety, though a guard is broken": {trialOf{safety: "v", guard: "u"}, Failed, "ledger: violated", false},

		"rate violated once": {trialOf{rate: "v"}, Inconclusive, "no other confirmed", true},
		"rate violated twice": {
			trialOf{rate: "v", attempts: 2}, Failed, "latency: violated at attempt 1", false,
		},
		"rate held in the second":    {trialOf{rate: "vh", attempts: 2}, Passed, "1 of 1 expectations held", false},
		"rate unknown in the second": {trialOf{rate: "vu", attempts: 2}, Inconclusive, "no other confirmed", true},
		"unknown, then violated":     {trialOf{rate: "uv", attempts: 2}, Inconclusive, "no other confirmed", true},
		"unknown, then violated twice": {
			trialOf{rate: "uvv", attempts: 3}, Failed, "latency: violated at attempt 2", false,
		},
		"violated, unknown, held":   {trialOf{rate: "vuh", attempts: 3}, Passed, "", false},
		"three attempts are enough": {trialOf{rate: "vuu", attempts: 3}, Inconclusive, "no other confirmed", false},
		"rate, and a guard broken twice": {
			trialOf{rate: "v", guard: "u", attempts: 2}, Inconclusive, "unknown at attempt", false,
		},

		"unknown once":            {trialOf{rate: "u"}, Inconclusive, "latency: unknown at attempt 1", true},
		"unknown twice":           {trialOf{rate: "u", attempts: 2}, Inconclusive, "latency: unknown", false},
		"unknown beside violated": {trialOf{safety: "v", rate: "u"}, Failed, "ledger: violated", false},
		"unknown, then held":      {trialOf{rate: "uh", attempts: 2}, Passed, "", false},

		"gate not held": {
			trialOf{rate: "h", gate: "v"},
			Inconclusive,
			"the steady state did not hold before the first fault: violated", true,
		},
		"gate unknown":        {trialOf{rate: "h", gate: "u"}, Inconclusive, "the steady state did not hold", true},
		"gate held at second": {trialOf{rate: "h", gate: "vh", attempts: 2}, Passed, "", false},
		"gate ended the run": {
			trialOf{rate: "u", gate: "v", break_: abort("gate")}, Inconclusive, "the steady state did not hold", true,
		},
		"guard unknown":        {trialOf{rate: "h", guard: "u"}, Inconclusive, "unknown at attempt 1", true},
		"guard not applicable": {trialOf{rate: "h", guard: "n"}, Passed, "", false},

		"the load fell short, held": {
			trialOf{rate: "h", load: "u"}, Inconclusive, "it held, but unknown at attempt 1", true,
		},
		"the load fell short, violated": {trialOf{rate: "v", load: "u", attempts: 2}, Failed, "latency: violated", false},

		"not in force": {
			trialOf{rate: "h", witness: []error{notInForce}},
			Inconclusive,
			`step "slow": the fault was not in force: nobody saw it`, true,
		},
		"not in force, then in force": {
			trialOf{rate: "h", witness: []error{notInForce, nil}, attempts: 2}, Passed, "", false,
		},
		"not exercised": {
			trialOf{rate: "h", witness: []error{notExercised}},
			Inconclusive,
			"it held, but step \"slow\": the fault was not exercised: no call came", true,
		},
		"not exercised, but violated": {
			trialOf{safety: "v", witness: []error{notExercised}}, Failed, "ledger", false,
		},
		"not exercised, but about what was before": {
			trialOf{rate: "h", during: "steady", witness: []error{notExercised}}, Passed, "", false,
		},

		"interrupted": {trialOf{rate: "h", break_: abort("interrupt")}, Aborted, "ended by interrupt: because", false},
		"a guardrail": {trialOf{rate: "h", break_: abort("guardrail")}, Aborted, "ended by guardrail: because", false},
		"broken":      {trialOf{rate: "h", break_: abort("error")}, Error, "because", false},
		"cut off":     {trialOf{rate: "h", break_: func(int, *journal.Memory) {}}, Aborted, "cut off", false},
		"violated, then aborted": {trialOf{rate: "v", attempts: 2, break_: func(attempt int, m *journal.Memory) {
			if attempt == 2 {
				abort("interrupt")(attempt, m)
			} else {
				m.Record(journal.Entry{At: 9, Body: journal.Phase{Name: "down"}})
			}
		}}, Aborted, "interrupt", false},
		"the agent was replaced": {trialOf{rate: "h", break_: func(_ int, m *journal.Memory) {
			m.Record(journal.Entry{At: 9, Body: journal.AgentReplaced{Reason: "wedged"}})
			m.Record(journal.Entry{At: 9, Body: journal.Phase{Name: "down"}})
		}}, Inconclusive, "wedged", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, journals := tt.judge()
			v := p.attempts(journals)
			if v.Outcome != tt.want || !strings.Contains(v.Reason, tt.reason) {
				t.Errorf("got %s: %s; want %s: %s", v.Outcome, v.Reason, tt.want, tt.reason)
			}
			if got := v.unsettled(); got != tt.confirm {
				t.Errorf("confirm is %v, want %v", got, tt.confirm)
			}
			if len(v.Attempts) != len(journals) || v.Attempts[0].Number != 1 {
				t.Errorf("attempts %+v", v.Attempts)
			}
		})
	}
}

func TestJudgeRemarksOnWhatWasViolatedOnce(t *testing.T) {
	p, journals := trialOf{rate: "vh", attempts: 2}.judge()
	v := p.attempts(journals)
	if diff := cmp.Diff("violated in 1 of 2: violated at attempt 1", v.Findings[0].Remark); diff != "" {
		t.Errorf("remark (-want +got):\n%s", diff)
	}
}

func TestJudgeStepThatWasNeverBegun(t *testing.T) {
	p, _ := trialOf{rate: "h"}.judge()
	m := journal.NewMemory(journal.Header{Attempt: 1, Method: []journal.PlannedStep{p.Steps[0].PlannedStep}})
	m.Record(journal.Entry{Body: journal.StepEvent{Phase: journal.PhaseFailed, Error: "no proxy"}})
	v := p.attempts([]journal.Journal{m})
	if v.Outcome != Inconclusive || !strings.Contains(v.Reason, "not in force: no proxy") {
		t.Errorf("got %s: %s", v.Outcome, v.Reason)
	}
}

func TestJudgeWhatWasNotTried(t *testing.T) {
	p := Plan{Name: "x", NotApplicable: "no database"}
	if v := Judge(p); v.Outcome != NotTried || v.Reason != "no database" || Confirm(p, nil) {
		t.Errorf("got %+v", v)
	}
	if v := Judge(Plan{Name: "x"}); v.Outcome != Inconclusive {
		t.Errorf("no attempt: %+v", v)
	}
}

func TestTrialOutcome(t *testing.T) {
	tests := map[string]struct {
		outcomes []Outcome
		want     Outcome
		code     int
	}{
		"none":                    {nil, Inconclusive, 2},
		"nothing tried":           {[]Outcome{NotTried, NotTried}, Inconclusive, 2},
		"passed":                  {[]Outcome{NotTried, Passed}, Passed, 0},
		"one inconclusive":        {[]Outcome{Passed, Inconclusive, NotTried}, Inconclusive, 2},
		"one failed":              {[]Outcome{Passed, Inconclusive, Failed, Error}, Failed, 1},
		"one broken":              {[]Outcome{Passed, Inconclusive, Error}, Error, 4},
		"aborted before anything": {[]Outcome{Failed, Error, Aborted, Passed}, Aborted, 3},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var verdicts []Verdict
			for _, o := range tt.outcomes {
				verdicts = append(verdicts, Verdict{Outcome: o})
			}
			got := TrialOutcome(verdicts...)
			if got != tt.want || got.ExitCode() != tt.code {
				t.Errorf("got %s, %d", got, got.ExitCode())
			}
		})
	}
}
