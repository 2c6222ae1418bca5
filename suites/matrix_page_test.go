package suites_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/mutant"
)

const (
	matrixCache = "../.cache/matrix.json"
	matrixPage  = "../docs/matrix.md"
)

// tried is one try of a mutant with one experiment.
type tried struct {
	Mutant     string `json:"mutant"`
	Experiment string `json:"experiment"`
	Try        int    `json:"try"`
	// Environment is where; empty, as in tries of old: in processes.
	Environment string              `json:"environment,omitempty"`
	Outcome     experiments.Outcome `json:"outcome"`
	Violated    []string            `json:"violated,omitempty"` // kinds of detectors
	Seconds     float64             `json:"seconds"`
	When        time.Time           `json:"when"`
	Digest      string              `json:"digest"` // of the patch and the experiment
	// Inconclusive is how many tries in the place of this one told nothing.
	Inconclusive int `json:"inconclusive,omitempty"`
}

// digest tells what was tried from what is there now: a patch or an experiment
// that was changed since makes a try worth nothing.
func digest(patch, experiment string) string {
	file, err := catalogue.File(experiment)
	if err != nil {
		return "" // there is no such experiment any more
	}
	h := sha256.Sum256(append([]byte(patch), file...))
	return hex.EncodeToString(h[:8])
}

// caught says that the mutant's own detector found it, or, in an experiment that
// is not the first of its own, one that its patch gives a reason for.
func (c tried) caught(m mutant.Mutant) bool {
	return c.Outcome == experiments.Failed && slices.ContainsFunc(c.Violated, func(kind string) bool {
		return kind == m.Detector || c.Experiment != m.Experiments[0] && m.Also[kind] != ""
	})
}

// unexplained are the detectors that fired and that the patch does not name.
func (c tried) unexplained(m mutant.Mutant) (kinds []string) {
	for _, kind := range c.Violated {
		if kind != m.Detector && m.Also[kind] == "" {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// matrix is all that was tried so far. Nil knows nothing and keeps nothing.
type matrix struct {
	cells   []tried
	mutants []mutant.Mutant
	patches map[string]string // digests, as they are now
}

func loadMatrix(t *testing.T, mutants []mutant.Mutant) *matrix {
	t.Helper()
	x := &matrix{mutants: mutants, patches: map[string]string{}}
	for _, m := range mutants {
		x.patches[m.Name] = m.Digest
	}
	x.cells = readKept[tried](t, matrixCache)
	for i, c := range x.cells {
		x.cells[i].Environment = cmp.Or(c.Environment, inProcess)
	}
	return x
}

// find returns a cell that was tried before, if neither its patch nor its
// experiment has been changed since and the try was conclusive.
func (x *matrix) find(c tried) (tried, bool) {
	if x == nil {
		return c, false
	}
	for _, o := range x.of(c.Mutant) {
		if o.same(c) && o.conclusive() {
			return o, true
		}
	}
	return c, false
}

// same says that both are tries of one cell, in whatever state of the code.
func (c tried) same(o tried) bool {
	return c.Mutant == o.Mutant && c.Experiment == o.Experiment && c.Try == o.Try && c.Environment == o.Environment
}

// conclusive says that the try told something.
func (c tried) conclusive() bool {
	return c.Outcome == experiments.Passed || c.Outcome == experiments.Failed
}

// add adds a cell, in the place of one that told nothing or is of an earlier
// state, saves all of them and writes the page.
func (x *matrix) add(t *testing.T, c tried) {
	t.Helper()
	if x == nil {
		return
	}
	for _, o := range x.cells {
		if o.same(c) && o.Digest == c.Digest && !o.conclusive() {
			c.Inconclusive += o.Inconclusive + 1
		}
	}
	x.cells = append(slices.DeleteFunc(x.cells, func(o tried) bool { return o.same(c) }), c)
	if err := keep(matrixCache, x.cells); err != nil {
		t.Fatal(err)
	}
	x.write(t)
}

// of are the cells of one mutant that are still true of its patch.
func (x *matrix) of(name string) (cells []tried) {
	for _, c := range x.cells {
		if c.Mutant == name && c.Digest == digest(x.patches[name], c.Experiment) {
			cells = append(cells, c)
		}
	}
	return cells
}

// write writes the page.
func (x *matrix) write(t *testing.T) {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Detection matrix\n\nWhat finds what. Written by `make matrix` and `make matrix-all` from the tries " +
		"in `.cache/matrix.json`, and not by hand.\n\n" +
		"## Mutants, each with the experiment that must catch it\n\n" +
		"*Caught*: the verdict was *failed*, and the detector named was violated, of three tries, or five where the " +
		"experiment asks for lost writes; tries that were inconclusive are " +
		"told beside, and made again. *In containers*: the same in the docker " +
		"environment, for the mutants that every run of the tests tries, and for those that show nowhere else. *Also " +
		"violated*: what else was found in the same runs, and why. *Elsewhere*: other experiments that were tried with it, " +
		"each once, and which of them found what: a defect need not show there. [Below](#mutants--experiments) it is told " +
		"cell by cell.\n\n" +
		"| mutant | what is wrong with it | experiment | detector | caught | in containers | also violated | elsewhere |\n" +
		"|---|---|---|---|---|---|---|---|\n")
	for _, m := range x.mutants {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", m.Name, m.Says, m.Experiments[0], m.Detector,
			x.own(m, m.Experiments[0]), x.elsewhere(m))
		for _, name := range m.Experiments[1:] {
			fmt.Fprintf(&b, "| %s | as above | %s | one of them | %s | — |\n", m.Name, name, x.own(m, name))
		}
	}
	x.grid(&b)
	b.WriteString("\n## The good service\n\nPassed / failed / inconclusive, on a quiet machine and beside two busy " +
		"processes: the tries of [rates.md](rates.md), which tells more of them.\n\n" +
		"| experiment | quiet | busy |\n|---|---|---|\n")
	good := loadRates(t)
	for _, e := range catalogue.All() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", e.Name, good.shares(e.Name, quiet), good.shares(e.Name, busy))
	}
	if err := os.WriteFile(matrixPage, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// own tells of a mutant and one of its own experiments, in processes and in
// containers: "3 of 3 | — | also violated".
func (x *matrix) own(m mutant.Mutant, experiment string) string {
	caught, n, dark := map[string]int{}, map[string]int{}, map[string]int{}
	var also []string
	for _, c := range x.of(m.Name) {
		if c.Experiment != experiment {
			continue
		}
		dark[c.Environment] += c.Inconclusive
		switch {
		case !c.conclusive():
			dark[c.Environment]++
			continue
		case c.caught(m):
			caught[c.Environment]++
		}
		n[c.Environment]++
		for _, kind := range c.Violated {
			why := withReason(m, kind)
			if kind != m.Detector && !slices.Contains(also, why) {
				also = append(also, why)
			}
		}
	}
	slices.Sort(also)
	share := func(where string, wanted bool) string {
		var said []string
		if n[where] > 0 {
			said = append(said, fmt.Sprintf("%d of %d", caught[where], n[where]))
		}
		if dark[where] > 0 {
			said = append(said, fmt.Sprintf("%d inconclusive", dark[where]))
		}
		if len(said) == 0 && wanted {
			return "not tried yet"
		}
		return dash(said)
	}
	contained := slices.Contains(contained, m.Name) && experiment == m.Experiments[0]
	return share(inProcess, home(m) == inProcess) + " | " +
		share(inDocker, home(m) == inDocker || contained) + " | " + dash(also)
}

// withReason is a detector and why it fires, too, where a mutant is tried.
func withReason(m mutant.Mutant, kind string) string {
	return kind + ": " + cmp.Or(m.Also[kind], "**no reason given**")
}

// elsewhere tells what experiments that are not a mutant's own found of it, and
// why where that is another detector than its own; which could not tell, and how
// many found nothing.
func (x *matrix) elsewhere(m mutant.Mutant) string {
	var found, dark []string
	missed := 0
	for _, c := range x.of(m.Name) {
		switch {
		case slices.Contains(m.Experiments, c.Experiment):
		case c.Outcome == experiments.Failed:
			var kinds []string
			for _, kind := range c.Violated {
				if kind != m.Detector {
					kind = withReason(m, kind)
				}
				kinds = append(kinds, kind)
			}
			found = append(found, c.Experiment+" ("+strings.Join(kinds, "; ")+")")
		case c.Outcome == experiments.Passed:
			missed++
		default:
			dark = append(dark, c.Experiment)
		}
	}
	var said []string
	for _, part := range []struct {
		says string
		of   []string
	}{{"found by ", found}, {"inconclusive in ", dark}} {
		if slices.Sort(part.of); len(part.of) > 0 {
			said = append(said, part.says+strings.Join(part.of, ", "))
		}
	}
	if missed > 0 {
		said = append(said, fmt.Sprintf("missed by %d", missed))
	}
	return dash(said)
}

func dash(list []string) string { return cmp.Or(strings.Join(list, "; "), "—") }
