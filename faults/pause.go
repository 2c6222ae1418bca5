package faults

import (
	"context"
	"fmt"
	"syscall"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Pause stops a process (SIGSTOP), a replica or a dependency's server, and lets
// it go on (SIGCONT): like a long collection of garbage, a frozen virtual
// machine, a processor that is taken away. Its connections stay open, and the
// kernel goes on to accept new ones.
//
// In force: nothing asked of it in the window was answered: no poll of a
// replica, no round trip to a dependency. Exercised: a replica, when requests
// were due; a dependency, when the service sent something or had just used it.
type Pause struct{}

var _ = register("pause", func() Fault { return new(Pause) })

// String is the fault in one line.
func (*Pause) String() string { return "pause (SIGSTOP)" }

// Supports wants a process.
func (*Pause) Supports(t Target) error {
	_, err := signalled("pause", t)
	return err
}

// Inject stops the process.
func (*Pause) Inject(ctx context.Context, t Target) (Injection, error) {
	s, err := signalled("pause", t)
	if err != nil {
		return nil, err
	}
	u := new(undo)
	u.add(func(ctx context.Context) error { return s.Signal(ctx, syscall.SIGCONT) })
	if err := s.Signal(ctx, syscall.SIGSTOP); err != nil {
		return nil, u.fail(ctx, fmt.Errorf("pause: %w", err))
	}
	return u, nil
}

// Witness wants silence.
func (*Pause) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	if err := s.silent(); err != nil {
		return err
	}
	return s.hit()
}
