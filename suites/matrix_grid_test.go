package suites_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/mutant"
)

// Marks of the grid, the strongest first.
const (
	markCaught = '#' // by its own experiment, every time
	markFound  = '+' // by another
	markMissed = '.'
	markDark   = '?' // inconclusive
	markNever  = ' ' // not tried
)

// grid draws the matrix: a line for each mutant, a column for each experiment
// of the catalogue, whose name stands above it from top to bottom.
func (x *matrix) grid(b *strings.Builder) {
	all := catalogue.All()
	tall, wide := 0, 0
	for _, e := range all {
		tall = max(tall, len(e.Name))
	}
	for _, m := range x.mutants {
		wide = max(wide, len(m.Name))
	}
	var body strings.Builder
	for i := range tall {
		line := strings.Repeat(" ", wide+2)
		for _, e := range all {
			name := strings.Repeat(" ", tall-len(e.Name)) + e.Name
			line += name[i : i+1]
		}
		fmt.Fprintln(&body, strings.TrimRight(line, " "))
	}
	cells, tries := 0, 0
	for _, m := range x.mutants {
		line := fmt.Sprintf("%-*s  ", wide, m.Name)
		for _, e := range all {
			mark := x.mark(m, e.Name)
			if mark != markNever {
				tries++
			}
			if mark != markNever || homeOf(e) == home(m) {
				cells++
			}
			line += string(mark)
		}
		fmt.Fprintln(&body, strings.TrimRight(line, " "))
	}
	fmt.Fprintf(b, "\n## Mutants × experiments\n\n`%c` caught by its own experiment in every try, `%c` found by another "+
		"experiment (or by its own in some tries), `%c` missed, `%c` inconclusive, blank: not tried. A defect of the image "+
		"is tried with the experiments that need containers, any other with those that do not: "+
		"%d of these %d cells were tried.\n\n```text\n%s```\n",
		markCaught, markFound, markMissed, markDark, tries, cells, body.String())
}

// mark tells of a mutant and an experiment, wherever they were tried together.
func (x *matrix) mark(m mutant.Mutant, experiment string) rune {
	failed, passed, dark, caught := 0, 0, 0, 0
	for _, c := range x.of(m.Name) {
		switch {
		case c.Experiment != experiment:
		case c.Outcome == experiments.Failed:
			failed++
			if slices.Contains(m.Experiments, experiment) && c.caught(m) {
				caught++
			}
		case c.Outcome == experiments.Passed:
			passed++
		default:
			dark++
		}
	}
	switch {
	case caught > 0 && caught == failed+passed:
		return markCaught
	case failed > 0:
		return markFound
	case passed > 0:
		return markMissed
	case dark > 0:
		return markDark
	}
	return markNever
}

func TestGrid(t *testing.T) {
	m := mutant.Mutant{Name: "m", Experiments: []string{"crash"}, Detector: "ledger"}
	x := &matrix{mutants: []mutant.Mutant{m}, patches: map[string]string{}}
	add := func(experiment string, outcome experiments.Outcome, kinds ...string) {
		x.cells = append(x.cells, tried{
			Mutant: "m", Experiment: experiment, Outcome: outcome, Digest: digest("", experiment), Violated: kinds,
		})
	}
	add("crash", experiments.Failed, "ledger")
	add("redis-down", experiments.Failed, "success")
	add("http-slow", experiments.Passed)
	add("overload", experiments.Error)
	for _, tt := range []struct {
		experiment string
		want       rune
	}{
		{"crash", markCaught},
		{"redis-down", markFound},
		{"http-slow", markMissed},
		{"overload", markDark},
		{"failover", markNever},
	} {
		if got := x.mark(m, tt.experiment); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.experiment, got, tt.want)
		}
	}
	add("crash", experiments.Passed)
	if got := x.mark(m, "crash"); got != markFound {
		t.Errorf("an own experiment that missed once: %q, want %q", got, markFound)
	}
	var b strings.Builder
	x.grid(&b)
	lines := strings.Split(b.String(), "\n")
	last := lines[len(lines)-3]
	at := slices.IndexFunc(catalogue.All(), func(e experiments.Experiment) bool { return e.Name == "redis-down" })
	if len(last) <= 3+at || !strings.HasPrefix(last, "m  ") || last[3+at] != markFound {
		t.Errorf("the last line is %q; redis-down is column %d", last, at)
	}
}
