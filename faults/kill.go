package faults

import (
	"context"
	"fmt"
	"syscall"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Kill ends a process at once (SIGKILL), a replica or a dependency's server.
// Reverting it starts it again, where that can be done.
//
// In force: the process was seen to end by the signal, or, where exits are not
// recorded, no round trip in the window was answered. Exercised: a replica,
// when requests were due; a dependency, when the service had just used it.
type Kill struct{}

var _ = register("kill", func() Fault { return new(Kill) })

// String is the fault in one line.
func (*Kill) String() string { return "kill (SIGKILL)" }

// Supports wants a process.
func (*Kill) Supports(t Target) error {
	_, err := signalled("kill", t)
	return err
}

// Inject kills the process and returns when it has ended.
func (*Kill) Inject(ctx context.Context, t Target) (Injection, error) {
	s, err := signalled("kill", t)
	if err != nil {
		return nil, err
	}
	u := new(undo)
	if err := s.Signal(ctx, syscall.SIGKILL); err != nil {
		return nil, fmt.Errorf("kill: %w", err) // nothing has been done
	}
	restarting("kill", t, u)
	if err := s.WaitExit(ctx); err != nil {
		return nil, u.fail(ctx, fmt.Errorf("kill: %w", err))
	}
	return u, nil
}

// Witness wants the exit.
func (*Kill) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	err := s.exited("killed")
	if err != nil && !s.replica() {
		err = s.unanswered(s.trips(w))
	}
	if err != nil {
		return err
	}
	return s.hit()
}
