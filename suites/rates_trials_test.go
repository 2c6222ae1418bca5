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

// countIn counts in the trials that SEATRIAL_TRIALS names.
func (x *rates) countIn(t *testing.T, places string) {
	t.Helper()
	if places == "" {
		return
	}
	before := len(x.known)
	if err := x.countTrials(places); err != nil {
		t.Fatal(err)
	}
	t.Logf("counted in %d tries of %s", len(x.known)-before, places)
	if err := x.save(); err != nil {
		t.Fatal(err)
	}
}

// countTrials adds what lies under "quiet=DIR:busy=DIR". A folder without any
// trial is a mistake.
func (x *rates) countTrials(places string) error {
	for _, place := range filepath.SplitList(places) {
		condition, dir, ok := strings.Cut(place, "=")
		if !ok || condition != quiet && condition != busy {
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
		ofIt := ofExperiment(t.Experiments, e.Name)
		known := slices.ContainsFunc(x.known, func(r rated) bool { return r.Trial == t.ID && r.Experiment == e.Name })
		if known || len(ofIt) == 0 || !ended(ofIt) || !asPlanned(t, ofIt, plans) {
			continue
		}
		r := ratedOf(ofIt)
		r.Experiment, r.Condition, r.Digest, r.Trial, r.When = e.Name, condition, digest("", e.Name), t.ID, t.Started
		for _, f := range ofIt {
			r.Seconds += f.Took.Seconds()
		}
		x.known = append(x.known, r)
	}
	return nil
}

// ended says that each has a verdict of its own: not one of a trial that was
// interrupted, or is still going on.
func ended(tried []folder.Experiment) bool {
	return !slices.ContainsFunc(tried, func(e folder.Experiment) bool {
		switch e.Verdict.Outcome {
		case experiments.Passed, experiments.Failed, experiments.Inconclusive, experiments.Error:
			return false
		}
		return true
	})
}

// asPlanned says that every run was of the plan that today's experiment and
// subject make of the trial's seed.
func asPlanned(t *folder.Trial, tried []folder.Experiment, plans []experiments.Plan) bool {
	for _, e := range tried {
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
