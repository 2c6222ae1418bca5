package postgres

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/procs"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
)

// postmaster is a server's first process. Its backends are its children, in
// sessions of their own.
type postmaster struct{ *spawn.Process }

var _ fleet.Process = postmaster{}

// Send implements [fleet.Process]. The postmaster comes first, so that it cannot
// start another backend meanwhile; when all go on again it comes last.
func (p postmaster) Send(_ context.Context, sig syscall.Signal) error {
	all := sig == syscall.SIGSTOP || sig == syscall.SIGCONT || sig == syscall.SIGKILL
	if !all {
		return p.Signal(sig)
	}
	if sig == syscall.SIGSTOP {
		if err := p.Signal(sig); err != nil {
			return err
		}
	}
	kids, err := procs.Children(p.PID())
	if err != nil {
		return err
	}
	for _, k := range kids {
		if err := syscall.Kill(k.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	if sig == syscall.SIGSTOP {
		return nil
	}
	if err := p.Signal(sig); err != nil && (sig != syscall.SIGKILL || !errors.Is(err, spawn.ErrExited)) {
		return err
	}
	if sig == syscall.SIGKILL {
		return awaitGone(kids)
	}
	return nil
}

// Kill implements [fleet.Process].
func (p postmaster) Kill(ctx context.Context) error {
	if err := p.Send(ctx, syscall.SIGKILL); err != nil {
		return err
	}
	return p.Wait(ctx)
}

// awaitGone waits until killed processes are gone: a server does not start on a
// data directory that one of them still uses.
func awaitGone(kids []procs.Process) error {
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, k := range kids {
		for procs.Alive(k.PID, k.Start) {
			select {
			case <-deadline.C:
				return fmt.Errorf("process %d is still there 5s after SIGKILL", k.PID)
			case <-tick.C:
			}
		}
	}
	return nil
}
