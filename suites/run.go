package suites

import (
	"context"
	"errors"
	"testing"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// Run tries a subject as subtests of a plain test: one for each experiment, and
// within it one for each finding. Only experiments that -run matches are
// carried out. A finding that is violated fails its subtest; one that is not
// applicable is skipped; an experiment that is inconclusive fails, since
// nothing was shown.
func Run(t *testing.T, file string, opts ...Option) {
	t.Helper()
	s, err := newSea(file, opts)
	if err != nil {
		t.Fatal(err)
	}
	deadline, has := t.Deadline()
	if err := s.near(deadline, has); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.end(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if dir := s.dir(); dir != "" {
			t.Logf("the trial's report is %s", dir)
		}
	})
	for i := range s.plans {
		t.Run(s.plans[i].Name, func(t *testing.T) {
			e, err := s.try(t.Context(), s.plans[i].Name)
			if err != nil {
				t.Fatal(err)
			}
			check(t, e)
		})
	}
}

func check(t *testing.T, e folder.Experiment) {
	t.Helper()
	if e.Verdict.Outcome == experiments.NotTried {
		t.Skip(e.Verdict.Reason)
	}
	for _, f := range e.Verdict.Findings {
		t.Run(f.Detector, func(t *testing.T) {
			switch f.Outcome {
			case detect.Held:
				t.Log(explain(f))
			case detect.NotApplicable:
				t.Skip(f.Reason)
			default:
				t.Error(explain(f))
			}
		})
	}
	if e.Verdict.Outcome != experiments.Passed {
		t.Errorf("%s %s: %s", e.Name, e.Verdict.Outcome, e.Verdict.Reason)
	}
}

// Try tries a subject without a test's subtests and returns what came of each
// experiment: for tests that expect a verdict other than passed, such as those
// of a mutant.
func Try(ctx context.Context, file string, opts ...Option) ([]folder.Experiment, error) {
	s, err := newSea(file, opts)
	if err != nil {
		return nil, err
	}
	var all []folder.Experiment
	for i := range s.plans {
		e, err := s.try(ctx, s.plans[i].Name)
		if err != nil {
			return nil, errors.Join(err, s.end(ctx))
		}
		all = append(all, e)
	}
	return all, s.end(ctx)
}
