package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Calls says which calls to a stub a fault shapes.
type Calls struct {
	// Route is the name of the stub's route. Empty, the default: all.
	Route string `yaml:"route" json:"route,omitempty"`
	// Ratio is the share of calls, from above 0 to 1. Default 1.
	Ratio float64 `yaml:"ratio" json:"ratio,omitempty"`
	// FirstN shapes only the first N calls. Zero, the default: all.
	FirstN int `yaml:"first_n" json:"first_n,omitempty"`
	// Seed feeds the draws that Ratio needs. Default 0, which is a seed too.
	Seed uint64 `yaml:"seed" json:"seed,omitempty"`
}

// String is the part of a fault's line that says which calls.
func (c Calls) String() string {
	s := ""
	if c.Ratio > 0 && c.Ratio < 1 {
		s += fmt.Sprintf(", %.0f %% of calls", c.Ratio*100)
	}
	if c.FirstN > 0 {
		s += fmt.Sprintf(", first %d calls", c.FirstN)
	}
	if c.Route != "" {
		s += ", route " + c.Route
	}
	return s
}

// supports wants a stub and sound parameters.
func (c Calls) supports(kind string, t Target) (Stub, error) {
	s, ok := t.(Stub)
	if !ok {
		return nil, fmt.Errorf("%s: %q (%s) is not an HTTP stub", kind, t.Name(), t.Kind())
	}
	if !(c.Ratio >= 0 && c.Ratio <= 1) {
		return nil, fmt.Errorf("%s: ratio %v is not between 0 and 1", kind, c.Ratio)
	}
	if c.FirstN < 0 {
		return nil, fmt.Errorf("%s: first_n %d is negative", kind, c.FirstN)
	}
	return s, nil
}

// inject puts a behaviour in force on these calls.
func (c Calls) inject(ctx context.Context, kind string, t Target, b Behaviour) (Injection, error) {
	s, err := c.supports(kind, t)
	if err != nil {
		return nil, err
	}
	b.Fault, b.Route, b.Ratio, b.FirstN, b.Seed = kind, c.Route, c.Ratio, c.FirstN, c.Seed
	id := unique(kind)
	u := new(undo)
	u.add(func(ctx context.Context) error { return s.ClearBehaviour(ctx, id) })
	if err := s.SetBehaviour(ctx, id, b); err != nil {
		return nil, u.fail(ctx, fmt.Errorf("%s: %w", kind, err))
	}
	return u, nil
}

// minDrawn is how many calls must be expected to be shaped before their absence
// says something: the chance of none is then below 1 %.
const minDrawn = 5

// witness looks at the stub's own record. Every shaped call must have been
// answered as right says, and where every call is to be shaped, at least 0.9 of
// them must have been.
func (c Calls) witness(kind string, s scene, right func(journal.Call) string) error {
	w := s.w
	w.From = w.From.Add(edge)
	if w.To != 0 {
		w.To = max(w.To.Add(-edge), 1)
	}
	var shaped, others int
	for e, call := range journal.Of[journal.Call](s.j) {
		if e.On != s.target || !w.Contains(e.At) || c.Route != "" && call.Route != "" && call.Route != c.Route {
			continue
		}
		if call.Fault != kind {
			others++
			continue
		}
		shaped++
		if wrong := right(call); wrong != "" && (w.To == 0 || e.At.Add(max(call.Answered, call.HungUpAfter)) < s.w.To) {
			return notInForce("the call to %q at %v %s", s.target, e.At, wrong)
		}
	}
	return c.judge(s.target, shaped, others)
}

func (c Calls) judge(target string, shaped, others int) error {
	all := shaped + others
	ratio := c.Ratio
	if ratio == 0 {
		ratio = 1
	}
	switch {
	case all == 0:
		return notExercised("no call reached %q in the window", target)
	case shaped == 0 && float64(all)*ratio >= minDrawn, shaped == 0 && ratio == 1:
		return notInForce("of %d calls to %q in the window none was shaped", all, target)
	case shaped == 0:
		return notExercised("of %d calls to %q none was drawn at a ratio of %v", all, target, ratio)
	case ratio == 1 && c.FirstN == 0 && float64(shaped) < mostShare*float64(all) && others > 1:
		return notInForce("of %d calls to %q in the window only %d were shaped", all, target, shaped)
	}
	return nil
}
