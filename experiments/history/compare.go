// Package history compares trials: what a service kept of its promises last
// night and does not now, and which figures have come near their bounds.
package history

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// Kind is which way something has changed.
type Kind string

// Kinds of changes, the gravest first.
const (
	Worse   Kind = "worse"   // it held or was not known, and is violated or an error now
	Gone    Kind = "gone"    // it was tried, and is not now
	Unclear Kind = "unclear" // it was known, and is not now
	Nearer  Kind = "nearer"  // it holds still, but a figure has come near its bound
	Better  Kind = "better"  // it was violated, an error or not known, and holds now
	New     Kind = "new"     // it was not tried before
)

// Kinds lists them all, the gravest first.
func Kinds() []Kind { return []Kind{Worse, Gone, Unclear, Nearer, Better, New} }

// Change is one thing that differs between two trials.
type Change struct {
	Kind       Kind
	Experiment string // with its target
	Detector   string // empty: the experiment as a whole
	// Was and Now are the outcomes, or a figure with the share of its bound that
	// it has taken.
	Was, Now string
	// Reason is what the later trial says of it; empty where it says nothing.
	Reason string
}

// Comparison is what differs between an earlier trial and a later one.
type Comparison struct {
	// Circumstances are differences that may explain the others: promises,
	// versions, processors.
	Circumstances []string
	Changes       []Change // by kind, then in the trial's order
	Alike         int      // experiments that are in both, without any change
}

// Worst is the gravest kind of the changes; empty where there are none.
func (c Comparison) Worst() Kind {
	if len(c.Changes) == 0 {
		return ""
	}
	return c.Changes[0].Kind
}

// Compare tells what differs between an earlier trial and a later one.
func Compare(before, now *folder.Trial) Comparison {
	c := Comparison{Circumstances: circumstances(before, now)}
	was := map[string]folder.Experiment{}
	for _, e := range before.Experiments {
		was[e.Name] = e
	}
	for _, e := range now.Experiments {
		old, there := was[e.Name]
		delete(was, e.Name)
		changes := experiment(old, e)
		if len(changes) == 0 && there && state(string(old.Verdict.Outcome)) != untried {
			c.Alike++
		}
		c.Changes = append(c.Changes, changes...)
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		c.Changes = append(c.Changes, experiment(was[name], folder.Experiment{Name: name})...)
	}
	slices.SortStableFunc(c.Changes, func(a, b Change) int {
		return slices.Index(Kinds(), a.Kind) - slices.Index(Kinds(), b.Kind)
	})
	return c
}

// What an outcome comes to, of a verdict or of a finding.
const (
	untried = iota
	good
	unclear
	bad
)

func state(outcome string) int {
	switch outcome {
	case string(experiments.Passed), string(detect.Held):
		return good
	case string(experiments.Failed), string(experiments.Aborted), string(experiments.Error), string(detect.Violated):
		return bad
	case string(experiments.Inconclusive), string(detect.Unknown):
		return unclear
	}
	return untried
}

// kindOf is which way an outcome has changed; empty: not at all.
func kindOf(was, now string) Kind {
	a, b := state(was), state(now)
	switch {
	case a == b:
		return ""
	case a == untried:
		return New
	case b == untried:
		return Gone
	case b == bad:
		return Worse
	case b == unclear && a == good:
		return Unclear
	case b == unclear:
		return "" // violated before, and not shown to be mended
	}
	return Better
}

// experiment compares one experiment: by its expectations, and as a whole where
// these do not tell its change.
func experiment(was, now folder.Experiment) []Change {
	var changes []Change
	whole := kindOf(string(was.Verdict.Outcome), string(now.Verdict.Outcome))
	if whole != New && whole != Gone {
		old := findings(was)
		for key, f := range findings(now) {
			before, there := old[key]
			if !there {
				continue
			}
			if kind := kindOf(string(before.Outcome), string(f.Outcome)); kind != "" && kind != New && kind != Gone {
				changes = append(changes, Change{
					kind, now.Name, f.Detector, string(before.Outcome), string(f.Outcome), f.Reason,
				})
			}
			changes = append(changes, figures(now.Name, before, f)...)
		}
	}
	told := slices.ContainsFunc(changes, func(c Change) bool { return c.Kind == whole })
	if whole != "" && !told {
		changes = append(changes, Change{
			Kind: whole, Experiment: now.Name, Was: called(was), Now: called(now), Reason: now.Verdict.Reason,
		})
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return slices.Compare([]string{a.Detector, a.Now}, []string{b.Detector, b.Now})
	})
	return changes
}

func called(e folder.Experiment) string {
	if e.Verdict.Outcome == "" {
		return "not tried"
	}
	return e.Verdict.Called()
}

// findings are an experiment's, by detector and, where one was asked several
// times, by their order.
func findings(e folder.Experiment) map[string]detect.Finding {
	out := map[string]detect.Finding{}
	asked := map[string]int{}
	for _, f := range e.Verdict.Findings {
		asked[f.Detector]++
		out[f.Detector+" "+strconv.Itoa(asked[f.Detector])] = f
	}
	return out
}

// When a figure has come near its bound: it has taken Near of it, and Step more
// than before. Of the reference service's ten quiet trials, 114 figures with
// bounds each, one pair of the 90 has one figure that is told so.
const (
	Near = 0.8
	Step = 0.2
)

func figures(name string, was, now detect.Finding) []Change {
	if was.Outcome != detect.Held || now.Outcome != detect.Held {
		return nil
	}
	old := map[string]float64{}
	for _, q := range was.Quantities {
		if share, ok := taken(q.Value, q.Bound, q.Op); ok {
			old[q.Name] = share
		}
	}
	var changes []Change
	for _, q := range now.Quantities {
		share, ok := taken(q.Value, q.Bound, q.Op)
		before, there := old[q.Name]
		if ok && there && share >= Near && share-before >= Step {
			changes = append(changes, Change{
				Kind: Nearer, Experiment: name, Detector: now.Detector,
				Was: fmt.Sprintf("%.0f %% of the bound", 100*before),
				Now: fmt.Sprintf("%s %s of %s, %.0f %%", report.Clean(q.Name), report.Figure(q.Name, q.Value, q.Unit),
					report.Figure(q.Name, *q.Bound, q.Unit), 100*share),
			})
		}
	}
	return changes
}

// taken is the share of its bound that a value has taken; none of a bound of
// zero, or one that is not approached from a side.
func taken(value float64, bound *float64, op string) (float64, bool) {
	if bound == nil || *bound <= 0 || value < 0 {
		return 0, false
	}
	switch {
	case op == "<=" || op == "<":
		return value / *bound, true
	case (op == ">=" || op == ">") && value > 0:
		return *bound / value, true
	}
	return 0, false
}

// circumstances are what else differs.
func circumstances(before, now *folder.Trial) []string {
	var out []string
	differ := func(what, a, b string) {
		if a != b {
			out = append(out, fmt.Sprintf("%s: %s, was %s", what, or(b, "none"), or(a, "none")))
		}
	}
	differ("service", before.Service, now.Service)
	differ("environment", before.Environment, now.Environment)
	differ("processors", strconv.Itoa(before.CPUs), strconv.Itoa(now.CPUs))
	each := func(what string, a, b map[string]string) {
		names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			differ(what+name, a[name], b[name])
		}
	}
	each("", before.Versions, now.Versions)
	each("promise ", report.PromiseValues(before.Promises), report.PromiseValues(now.Promises))
	return out
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return report.Clean(s)
}
