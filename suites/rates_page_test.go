package suites_test

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/detect"
)

const (
	ratesCache = "../.cache/rates.json"
	ratesPage  = "../docs/rates.md"
)

// rated is one try of the good service with one experiment.
type rated struct {
	Experiment string              `json:"experiment"`
	Condition  string              `json:"condition"`
	Trial      string              `json:"trial,omitempty"` // of one that was counted in
	Outcome    experiments.Outcome `json:"outcome"`
	Attempts   int                 `json:"attempts"`
	Violated   []string            `json:"violated,omitempty"` // kinds, in the verdict
	Runs       []ratedRun          `json:"runs"`               // the attempts
	Seconds    float64             `json:"seconds"`
	When       time.Time           `json:"when"`
	Digest     string              `json:"digest"` // of the experiment
}

// ratedRun is one attempt: what each detector said of it.
type ratedRun struct {
	Sound    bool                      `json:"sound"` // as in [experiments.Attempt]
	Findings map[string]detect.Outcome `json:"findings"`
}

// rates is all that was tried so far.
type rates struct{ known []rated }

func loadRates(t *testing.T) *rates {
	t.Helper()
	return &rates{known: readKept[rated](t, ratesCache)}
}

// of are the tries of an experiment as it is now under a condition.
func (x *rates) of(experiment, condition string) (tries []rated) {
	now := digest("", experiment)
	for _, r := range x.known {
		if r.Experiment == experiment && r.Condition == condition && r.Digest == now {
			tries = append(tries, r)
		}
	}
	return tries
}

// add adds a try, saves all of them and writes the page.
func (x *rates) add(t *testing.T, r rated) {
	t.Helper()
	x.known = append(x.known, r)
	if err := x.save(); err != nil {
		t.Fatal(err)
	}
}

func (x *rates) save() error {
	if err := keep(ratesCache, x.known); err != nil {
		return err
	}
	return os.WriteFile(ratesPage, []byte(x.page()), 0o644)
}

const ratesHead = `# Error rates, live

How often the good service is told the truth. Written by ` + "`make rates`" + ` from the tries in ` +
	"`.cache/rates.json`" + `, and
not by hand. Any violation here is a false alarm: the reference service keeps its promises. Rates from
simulation are in [detectors.md](detectors.md).

*Quiet*: no processes that take all they get, but up to four other trials (what a scheduler's idle class did was not
looked at). *Busy*: two processes beside it took all they got of two cores, and mostly up to three other trials went on
as well. A try counts while its experiment is unchanged.

## Experiments

*Tried*: of how many that are wanted. *Inconclusive*: guards, witnesses or detectors could not tell; errors are among
them. *At once*: the first attempt decided. *Fails at most*: the one-sided 95 % limit of the share of failures (Clopper
and Pearson).

| experiment | condition | tried | passed | failed | inconclusive | at once | fails at most |
|---|---|---|---|---|---|---|---|
`

const ratesMiddle = `
## Detectors

Over all experiments that ask them, in every attempt that was sound (the harness did its part), before a second attempt
had to agree. *Violated* is thus the rate of false alarms of a single run; *confirmed* are those that became a verdict.

| detector | condition | attempts | held | violated | unknown | confirmed |
|---|---|---|---|---|---|---|
`

// page is docs/rates.md.
func (x *rates) page() string {
	var b strings.Builder
	b.WriteString(ratesHead)
	for _, e := range catalogue.All() {
		for _, condition := range conditions {
			b.WriteString(x.experimentRow(e, condition))
		}
	}
	current := &rates{}
	for _, e := range catalogue.All() {
		current.known = slices.Concat(current.known, x.of(e.Name, quiet), x.of(e.Name, busy))
	}
	b.WriteString(ratesWhole + current.wholeRows())
	b.WriteString(ratesMiddle)
	for _, kind := range detect.Kinds() {
		for _, condition := range conditions {
			b.WriteString(current.detectorRow(kind, condition))
		}
	}
	return b.String()
}

func (x *rates) experimentRow(e experiments.Experiment, condition string) string {
	tries := x.of(e.Name, condition)
	passed, failed, dark := outcomes(tries)
	once := 0
	for _, r := range tries {
		if r.Attempts == 1 {
			once++
		}
	}
	return fmt.Sprintf("| %s | %s | %d of %d | %d | %d | %d | %d | %s |\n", e.Name, condition, len(tries),
		max(series(e, condition), len(tries)), passed, failed, dark, once, atMost(failed, len(tries)))
}

// shares are how many tries of an experiment passed, failed and told nothing,
// as in "10 / 0 / 0"; a dash where none was made.
func (x *rates) shares(experiment, condition string) string {
	tries := x.of(experiment, condition)
	if len(tries) == 0 {
		return "—"
	}
	passed, failed, dark := outcomes(tries)
	return fmt.Sprintf("%d / %d / %d", passed, failed, dark)
}

// outcomes are how many tries passed, failed and told nothing.
func outcomes(tries []rated) (passed, failed, dark int) {
	for _, r := range tries {
		switch r.Outcome {
		case experiments.Passed:
			passed++
		case experiments.Failed:
			failed++
		default:
			dark++
		}
	}
	return passed, failed, dark
}

// detectorRow tells of a detector under a condition; empty where it was not
// asked.
func (x *rates) detectorRow(kind, condition string) string {
	n := map[detect.Outcome]int{}
	all, confirmed := 0, 0
	for _, r := range x.known {
		if r.Condition != condition {
			continue
		}
		if slices.Contains(r.Violated, kind) {
			confirmed++
		}
		for _, run := range r.Runs {
			if said := run.Findings[kind]; run.Sound && said != "" && said != detect.NotApplicable {
				n[said]++
				all++
			}
		}
	}
	if all == 0 {
		return ""
	}
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %d |\n", kind, condition, all,
		n[detect.Held], n[detect.Violated], n[detect.Unknown], confirmed)
}

// atMost is the one-sided 95 % limit of a share (Clopper and Pearson); a dash
// where nothing was tried.
func atMost(bad, n int) string {
	switch {
	case n == 0:
		return "—"
	case bad == n:
		return "100 %"
	}
	limit := distuv.Beta{Alpha: float64(bad + 1), Beta: float64(n - bad)}.Quantile(0.95)
	return fmt.Sprintf("%.0f %%", math.Ceil(100*limit))
}

func TestAtMost(t *testing.T) {
	for _, tt := range []struct {
		bad, n int
		want   string
	}{{0, 0, "—"}, {0, 5, "46 %"}, {0, 20, "14 %"}, {1, 20, "22 %"}, {5, 5, "100 %"}} {
		if got := atMost(tt.bad, tt.n); got != tt.want {
			t.Errorf("%d of %d are at most %s, want %s", tt.bad, tt.n, got, tt.want)
		}
	}
}
