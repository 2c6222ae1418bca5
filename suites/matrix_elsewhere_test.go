package suites_test

import (
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/mutant"
)

// groups are labels that together name every experiment of the catalogue. Those
// of one label are tried with a mutant in one trial, where they share what they
// can. The cheapest come first.
var groups = []string{"quick", "main", "behaviour", "data", "container"}

// tryElsewhere tries every mutant with the experiments that are not its own and
// that the matrix knows nothing of, once, and a second time where that told
// nothing. None of them need find the defect; what fires there without a reason
// given fails the test.
func tryElsewhere(t *testing.T, mutants []mutant.Mutant, done *matrix) {
	t.Helper()
	for _, label := range groups {
		for _, m := range mutants {
			if !here(home(m)) {
				continue
			}
			t.Run(m.Name+"/elsewhere/"+home(m)+"/"+label, func(t *testing.T) {
				done.tryOpen(t, m, label)
				for _, c := range done.of(m.Name) {
					if slices.Contains(m.Experiments, c.Experiment) || !labelled(c.Experiment, label) {
						continue
					}
					for _, kind := range c.unexplained(m) {
						t.Errorf("%s is violated in %s, and the patch says nothing of it", kind, c.Experiment)
					}
				}
			})
		}
	}
}

// tryOpen tries what is open of a mutant and a label, in one trial.
func (x *matrix) tryOpen(t *testing.T, m mutant.Mutant, label string) {
	t.Helper()
	cells := x.open(m, label)
	if len(cells) == 0 {
		return
	}
	var names []string
	for _, c := range cells {
		names = append(names, c.Experiment)
	}
	began := time.Now().UTC().Truncate(time.Second)
	all := tryMutant(t, m, home(m), 1, names...)
	for _, c := range cells {
		x.add(t, c.after(m, began, all))
	}
}

// labelled says that an experiment of the catalogue has a label.
func labelled(experiment, label string) bool {
	return slices.ContainsFunc(catalogue.All(), func(e experiments.Experiment) bool {
		return e.Name == experiment && slices.Contains(e.Labels, label)
	})
}

// open are the cells of a mutant with experiments of a label that are not its
// own and not settled.
func (x *matrix) open(m mutant.Mutant, label string) (cells []tried) {
	for _, e := range catalogue.All() {
		if !slices.Contains(e.Labels, label) || slices.Contains(m.Experiments, e.Name) || homeOf(e) != home(m) {
			continue
		}
		if c := (tried{Mutant: m.Name, Experiment: e.Name, Try: 1, Environment: home(m)}); !x.settled(c) {
			cells = append(cells, c)
		}
	}
	return cells
}

// settled says that a cell's try told something, or that two did not.
func (x *matrix) settled(c tried) bool {
	return slices.ContainsFunc(x.of(c.Mutant), func(o tried) bool {
		return o.same(c) && (o.conclusive() || o.Inconclusive > 0)
	})
}

// Every experiment belongs to a group.
func TestGroups(t *testing.T) {
	for _, e := range catalogue.All() {
		if !slices.ContainsFunc(groups, func(label string) bool { return slices.Contains(e.Labels, label) }) {
			t.Errorf("%s has none of the labels %v", e.Name, groups)
		}
	}
}

func TestOpen(t *testing.T) {
	m := mutant.Mutant{Name: "m", Experiments: []string{"crash"}}
	x := &matrix{mutants: []mutant.Mutant{m}, patches: map[string]string{}}
	names := func() (names []string) {
		for _, c := range x.open(m, "quick") {
			names = append(names, c.Experiment)
		}
		return names
	}
	all := names()
	if slices.Contains(all, "crash") || !slices.Contains(all, "http-slow") {
		t.Errorf("open are %v", all)
	}
	c := tried{Mutant: "m", Experiment: "http-slow", Try: 1, Environment: inProcess, Digest: digest("", "http-slow")}
	for _, tt := range []struct {
		outcome      experiments.Outcome
		inconclusive int
		settled      bool
	}{
		{experiments.Passed, 0, true},
		{experiments.Failed, 0, true},
		{experiments.Inconclusive, 0, false},
		{experiments.Error, 1, true},
	} {
		c.Outcome, c.Inconclusive = tt.outcome, tt.inconclusive
		x.cells = []tried{c}
		if got := !slices.Contains(names(), "http-slow"); got != tt.settled {
			t.Errorf("after %s and %d more that told nothing it is settled: %v", tt.outcome, tt.inconclusive, got)
		}
	}
}

func TestElsewhere(t *testing.T) {
	m := mutant.Mutant{
		Name: "m", Experiments: []string{"crash"}, Detector: "ledger", Also: map[string]string{"success": "it waits"},
	}
	x := &matrix{mutants: []mutant.Mutant{m}, patches: map[string]string{}}
	for name, outcome := range map[string]experiments.Outcome{
		"crash": experiments.Failed, "redis-down": experiments.Failed, "http-slow": experiments.Passed,
		"http-down": experiments.Passed, "overload": experiments.Inconclusive,
	} {
		x.cells = append(x.cells, tried{
			Mutant: "m", Experiment: name, Outcome: outcome, Digest: digest("", name),
			Violated: []string{"ledger", "success", "leaks"},
		})
	}
	want := "found by redis-down (ledger; success: it waits; leaks: **no reason given**); inconclusive in overload; " +
		"missed by 2"
	if got := x.elsewhere(m); got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
}
