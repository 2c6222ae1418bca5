package suites_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// countTrials adds what lies under "quiet=DIR:busy=DIR"; nothing for an empty
// text. A folder without any trial is a mistake.
func (x *rates) countTrials(places string) error {
	for _, place := range filepath.SplitList(places) {
		condition, dir, ok := strings.Cut(place, "=")
		if !ok || !slices.Contains(conditions, condition) {
			return fmt.Errorf("count trials: %q is not like quiet=DIR or busy=DIR", place)
		}
		found := 0
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.Name() != folder.TrialFile {
				return err
			}
			found++
			return x.countTrial(filepath.Dir(path), condition)
		})
		if err == nil && found == 0 {
			err = errors.New("there is no trial in it")
		}
		if err != nil {
			return fmt.Errorf("count trials of %s: %w", dir, err)
		}
	}
	return nil
}

// countTrial adds a trial's experiments that were tried to their end, unless
// they are known, or were other experiments than those of today.
func (x *rates) countTrial(dir, condition string) error {
	t, err := folder.Read(dir)
	if err != nil {
		return err
	}
	s, err := subject.Load(subjectOf)
	if err != nil {
		return err
	}
	plans, err := trial.Plans(catalogue.All(), s, t.Seed)
	if err != nil {
		return err
	}
	for _, e := range catalogue.All() {
		its := ofExperiment(t.Experiments, e.Name)
		known := slices.ContainsFunc(x.known, func(r rated) bool { return r.Trial == t.ID && r.Experiment == e.Name })
		if known || len(its) == 0 || !ended(its) || !asPlanned(t, its, plans) {
			continue
		}
		r := ratedOf(e.Name, condition, its)
		r.Trial, r.When = t.ID, t.Started
		for _, f := range its {
			r.Seconds += f.Took.Seconds()
		}
		x.known = append(x.known, r)
	}
	return nil
}

// ended says that each has a verdict of its own: not one of a trial that was
// interrupted, or is still going on.
func ended(its []folder.Experiment) bool {
	return !slices.ContainsFunc(its, func(e folder.Experiment) bool {
		switch e.Verdict.Outcome {
		case experiments.Passed, experiments.Failed, experiments.Inconclusive, experiments.Error:
			return false
		}
		return true
	})
}

// asPlanned says that every run was of the plan that today's experiment and
// subject make of the trial's seed.
func asPlanned(t *folder.Trial, its []folder.Experiment, plans []experiments.Plan) bool {
	for _, e := range its {
		i := slices.IndexFunc(plans, func(p experiments.Plan) bool { return p.Name == e.Name })
		if i < 0 {
			return false
		}
		want, err := experiments.Marshal(plans[i].Experiment)
		if err != nil {
			return false
		}
		for _, dir := range e.Runs {
			run, err := folder.ReadRun(filepath.Join(t.Dir, dir))
			var saved struct{ Experiment string }
			if err != nil || json.Unmarshal(run.Plan, &saved) != nil || saved.Experiment != string(want) {
				return false
			}
		}
	}
	return true
}

func TestCountTrials(t *testing.T) {
	x := &rates{}
	if err := x.countTrials(""); err != nil || len(x.known) > 0 {
		t.Errorf("no folder gives %v, and %d tries", err, len(x.known))
	}
	if err := x.countTrials("quiet=" + t.TempDir()); err == nil || !strings.Contains(err.Error(), "no trial") {
		t.Errorf("a folder without trials gives %v", err)
	}
	if err := x.countTrials(t.TempDir()); err == nil || !strings.Contains(err.Error(), "quiet=DIR or busy=DIR") {
		t.Errorf("a folder without a condition gives %v", err)
	}
}
