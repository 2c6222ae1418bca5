package suites_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
)

const ratesWhole = `
## Whole trials

Those of the above that tried all experiments of the label main at once, as ` + "`make trial`" + ` does. A trial is
failed when one of its experiments is, and inconclusive when one is and none failed.

| condition | trials | passed | failed | inconclusive | fails at most |
|---|---|---|---|---|---|
`

// wholeRows is a row for each condition that whole trials were made under.
func (x *rates) wholeRows() string {
	var b strings.Builder
	for _, condition := range conditions {
		if whole := x.wholeTrials(condition); len(whole) > 0 {
			passed, failed, dark := outcomes(whole)
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s |\n", condition, len(whole), passed, failed, dark,
				atMost(failed, len(whole)))
		}
	}
	return b.String()
}

// wholeTrials are the whole trials under a condition, each as one try.
func (x *rates) wholeTrials(condition string) (whole []rated) {
	byTrial := map[string][]rated{}
	for _, r := range x.known {
		if r.Trial != "" && r.Condition == condition {
			byTrial[r.Trial] = append(byTrial[r.Trial], r)
		}
	}
	for id, tries := range byTrial {
		if !allOfMain(tries) {
			continue
		}
		var verdicts []experiments.Verdict
		for _, r := range tries {
			verdicts = append(verdicts, experiments.Verdict{Outcome: r.Outcome})
		}
		whole = append(whole, rated{Trial: id, Outcome: experiments.TrialOutcome(verdicts...)})
	}
	return whole
}

// allOfMain says that every experiment of the label main was tried.
func allOfMain(tries []rated) bool {
	for _, name := range ofMain() {
		if !slices.ContainsFunc(tries, func(r rated) bool { return r.Experiment == name }) {
			return false
		}
	}
	return true
}

// ofMain names the experiments of the label main.
func ofMain() (names []string) {
	for _, e := range catalogue.All() {
		if slices.Contains(e.Labels, "main") {
			names = append(names, e.Name)
		}
	}
	return names
}

// A trial counts as whole only with every experiment of the main job, and is as
// bad as its worst.
func TestWholeRows(t *testing.T) {
	x := &rates{}
	// add adds a trial that all passed, but for some; those without an outcome are
	// missing.
	add := func(id, condition string, but map[string]experiments.Outcome) {
		for _, name := range ofMain() {
			outcome, other := but[name]
			if !other {
				outcome = experiments.Passed
			}
			if outcome != "" {
				x.known = append(x.known, rated{Experiment: name, Condition: condition, Trial: id, Outcome: outcome})
			}
		}
	}
	one := ofMain()[1]
	add("passed", quiet, nil)
	add("inconclusive", quiet, map[string]experiments.Outcome{one: experiments.Inconclusive})
	add("not whole", quiet, map[string]experiments.Outcome{one: ""})
	add("failed", busy, map[string]experiments.Outcome{one: experiments.Failed})
	add("", busy, nil) // tries of single experiments
	want := "| quiet | 2 | 1 | 0 | 1 | 78 % |\n| busy | 1 | 0 | 1 | 0 | 100 % |\n"
	if got := x.wholeRows(); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
