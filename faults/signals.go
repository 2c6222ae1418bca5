package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// signalled says why a target is not a process.
func signalled(kind string, t Target) (Signalled, error) {
	s, ok := t.(Signalled)
	if !ok {
		return nil, fmt.Errorf("%s: %q (%s) is not a process that can be signalled", kind, t.Name(), t.Kind())
	}
	return s, nil
}

// restarting is the step that starts a target again after its end, where that
// can be done.
func restarting(kind string, t Target, u *undo) {
	r, ok := t.(Restartable)
	if !ok {
		return
	}
	done := false
	u.add(func(ctx context.Context) error {
		if done {
			return nil
		}
		if err := r.Restart(ctx); err != nil {
			return fmt.Errorf("%s: start %q again: %w", kind, t.Name(), err)
		}
		done = true
		return nil
	})
}

// exitBefore is how far before a window's beginning an exit may be its fault's.
const exitBefore = 5 * time.Second

// exited says whether the target's process ended, by a signal when one is
// named, because of an injection that was in force from the window's beginning
// on.
func (s scene) exited(signal string) error {
	for e, x := range journal.Of[journal.Exited](s.j) {
		if e.On != s.target || !s.around(exitBefore).Contains(e.At) {
			continue
		}
		if signal == "" || x.Signal == signal {
			return nil
		}
		return notInForce("%q exited at %v with code %d and signal %q, not by %q", s.target, e.At, x.Code, x.Signal, signal)
	}
	return notInForce("the process of %q did not end", s.target)
}

// hit says whether a process that was stopped or ended had work: a replica,
// when requests were due just before or in the window; a dependency, when the
// service used it just before or tried to.
func (s scene) hit() error {
	if !s.replica() {
		if s.exercised() == nil {
			return nil
		}
		return s.sinceAsked().cut()
	}
	for range s.j.Requests(s.around(justSoon)) {
		return nil
	}
	return notExercised("no request was due in the window or in the %v before", justSoon)
}

// sinceAsked is the scene from the last signal to the target on, where that came
// before the window: until an engine tells that a container has ended, seconds
// may pass in which nobody can use it.
func (s scene) sinceAsked() scene {
	from := s.w.From
	for e := range journal.Of[journal.Signalled](s.j) {
		if e.On == s.target && e.At < s.w.From && e.At >= s.around(exitBefore).From {
			from = e.At
		}
	}
	s.w.From = from
	return s
}

// silent says whether a process answered nothing in the window: no poll of a
// replica, no round trip of a dependency.
func (s scene) silent() error {
	if !s.replica() {
		return s.unanswered(spoken(s.trips(s.w)))
	}
	w := s.w
	w.From = w.From.Add(edge)
	asked := 0
	for e, p := range journal.Of[journal.Poll](s.j) {
		if e.On != s.target || !w.Contains(e.At) {
			continue
		}
		end := e.At.Add(p.Took)
		within := w.To == 0 || end <= w.To
		switch {
		case p.Code != 0 && within:
			return notInForce("%q answered the poll at %v with %d", s.target, e.At, p.Code)
		case p.Code == 0 && (within || w.To.Sub(e.At) >= quietFor), !within && w.To.Sub(e.At) >= quietFor:
			asked++
		}
	}
	if asked == 0 {
		return notInForce("no poll of %q lasted through the window", s.target)
	}
	return nil
}
