package suites_test

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/trial/folder"
	"github.com/seatrial/seatrial/suites"
)

// Conditions of the machine under which the good service is tried.
const (
	quiet = "quiet" // nothing else of ordinary priority goes on
	busy  = "busy"  // busyProcesses take what they get of the processor
)

var conditions = []string{quiet, busy}

// busyProcesses is how many are beside a trial of the condition busy: as many
// as the two cores that the detectors' noise was measured on (detectors.md F14).
const busyProcesses = 2

// How often each experiment is tried under each condition (detectors.md,
// section 4): those whose detectors rest on waits, windows or shares more often,
// and those that say whether writes were lost, on a quiet machine.
const (
	seriesLong  = 20
	seriesData  = 10
	seriesShort = 5
)

// oftenTried are the detectors, by their number in the list, that make an
// experiment's series a long one.
var oftenTried = []string{"D03", "D11", "D12", "D30", "D70", "D72"}

// TestRates tries the good service again and again, on a machine that is quiet
// and beside two busy processes, where SEATRIAL_LONG is "rates". It keeps what
// came of it in .cache/rates.json, goes on from there, and writes docs/rates.md
// at the beginning and after every try. An inconclusive try counts: its share is
// what is to be known.
//
// SEATRIAL_TRIALS=quiet=DIR:busy=DIR counts in the trials in these folders, too:
// trials of the good service, made under the condition named, of the experiments
// as they are now. Each counts once.
func TestRates(t *testing.T) {
	if os.Getenv("SEATRIAL_LONG") != "rates" {
		t.Skip("a series of trials takes hours; make rates")
	}
	done := loadRates(t)
	known := len(done.known)
	if err := done.countTrials(os.Getenv("SEATRIAL_TRIALS")); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d tries are counted in, and %d were known", len(done.known)-known, known)
	if err := done.save(); err != nil {
		t.Fatal(err)
	}
	for _, condition := range conditions {
		for _, e := range catalogue.All() {
			for n := len(done.of(e.Name, condition)) + 1; n <= series(e, condition); n++ {
				t.Run(fmt.Sprintf("%s/%s/%d", condition, e.Name, n), func(t *testing.T) {
					r := rate(t, e, condition, n)
					done.add(t, r)
					if r.Outcome == experiments.Failed {
						t.Errorf("the good service failed: %v", r.Violated)
					}
				})
			}
		}
	}
}

// series is how often an experiment is to be tried under a condition.
func series(e experiments.Experiment, condition string) int {
	for _, x := range e.Expect {
		if info, _ := detect.Describe(x.Kind); slices.Contains(oftenTried, info.ID) {
			return seriesLong
		}
	}
	if condition == quiet && slices.Contains(e.Labels, "data") {
		return seriesData
	}
	return seriesShort
}

// rate tries the good service with an experiment, beside busy processes where
// the condition wants them.
func rate(t *testing.T, e experiments.Experiment, condition string, n int) rated {
	t.Helper()
	needs(t, homeOf(e))
	if condition == busy {
		for range busyProcesses {
			beBusy(t)
		}
	}
	began := time.Now()
	its, err := suites.Try(t.Context(), subjectOf, suites.Only(e.Name), suites.Seed(uint64(n)),
		suites.Out(filepath.Join(moduleRoot, "runs", "rates")), suites.Environment(homeOf(e)))
	if err != nil {
		t.Fatal(err)
	}
	r := ratedOf(e.Name, condition, its)
	r.When, r.Seconds = began.UTC().Truncate(time.Second), time.Since(began).Seconds()
	return r
}

// beBusy starts a process that takes all it gets of one core until the test
// ends, or until this process is gone without having ended it.
func beBusy(t *testing.T) {
	t.Helper()
	const loop = `while kill -0 "$0" 2>/dev/null; do i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; done`
	c := exec.CommandContext(t.Context(), "sh", "-c", loop, strconv.Itoa(os.Getpid()))
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Wait() }) // the context has killed it
}

// ratedOf sums up what came of an experiment, as it is now, over its targets and
// attempts.
func ratedOf(experiment, condition string, its []folder.Experiment) rated {
	r := rated{
		Experiment: experiment, Condition: condition, Digest: digest("", experiment),
		Outcome: worst(its), Violated: violated(its),
	}
	for _, e := range its {
		for _, a := range e.Verdict.Attempts {
			run := ratedRun{Sound: a.Sound, Findings: map[string]detect.Outcome{}}
			for _, f := range a.Findings {
				run.Findings[f.Detector] = worse(run.Findings[f.Detector], f.Outcome)
			}
			r.Runs = append(r.Runs, run)
		}
		r.Attempts = max(r.Attempts, len(e.Verdict.Attempts))
	}
	return r
}

// worse is what a detector that was asked twice in one run said at its worst.
func worse(a, b detect.Outcome) detect.Outcome {
	order := []detect.Outcome{"", detect.NotApplicable, detect.Held, detect.Unknown, detect.Violated}
	if slices.Index(order, a) > slices.Index(order, b) {
		return a
	}
	return b
}

func TestRatedOf(t *testing.T) {
	attempt := func(sound bool, f ...detect.Outcome) (a experiments.Attempt) {
		a.Sound = sound
		for _, o := range f {
			a.Findings = append(a.Findings, detect.Finding{Detector: "latency", Outcome: o})
		}
		return a
	}
	e := folder.Experiment{Verdict: experiments.Verdict{
		Outcome: experiments.Passed,
		Attempts: []experiments.Attempt{
			attempt(true, detect.Violated, detect.Held), attempt(false, detect.Held), attempt(true, detect.Held),
		},
	}}
	r := ratedOf("crash", busy, []folder.Experiment{e})
	if r.Experiment != "crash" || r.Digest == "" {
		t.Errorf("it is of %q in the state %q", r.Experiment, r.Digest)
	}
	if r.Outcome != experiments.Passed || r.Attempts != 3 || len(r.Violated) > 0 {
		t.Errorf("it is %s after %d attempts with %v violated", r.Outcome, r.Attempts, r.Violated)
	}
	x := &rates{known: []rated{r}}
	if got, want := x.detectorRow("latency", busy), "| latency | busy | 2 | 1 | 1 | 0 | 0 |\n"; got != want {
		t.Errorf("its row is %q, want %q", got, want)
	}
	if got := x.detectorRow("latency", quiet); got != "" {
		t.Errorf("a condition that was not tried has the row %q", got)
	}
}

func TestSeries(t *testing.T) {
	want := map[string]int{
		"crash":             seriesShort,
		"overload":          seriesLong,
		"http-flaky":        seriesLong,
		"graceful-shutdown": seriesLong,
		"lost-commits":      seriesShort,
	}
	wantQuiet := map[string]int{"lost-commits": seriesData}
	for _, e := range catalogue.All() {
		if n := want[e.Name]; n != 0 && series(e, busy) != n {
			t.Errorf("%s is tried %d times beside busy processes, want %d", e.Name, series(e, busy), n)
		}
		if n := cmp.Or(wantQuiet[e.Name], want[e.Name]); n != 0 && series(e, quiet) != n {
			t.Errorf("%s is tried %d times on a quiet machine, want %d", e.Name, series(e, quiet), n)
		}
	}
}
