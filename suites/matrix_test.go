package suites_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
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
var quickMutants = []string{"infinite-retry", "no-pool-limit", "no-sigterm-handler"}

// repeats is how often the long form tries each mutant.
const repeats = 3

// cell is one try of one mutant.
type cell struct {
	Mutant     string              `json:"mutant"`
	Experiment string              `json:"experiment"`
	Try        int                 `json:"try"`
	Outcome    experiments.Outcome `json:"outcome"`
	Caught     bool                `json:"caught"` // by the detector that its patch names
	Violated   []string            `json:"violated,omitempty"`
	Seconds    float64             `json:"seconds"`
	Patch      time.Time           `json:"patch"` // when the patch was last changed
}

// TestMatrix tries mutants of the reference service, each with the experiment
// that must catch it. The long form keeps what it has found in
// .cache/matrix.json, goes on from there, and writes docs/matrix.md.
func TestMatrix(t *testing.T) {
	if testing.Short() {
		t.Skip("a trial of several mutants takes minutes")
	}
	mutants, err := mutant.List(mutantsDir)
	if err != nil {
		t.Fatal(err)
	}
	long := os.Getenv("SEATRIAL_LONG") != ""
	tries := 1
	if long {
		tries = repeats
	}
	done := loadMatrix(t)
	for _, m := range mutants {
		if !long && !slices.Contains(quickMutants, m.Name) {
			continue
		}
		for try := 1; try <= tries; try++ {
			t.Run(fmt.Sprintf("%s/%s/%d", m.Name, m.Experiments[0], try), func(t *testing.T) {
				c, known := done.find(t, m, try)
				if !known || !long {
					c = tryMutant(t, m, try)
				}
				if long {
					done = done.with(t, c)
				}
				if !c.Caught {
					t.Errorf("%s was not caught: the verdict is %s, violated were %v, and %s had to be",
						m.Name, c.Outcome, c.Violated, m.Detector)
				}
			})
		}
	}
	if long {
		done.write(t, mutants)
	}
}

// tryMutant builds the mutant and tries it with its first experiment.
func tryMutant(t *testing.T, m mutant.Mutant, try int) cell {
	t.Helper()
	overlay, err := mutant.Overlay(m, moduleRoot, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	tried, err := suites.Try(t.Context(), subjectOf,
		suites.Only(m.Experiments[0]), suites.Overlay(overlay), suites.Seed(uint64(try)), suites.Out(matrixOut(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := cell{
		Mutant: m.Name, Experiment: m.Experiments[0], Try: try, Seconds: time.Since(began).Seconds(),
		Outcome: worst(tried), Patch: changed(t, m),
	}
	for _, e := range tried {
		for _, f := range e.Verdict.Findings {
			if f.Outcome == detect.Violated && !slices.Contains(c.Violated, f.Detector) {
				c.Violated = append(c.Violated, f.Detector)
			}
		}
	}
	c.Caught = c.Outcome == experiments.Failed && slices.Contains(c.Violated, m.Detector)
	return c
}

// matrixOut keeps the trials of a long form, for who wants to look at one.
func matrixOut(t *testing.T) string {
	if os.Getenv("SEATRIAL_LONG") == "" {
		return t.TempDir()
	}
	return filepath.Join(moduleRoot, "runs", "matrix")
}

func worst(tried []folder.Experiment) experiments.Outcome {
	var verdicts []experiments.Verdict
	for _, e := range tried {
		verdicts = append(verdicts, e.Verdict)
	}
	return experiments.TrialOutcome(verdicts...)
}

func changed(t *testing.T, m mutant.Mutant) time.Time {
	t.Helper()
	info, err := os.Stat(m.File)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime().UTC()
}

// matrix is all cells so far.
type matrix []cell

const (
	matrixCache = "../.cache/matrix.json"
	matrixPage  = "../docs/matrix.md"
)

func loadMatrix(t *testing.T) (m matrix) {
	t.Helper()
	b, err := os.ReadFile(matrixCache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatalf("read %s: %v; remove it to begin anew", matrixCache, err)
	}
	return m
}

// find returns a cell tried before, where its patch has not been changed since.
func (x matrix) find(t *testing.T, m mutant.Mutant, try int) (cell, bool) {
	i := slices.IndexFunc(x, func(c cell) bool {
		return c.Mutant == m.Name && c.Experiment == m.Experiments[0] && c.Try == try && c.Patch.Equal(changed(t, m))
	})
	if i < 0 {
		return cell{}, false
	}
	return x[i], true
}

// with adds a cell and saves all of them.
func (x matrix) with(t *testing.T, c cell) matrix {
	t.Helper()
	x = append(slices.DeleteFunc(x, func(o cell) bool { return o.Mutant == c.Mutant && o.Try == c.Try }), c)
	b, err := json.MarshalIndent(x, "", " ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(matrixCache), 0o755)
	}
	if err == nil {
		err = os.WriteFile(matrixCache, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// write writes the page.
func (x matrix) write(t *testing.T, mutants []mutant.Mutant) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Detection matrix\n\n" +
		"Every mutant of the reference service, tried with the experiment that must catch it.\n" +
		"Made by `make matrix`.\n\n| mutant | what is wrong with it | experiment | detector | caught | also violated |\n" +
		"|---|---|---|---|---|---|\n")
	for _, m := range mutants {
		var caught, tried int
		var also []string
		for _, c := range x {
			if c.Mutant != m.Name {
				continue
			}
			tried++
			if c.Caught {
				caught++
			}
			for _, v := range c.Violated {
				if v != m.Detector && !slices.Contains(also, v) {
					also = append(also, v)
				}
			}
		}
		slices.Sort(also)
		share := "not tried yet"
		if tried > 0 {
			share = fmt.Sprintf("%d of %d", caught, tried)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", m.Name, m.Says, m.Experiments[0], m.Detector,
			share, cmp.Or(strings.Join(also, ", "), "—"))
	}
	if err := os.WriteFile(matrixPage, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
