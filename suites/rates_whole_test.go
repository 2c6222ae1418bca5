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

// wholeTrials is a row for each condition that whole trials were made under.
func (x *rates) wholeTrials() string {
	var b strings.Builder
	for _, condition := range []string{quiet, busy} {
		n := map[experiments.Outcome]int{}
		all := 0
		for _, outcome := range x.trials(condition) {
			n[outcome]++
			all++
		}
		if all > 0 {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %s |\n", condition, all, n[experiments.Passed],
				n[experiments.Failed], all-n[experiments.Passed]-n[experiments.Failed], atMost(n[experiments.Failed], all))
		}
	}
	return b.String()
}

// trials are the outcomes of the whole trials under a condition, by their ids.
func (x *rates) trials(condition string) map[string]experiments.Outcome {
	of := map[string]map[string]experiments.Outcome{}
	for _, r := range x.known {
		if r.Trial == "" || r.Condition != condition {
			continue
		}
		if of[r.Trial] == nil {
			of[r.Trial] = map[string]experiments.Outcome{}
		}
		of[r.Trial][r.Experiment] = r.Outcome
	}
	whole := map[string]experiments.Outcome{}
	for id, tried := range of {
		if !allOfMain(tried) {
			continue
		}
		var verdicts []experiments.Verdict
		for _, outcome := range tried {
			verdicts = append(verdicts, experiments.Verdict{Outcome: outcome})
		}
		whole[id] = experiments.TrialOutcome(verdicts...)
	}
	return whole
}

// allOfMain says that every experiment of the label main was tried.
func allOfMain(tried map[string]experiments.Outcome) bool {
	for _, e := range catalogue.All() {
		if _, ok := tried[e.Name]; !ok && slices.Contains(e.Labels, "main") {
			return false
		}
	}
	return true
}

// A trial counts as whole only with every experiment of the main job, and is as
// bad as its worst.
func TestWholeTrials(t *testing.T) {
	x := &rates{}
	tried := func(trial, condition string, but int, outcome experiments.Outcome) {
		for _, e := range catalogue.All() {
			if !slices.Contains(e.Labels, "main") {
				continue
			}
			o := experiments.Passed
			if but--; but == 0 {
				o = outcome
			}
			if o != "" {
				x.known = append(x.known, rated{Experiment: e.Name, Condition: condition, Trial: trial, Outcome: o})
			}
		}
	}
	tried("a", quiet, 0, "")
	tried("b", quiet, 3, experiments.Inconclusive)
	tried("c", quiet, 3, "") // one is missing
	tried("d", busy, 2, experiments.Failed)
	tried("", busy, 0, "") // tries of single experiments
	want := "| quiet | 2 | 1 | 0 | 1 | 78 % |\n| busy | 1 | 0 | 1 | 0 | 100 % |\n"
	if got := x.wholeTrials(); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
