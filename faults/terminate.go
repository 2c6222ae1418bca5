package faults

import (
	"context"
	"fmt"
	"syscall"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Terminate asks a process to end (SIGTERM) and does not wait for it: in force
// means asked. Reverting it waits for the end and starts the process again,
// where that can be done. A Postgres server that is asked so waits for its
// clients to leave.
//
// In force: the process ended, or a poll found it no longer ready. Exercised: a
// replica, when requests were due; a dependency, when the service had just
// used it.
type Terminate struct{}

var _ = register("terminate", func() Fault { return new(Terminate) })

// String is the fault in one line.
func (*Terminate) String() string { return "terminate (SIGTERM)" }

// Supports wants a process.
func (*Terminate) Supports(t Target) error {
	_, err := signalled("terminate", t)
	return err
}

// Inject sends the signal.
func (*Terminate) Inject(ctx context.Context, t Target) (Injection, error) {
	s, err := signalled("terminate", t)
	if err != nil {
		return nil, err
	}
	if err := s.Signal(ctx, syscall.SIGTERM); err != nil {
		return nil, fmt.Errorf("terminate: %w", err) // nothing has been done
	}
	u := new(undo)
	restarting("terminate", t, u)
	waited := false
	u.add(func(ctx context.Context) error { // runs before the restart
		if waited {
			return nil
		}
		if err := s.WaitExit(ctx); err != nil {
			return fmt.Errorf("terminate: %q has not ended: %w", t.Name(), err)
		}
		waited = true
		return nil
	})
	return u, nil
}

// Witness wants an exit, or a readiness that fails.
func (*Terminate) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	if err := s.untilReverted().exited(""); err != nil && !s.unready() {
		return err
	}
	return s.hit()
}

// untilReverted is the scene with a window that lasts until the step of the
// window was reverted: what was asked for may come about only then.
func (s scene) untilReverted() scene {
	for _, step := range s.j.Steps() {
		w, ok := step.Window()
		if ok && w == s.w && step.Has[journal.PhaseReverted] {
			s.w.To = step.Reverted
		}
	}
	return s
}

// unready reports whether a readiness poll failed in the window.
func (s scene) unready() bool {
	for e, p := range journal.Of[journal.Poll](s.j) {
		ended := s.w.To == 0 || e.At.Add(p.Took) <= s.w.To
		if e.On == s.target && p.Endpoint == journal.Readiness && s.w.Contains(e.At) && ended && p.Code != 200 {
			return true
		}
	}
	return false
}
