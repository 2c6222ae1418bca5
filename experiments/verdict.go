package experiments

import (
	"github.com/seatrial/seatrial/experiments/detect"
)

// Outcome is a verdict's answer.
type Outcome string

// Outcomes of an experiment over its attempts, and their exit codes.
const (
	Passed       Outcome = "passed"       // 0
	Failed       Outcome = "failed"       // 1
	Inconclusive Outcome = "inconclusive" // 2
	Aborted      Outcome = "aborted"      // 3
	Error        Outcome = "error"        // 4
	// NotTried marks an experiment that has nothing to try in this subject. It
	// is no pass: a trial of nothing else is inconclusive.
	NotTried Outcome = "not applicable"
)

// Exit codes of the program.
const (
	ExitPassed       = 0
	ExitFailed       = 1
	ExitInconclusive = 2
	ExitAborted      = 3
	ExitError        = 4
	ExitUsage        = 64
)

// Verdict is what is said of one experiment over its attempts.
type Verdict struct {
	Experiment string  `json:"experiment"`
	Outcome    Outcome `json:"outcome"`
	// Reason is one sentence; for a failure the most important finding's.
	Reason string `json:"reason"`
	// Findings are those the verdict rests on: of the attempt that decided.
	Findings []detect.Finding `json:"findings,omitempty"`
	Attempts []Attempt        `json:"attempts,omitempty"`
}

// Called is the word that a report says for the verdict: the name of the failure
// that a finding found, where one has a name, or else the outcome.
func (v Verdict) Called() string {
	for _, f := range v.Findings {
		if v.Outcome == Failed && f.Outcome == detect.Violated && f.Failure != "" {
			return f.Failure
		}
	}
	return string(v.Outcome)
}

// Attempt is what is said of one run.
type Attempt struct {
	Number   int              `json:"number"` // from 1
	Outcome  Outcome          `json:"outcome"`
	Reason   string           `json:"reason"`
	Findings []detect.Finding `json:"findings,omitempty"`
	// Sound says that the harness did its part (steady state, witnesses,
	// guards), so that the findings count.
	Sound bool `json:"sound"`
	// Guards are the findings on the harness itself: load, noise, witnesses.
	Guards []detect.Finding `json:"guards,omitempty"`
}
