package detect

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// What a detector's `during` may say, besides the name of a step.
const (
	// DuringFault is the time in which at least one fault was in force, from
	// the injector's word to the beginning of its revert. A method without a
	// fault is judged on its operations, and one without those on its probes.
	DuringFault = "fault"
	// DuringSteady is the time from the load's start to the first step.
	DuringSteady = "steady"
	// DuringMethod is the time from the first step's beginning to the last
	// step's end.
	DuringMethod = "method"
	// DuringAfter is the time from the last step's end on.
	DuringAfter = "after"
	// DuringAgain is the end of the load, as long as the steady-state window
	// was, and at most half of the time after the last step: the steady state,
	// looked at again.
	DuringAgain = "again"
	// DuringAll is the whole run.
	DuringAll = "all"
)

// Windows are the words that a detector's `during` may say.
func Windows() []string {
	return []string{DuringFault, DuringSteady, DuringMethod, DuringAfter, DuringAgain, DuringAll}
}

// span is what `during` was resolved to: disjoint windows in the order of time,
// and how a reason names them.
type span struct {
	name    string
	windows []journal.Window
	// whole says that a request counts only if it also ended inside: its fate
	// would otherwise be that of the step that began at the window's end.
	whole bool
}

// resolve finds the windows that `during` means in a journal. An empty value
// means byDefault. The error is a reason for an unknown finding.
func resolve(j journal.Journal, during, byDefault string) (span, error) {
	if during == "" {
		during = byDefault
	}
	switch during {
	case DuringAll:
		return span{name: "the whole run", windows: []journal.Window{{}}}, nil
	case DuringSteady:
		return steadySpan(j)
	case DuringMethod:
		return methodSpan(j)
	case DuringAfter:
		return afterSpan(j)
	case DuringAgain:
		return againSpan(j)
	case DuringFault:
		return faultSpan(j)
	}
	return stepSpan(j, during)
}

// loadStart is the due time of the load's first hit.
func loadStart(j journal.Journal) journal.Instant {
	for e, a := range journal.Of[journal.Attack](j) {
		if e.On == loadAttack {
			return a.From
		}
	}
	return j.Header().LoadFrom
}

// loadAttack is the name of the attack that is an experiment's ordinary load.
const loadAttack = "load"

// loadEnd is the end of the load's plan, as last recorded: the plan grows where
// steps take longer than planned. Zero when there is none.
func loadEnd(j journal.Journal) journal.Instant {
	var end journal.Instant
	for e, a := range journal.Of[journal.Attack](j) {
		if e.On == loadAttack && a.For > 0 {
			end = a.From.Add(a.For)
		}
	}
	h := j.Header()
	if end > 0 {
		return end
	}
	if h.LoadFor == 0 {
		return 0
	}
	return h.LoadFrom.Add(h.LoadFor)
}

func steadySpan(j journal.Journal) (span, error) {
	w := journal.Window{From: loadStart(j)}
	for _, s := range j.Steps() {
		if s.Has[journal.PhaseBegin] && (w.To == 0 || s.Begun < w.To) {
			w.To = s.Begun
		}
	}
	if w.To != 0 && w.To <= w.From {
		return span{}, fmt.Errorf("there was no load before the first step began at %v", w.To)
	}
	return span{name: "the steady state", windows: []journal.Window{w}, whole: w.To != 0}, nil
}

func methodSpan(j journal.Journal) (span, error) {
	var all []journal.Window
	for _, s := range j.Steps() {
		if w, ok := carriedOut(s); ok {
			all = append(all, w)
		}
	}
	if len(all) == 0 {
		return span{}, fmt.Errorf("no step of the method was carried out")
	}
	return span{name: "the method", windows: []journal.Window{hull(all)}}, nil
}

// lastStepEnd is when the last step that had begun was taken back or over.
func lastStepEnd(j journal.Journal) (journal.Instant, error) {
	var end journal.Instant
	began := false
	for _, s := range j.Steps() {
		if !s.Has[journal.PhaseBegin] {
			continue
		}
		began = true
		if !s.Has[journal.PhaseReverted] {
			return 0, fmt.Errorf("step %q was not seen to end, so there is no time after it%s", s.Name, because(s))
		}
		end = max(end, s.Reverted)
	}
	if !began {
		return 0, fmt.Errorf("no step of the method was carried out, so there is no time after one")
	}
	return end, nil
}

func afterSpan(j journal.Journal) (span, error) {
	end, err := lastStepEnd(j)
	if err != nil {
		return span{}, err
	}
	w := journal.Window{From: end, To: loadEnd(j)}
	if w.To != 0 && w.To <= w.From {
		return span{}, fmt.Errorf("the load had ended at %v, before the last step had at %v", w.To, w.From)
	}
	return span{name: "the time after the last step", windows: []journal.Window{w}}, nil
}

func againSpan(j journal.Journal) (span, error) {
	after, err := afterSpan(j)
	if err != nil {
		return span{}, err
	}
	w := after.windows[0]
	if w.To == 0 {
		return span{}, fmt.Errorf("the load's end is not in the journal, so its last part is not known")
	}
	part := w.Length() / 2
	if steady, err := steadySpan(j); err == nil {
		part = min(part, steady.windows[0].Length())
	}
	w.From = w.To.Add(-part)
	return span{name: "the end of the load", windows: []journal.Window{w}}, nil
}

// stepClasses in the order in which a method is judged by them.
var stepClasses = []struct{ class, name string }{
	{"fault", "the fault"},
	{"operation", "the operation"},
	{"probe", "the probe"},
}

func faultSpan(j journal.Journal) (span, error) {
	steps := j.Steps()
	for _, c := range stepClasses {
		ofClass := slices.DeleteFunc(slices.Clone(steps), func(s journal.Step) bool { return s.Class != c.class })
		if len(ofClass) > 0 {
			return union(c.name, ofClass)
		}
	}
	return span{}, fmt.Errorf("the method has no step, so there is no fault to look at")
}

func stepSpan(j journal.Journal, name string) (span, error) {
	var named []journal.Step
	var names []string
	for _, s := range j.Steps() {
		names = append(names, s.Name)
		if s.Name == name {
			named = append(named, s)
		}
	}
	if len(named) == 0 { // it may stand for one on each replica
		named = slices.DeleteFunc(slices.Clone(j.Steps()), func(s journal.Step) bool { return StepBase(s.Name) != name })
	}
	if len(named) == 0 {
		return span{}, fmt.Errorf("during names no step: %q is none of %s", name, strings.Join(names, ", "))
	}
	return union(fmt.Sprintf("step %q", name), named)
}

// StepBase is the name in the file of a step that is done on each replica.
func StepBase(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			return name[:i]
		}
	}
	return name
}

// union joins the windows in which steps were in force. Every one of them must
// have been: a judgement on part of what was planned would look like one on all.
func union(name string, steps []journal.Step) (span, error) {
	var all []journal.Window
	for _, s := range steps {
		w, ok := carriedOut(s)
		if !ok {
			return span{}, fmt.Errorf("step %q (%s on %s) was never in force%s", s.Name, s.Action, s.Target, because(s))
		}
		all = append(all, w)
	}
	return span{name: name, windows: merge(all)}, nil
}

func because(s journal.Step) string {
	if s.Error == "" {
		return ""
	}
	return ": " + s.Error
}

// carriedOut is the window of one step. A fault's is [journal.Step.Window];
// operations and probes end by themselves, so theirs lasts from their beginning
// to their end.
func carriedOut(s journal.Step) (journal.Window, bool) {
	w, ok := s.Window()
	if !ok || s.Class == "fault" {
		return w, ok
	}
	if s.Has[journal.PhaseBegin] {
		w.From = s.Begun
	}
	w.To = 0
	if s.Has[journal.PhaseReverted] {
		w.To = s.Reverted
	}
	return w, true
}

// merge sorts windows and joins those that touch.
func merge(all []journal.Window) []journal.Window {
	slices.SortFunc(all, func(a, b journal.Window) int { return int(a.From.Sub(b.From)) })
	var out []journal.Window
	for _, w := range all {
		last := len(out) - 1
		switch {
		case last < 0 || (out[last].To != 0 && w.From > out[last].To):
			out = append(out, w)
		case out[last].To != 0 && (w.To == 0 || w.To > out[last].To):
			out[last].To = w.To
		}
	}
	return out
}

// hull is the window from the first beginning to the last end.
func hull(all []journal.Window) journal.Window {
	m := merge(slices.Clone(all))
	return journal.Window{From: m[0].From, To: m[len(m)-1].To}
}

// hull is the window from the span's beginning to its end.
func (s span) hull() journal.Window { return hull(s.windows) }

// contains reports whether an instant lies in the span.
func (s span) contains(t journal.Instant) bool {
	return slices.ContainsFunc(s.windows, func(w journal.Window) bool { return w.Contains(t) })
}

// length is the time the span covers; zero when it has no end.
func (s span) length() time.Duration {
	var sum time.Duration
	for _, w := range s.windows {
		if w.To == 0 {
			return 0
		}
		sum += w.Length()
	}
	return sum
}

// String names the span with its instants, for reasons: "the fault (3s to 13s)".
func (s span) String() string {
	w := s.hull()
	switch {
	case w == journal.Window{}:
		return s.name
	case w.To == 0:
		return fmt.Sprintf("%s (from %v on)", s.name, w.From)
	}
	return fmt.Sprintf("%s (%v to %v)", s.name, w.From, w.To)
}

// requests yields the requests whose fate belongs to the span. A request
// belongs where it was due (completion times gave false recoveries of 27 s,
// detectors.md section 1), with two exceptions at a window's end: one that was
// due inside but sent only after the end met nothing of what the window is
// about and is left out, unless it was dropped; and one that was still on its
// way when the first step began is left out of the steady state, because that
// step decided its fate. A request on its way when a fault is taken back counts
// for the fault: it met it.
func (s span) requests(j journal.Journal) iter.Seq[journal.Request] {
	return func(yield func(journal.Request) bool) {
		for _, w := range s.windows {
			for r := range j.Requests(w) {
				if w.To != 0 && !r.Dropped && (r.Sent >= w.To || s.whole && r.Done > w.To) {
					continue
				}
				if !yield(r) {
					return
				}
			}
		}
	}
}
