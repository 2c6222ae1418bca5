package suites_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// ofExperiment are those of a trial's experiments that one of the catalogue was
// made into, one for each target.
func ofExperiment(all []folder.Experiment, name string) (its []folder.Experiment) {
	for _, f := range all {
		if base, _, _ := strings.Cut(f.Name, "/"); base == name {
			its = append(its, f)
		}
	}
	return its
}

// worst is what came of them together.
func worst(its []folder.Experiment) experiments.Outcome {
	var verdicts []experiments.Verdict
	for _, e := range its {
		verdicts = append(verdicts, e.Verdict)
	}
	return experiments.TrialOutcome(verdicts...)
}

// violated are the kinds of detectors whose findings were confirmed.
func violated(its []folder.Experiment) (kinds []string) {
	for _, e := range its {
		for _, f := range e.Verdict.Findings {
			if f.Outcome == detect.Violated && !slices.Contains(kinds, f.Detector) {
				kinds = append(kinds, f.Detector)
			}
		}
	}
	return kinds
}

func TestOfExperiment(t *testing.T) {
	all := []folder.Experiment{
		{Name: "http-slow/payments"}, {Name: "http-slow/search"}, {Name: "http-slowest"}, {Name: "crash"},
	}
	for name, want := range map[string]int{"http-slow": 2, "crash": 1, "none": 0} {
		if got := len(ofExperiment(all, name)); got != want {
			t.Errorf("%s was made into %d, want %d", name, got, want)
		}
	}
}
