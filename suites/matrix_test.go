package suites_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/docker"
	"github.com/seatrial/seatrial/experiments/mutant"
	"github.com/seatrial/seatrial/experiments/trial/folder"
	"github.com/seatrial/seatrial/suites"
)

const (
	moduleRoot = ".."
	subjectOf  = "../testdata/orders/seatrial.yaml"
	mutantsDir = "../testdata/mutants"
)

// quickMutants are tried by every run of the tests, one for each of several
// chapters of the checklist; the rest is tried where SEATRIAL_LONG is set.
var quickMutants = []string{
	"infinite-retry",        // chapter 3
	"no-pool-limit",         // chapter 4
	"errors-counted-as-200", // chapter 7
	"no-sigterm-handler",    // chapter 9
	"short-drain-delay",     // chapter 10
}

// contained are tried in containers, too: the quick ones, and one whose defect
// is in what a container shows.
var contained = append(slices.Clone(quickMutants), "pprof-on-default-mux")

// How often the long form tries each mutant with its experiment: more often where
// the experiment says whether writes were lost.
const (
	repeats     = 3
	repeatsData = 5
)

// repeatsOf is how often an experiment is tried with each mutant that it must
// catch.
func repeatsOf(experiment string) int {
	if labelled(experiment, "data") {
		return repeatsData
	}
	return repeats
}

// TestMatrix tries mutants of the reference service, each with the experiment
// that must catch it: a few of them, or all of them three to five times where
// SEATRIAL_LONG is set, some in containers, too; where that is "all", each with
// every other experiment once, too (tryElsewhere). The long forms keep what they
// have found in .cache/matrix.json, go on from there, and write docs/matrix.md at
// the beginning and after every try.
//
// A mutant of the Dockerfile is tried in containers alone. SEATRIAL_ENVIRONMENT
// "process" or "docker" leaves out what would be tried elsewhere. What needs
// containers is skipped where there is no engine.
func TestMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("a trial of several mutants takes minutes")
	}
	mutants, err := mutant.List(mutantsDir)
	if err != nil {
		t.Fatal(err)
	}
	long := os.Getenv("SEATRIAL_LONG")
	if long == "" {
		for _, m := range mutants {
			if slices.Contains(quickMutants, m.Name) {
				where := cmp.Or(os.Getenv(environmentEnv), home(m))
				tryCell(t, m, tried{Mutant: m.Name, Experiment: m.Experiments[0], Try: 1, Environment: where}, nil)
			}
		}
		return
	}
	done := loadMatrix(t, mutants)
	done.write(t)
	for _, c := range wanted(mutants) {
		i := slices.IndexFunc(mutants, func(m mutant.Mutant) bool { return m.Name == c.Mutant })
		if here(c.Environment) {
			tryCell(t, mutants[i], c, done)
		}
	}
	if long == "all" {
		tryElsewhere(t, mutants, done)
	}
}

// environmentEnv names the one environment in which the matrix is tried.
const environmentEnv = "SEATRIAL_ENVIRONMENT"

// here says that what belongs into an environment is to be tried at all.
func here(environment string) bool {
	only := os.Getenv(environmentEnv)
	return only == "" || only == environment
}

// Environments.
const (
	inProcess = "process"
	inDocker  = "docker"
)

// home is where a mutant is tried with its experiment.
func home(m mutant.Mutant) string { return cmp.Or(m.Environment, inProcess) }

// homeOf is where an experiment is tried with the good service and with other
// mutants than its own.
func homeOf(e experiments.Experiment) string {
	if slices.Contains(e.Labels, "container") {
		return inDocker
	}
	return inProcess
}

// wanted lists what is to be tried: first every mutant with its own experiment,
// and then again; then those in containers.
func wanted(mutants []mutant.Mutant) []tried {
	var cells []tried
	for try := 1; try <= repeatsData; try++ {
		for _, m := range mutants {
			for _, name := range m.Experiments {
				if try <= repeatsOf(name) {
					cells = append(cells, tried{Mutant: m.Name, Experiment: name, Try: try, Environment: home(m)})
				}
			}
		}
	}
	for try := 1; try <= repeats; try++ {
		for _, m := range mutants {
			if slices.Contains(contained, m.Name) {
				cells = append(cells, tried{Mutant: m.Name, Experiment: m.Experiments[0], Try: try, Environment: inDocker})
			}
		}
	}
	return cells
}

// tryCell tries a cell, unless the matrix knows it, and holds it to what is
// promised: the mutant is caught by its own experiment, and no other detector
// fires there without a reason given.
func tryCell(t *testing.T, m mutant.Mutant, c tried, done *matrix) {
	t.Helper()
	t.Run(fmt.Sprintf("%s/%s/%s/%d", c.Mutant, c.Experiment, c.Environment, c.Try), func(t *testing.T) {
		known, found := done.find(c)
		if !found {
			began := time.Now().UTC().Truncate(time.Second)
			known = c.after(m, began, tryMutant(t, m, c.Environment, c.Try, c.Experiment))
			done.add(t, known)
		}
		if !known.caught(m) {
			t.Errorf("%s was not caught by %s: the verdict is %s, violated were %v, and %s had to be",
				m.Name, c.Experiment, known.Outcome, known.Violated, m.Detector)
			return
		}
		for _, kind := range known.unexplained(m) {
			t.Errorf("%s is violated too, and the patch says nothing of it", kind)
		}
	})
}

// tryMutant tries a mutant with the experiments named, in one trial.
func tryMutant(t *testing.T, m mutant.Mutant, environment string, seed int, names ...string) []folder.Experiment {
	t.Helper()
	needs(t, environment)
	overlay, err := mutant.Overlay(m, moduleRoot, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	all, err := suites.Try(t.Context(), subjectOf, suites.Only(names...), suites.Seed(uint64(seed)),
		suites.Out(matrixOut(t)), suites.Environment(environment), suites.Overlay(overlay))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// after is the cell after a trial.
func (c tried) after(m mutant.Mutant, began time.Time, all []folder.Experiment) tried {
	its := ofExperiment(all, c.Experiment)
	c.Digest, c.When, c.Outcome = digest(m.Digest, c.Experiment), began, worst(its)
	for _, e := range its {
		c.Seconds += e.Took.Seconds()
	}
	c.Violated = violated(its)
	return c
}

// needs skips a test where the environment it is to be tried in is not to be had.
func needs(t *testing.T, environment string) {
	t.Helper()
	if environment == inDocker {
		if err := docker.Available(t.Context()); err != nil {
			t.Skip(err)
		}
	}
}

// matrixOut keeps the trials of a long form, for who wants to look at one.
func matrixOut(t *testing.T) string {
	if os.Getenv("SEATRIAL_LONG") == "" {
		return t.TempDir()
	}
	return filepath.Join(moduleRoot, "runs", "matrix")
}
