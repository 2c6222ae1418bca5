package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
)

// Keeper starts the process of one target, again and again, sends it signals,
// and writes its starts, its signals and its exits down.
type Keeper struct {
	// Target is what the journal calls it.
	Target string
	// Journal gets the starts, the signals and the exits; nil: nobody does.
	Journal journal.Recorder

	mu      sync.Mutex
	process Process // nil before the first start
	starts  int
	asked   string // the last signal sent to the present process
	version string // of the service, from the next start on; empty where there is one only
}

// Name is the target's name.
func (k *Keeper) Name() string { return k.Target }

// Running is the process that runs now; nil when none does.
func (k *Keeper) Running() Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process == nil || k.process.Ended() {
		return nil
	}
	return k.process
}

// PID is the process now; zero when none runs.
func (k *Keeper) PID() int {
	if p := k.Running(); p != nil {
		return p.PID()
	}
	return 0
}

// Launch starts a process; it does not wait until it answers.
func (k *Keeper) Launch(
	ctx context.Context, start func(context.Context, func(spawn.Exit)) (Process, error),
) (Process, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.process != nil && !k.process.Ended() {
		return nil, fmt.Errorf("start %s: it runs already", k.Target)
	}
	p, err := start(ctx, k.exited)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", k.Target, err)
	}
	k.process, k.asked = p, ""
	k.starts++
	k.record(journal.Started{PID: p.PID(), Start: k.starts, Version: k.version})
	return p, nil
}

func (k *Keeper) exited(e spawn.Exit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.record(journal.Exited{PID: e.PID, Code: e.Code, Signal: e.Signal, Asked: k.asked})
}

func (k *Keeper) record(b journal.Body) {
	if k.Journal != nil {
		k.Journal.Record(journal.Entry{On: k.Target, Body: b})
	}
}

// Signal sends a signal to the process, and SIGSTOP, SIGCONT and SIGKILL to all
// that belongs to it.
func (k *Keeper) Signal(ctx context.Context, s os.Signal) error {
	number, ok := s.(syscall.Signal)
	if !ok {
		return fmt.Errorf("signal %s: %v is no signal of this system", k.Target, s)
	}
	p := k.Running()
	if p == nil {
		return fmt.Errorf("signal %s: it does not run", k.Target)
	}
	k.mu.Lock()
	k.asked = unix.SignalName(number)
	k.record(journal.Signalled{Signal: k.asked})
	k.mu.Unlock()
	if err := p.Send(ctx, number); err != nil {
		return fmt.Errorf("signal %s: %w", k.Target, err)
	}
	return nil
}

// WaitExit returns when the process has ended; at once when none runs.
func (k *Keeper) WaitExit(ctx context.Context) error {
	if p := k.Running(); p != nil {
		return p.Wait(ctx)
	}
	return nil
}

// ErrKilled says that a process had to be killed.
var ErrKilled = errors.New("it did not end within its grace period and was killed")

// End sends a signal and waits for the exit; after the grace it kills, and the
// error wraps [ErrKilled].
func (k *Keeper) End(ctx context.Context, s syscall.Signal, grace time.Duration) error {
	p := k.Running()
	if p == nil {
		return nil
	}
	err := k.Signal(ctx, s)
	if err != nil && !p.Ended() && !errors.Is(err, spawn.ErrExited) {
		return err
	}
	ended, err := endsWithin(ctx, p, grace)
	if err != nil {
		return fmt.Errorf("wait for the end of %s: %w", k.Target, err)
	}
	if ended {
		return nil
	}
	if err := k.Signal(ctx, syscall.SIGKILL); err != nil && !p.Ended() {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		return err
	}
	return fmt.Errorf("terminate %s: %w (%v)", k.Target, ErrKilled, grace)
}

// Halt ends the process gently, also one that is stopped (SIGSTOP), which hears
// of it only when it goes on. That it had to be killed after the grace is in the
// journal, and no error.
func (k *Keeper) Halt(ctx context.Context, s syscall.Signal, grace time.Duration) error {
	if p := k.Running(); p != nil {
		if err := p.Send(ctx, syscall.SIGCONT); err != nil && !p.Ended() && !errors.Is(err, spawn.ErrExited) {
			return fmt.Errorf("stop %s: %w", k.Target, err)
		}
	}
	if err := k.End(ctx, s, grace); err != nil && !errors.Is(err, ErrKilled) {
		return err
	}
	return nil
}

// Drop takes the process down for good: gently, but not for long.
func (k *Keeper) Drop(ctx context.Context, s syscall.Signal) error {
	p := k.Running()
	if p == nil {
		return nil
	}
	ended, err := false, p.Send(ctx, s)
	if err == nil {
		ended, err = endsWithin(ctx, p, stopGrace)
	}
	if ended {
		return nil
	}
	if errors.Is(err, spawn.ErrExited) {
		err = nil
	}
	if err = errors.Join(err, p.Kill(context.WithoutCancel(ctx))); err != nil {
		return fmt.Errorf("stop %s: %w", k.Target, err)
	}
	return nil
}

// endsWithin reports whether a process ends within a time.
func endsWithin(ctx context.Context, p Process, d time.Duration) (bool, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-p.Done():
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-timer.C:
		return false, nil
	}
}

// stopGrace is how long something has to end when the environment is taken
// down: what it would still do concerns nobody.
const stopGrace = 100 * time.Millisecond
