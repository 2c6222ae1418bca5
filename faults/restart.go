package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Restart stops a replica or a dependency's server gently and starts it again.
// It is in force from the beginning of that; reverting it waits until the
// target answers again.
//
// In force: the process was seen to end or to start, a round trip in the window
// failed, or a poll found it not ready. Exercised: a replica, when requests
// were due; a dependency, when the service used it.
type Restart struct{}

var _ = register("restart", func() Fault { return new(Restart) })

// String is the fault in one line.
func (*Restart) String() string { return "restart" }

// Harm implements [Harmful].
func (*Restart) Harm() string { return "everybody's connections end" }

// Supports wants something that can be started again.
func (*Restart) Supports(t Target) error {
	_, err := restartable(t)
	return err
}

func restartable(t Target) (Restartable, error) {
	r, ok := t.(Restartable)
	if !ok {
		return nil, fmt.Errorf("restart: %q (%s) cannot be started again", t.Name(), t.Kind())
	}
	return r, nil
}

// Inject begins the restart.
func (*Restart) Inject(ctx context.Context, t Target) (Injection, error) {
	r, err := restartable(t)
	if err != nil {
		return nil, err
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	var failed error
	go func() {
		defer close(done)
		failed = r.Restart(life)
	}()
	u := new(undo)
	u.add(func(ctx context.Context) error {
		select {
		case <-done:
		case <-ctx.Done():
			stop()
			<-done
		}
		stop()
		if failed == nil {
			return nil
		}
		failed = r.Restart(ctx) // once more: what is reverted must run
		if failed != nil {
			return fmt.Errorf("restart: %q: %w", t.Name(), failed)
		}
		return nil
	})
	return u, nil
}

// Witness looks for traces of the restart.
func (*Restart) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	if s.exited("") != nil && !s.started() && !s.failing() && !s.unready() {
		return notInForce("the process of %q neither ended nor started, and answered everything", target)
	}
	return s.hit()
}

func (s scene) started() bool {
	for e := range journal.Of[journal.Started](s.j) {
		if e.On == s.target && s.w.Contains(e.At) {
			return true
		}
	}
	return false
}

// failing reports whether a round trip in the window failed.
func (s scene) failing() bool {
	for _, t := range finished(s.trips(s.w), s.w) {
		if t.Err != "" {
			return true
		}
	}
	return false
}
