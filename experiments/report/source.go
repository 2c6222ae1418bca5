package report

import (
	"reflect"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// attemptOf is an experiment's attempt of that number, nil when there is none.
func attemptOf(e folder.Experiment, number int) *experiments.Attempt {
	for i := range e.Verdict.Attempts {
		if e.Verdict.Attempts[i].Number == number {
			return &e.Verdict.Attempts[i]
		}
	}
	return nil
}

// sourceOf is the number of the attempt that a verdict's finding was taken
// from: merging may change its outcome and its words, but not its evidence.
// Zero when none has it.
func sourceOf(e folder.Experiment, f detect.Finding) int {
	for _, a := range e.Verdict.Attempts {
		for _, own := range a.Findings {
			if own.Detector == f.Detector && reflect.DeepEqual(own.Evidence, f.Evidence) &&
				reflect.DeepEqual(own.Quantities, f.Quantities) {
				return a.Number
			}
		}
	}
	return 0
}

// decidingNumber is the number of the attempt to look at first: where the
// worst finding comes from, else the last one with the verdict's outcome, else
// the last one. Zero when there is none.
func decidingNumber(e folder.Experiment) int {
	worst, number := len(badness), 0
	for _, f := range e.Verdict.Findings {
		if n := sourceOf(e, f); n > 0 && badness[f.Outcome] < worst {
			worst, number = badness[f.Outcome], n
		}
	}
	if number > 0 {
		return number
	}
	for _, a := range e.Verdict.Attempts {
		if number == 0 || a.Outcome == e.Verdict.Outcome || attemptOf(e, number).Outcome != e.Verdict.Outcome {
			number = a.Number
		}
	}
	return number
}
