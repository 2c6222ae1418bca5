package fleet

import (
	"context"
	"errors"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
)

// deaf is a process that ends of SIGKILL, of signals that it heeds, and, while
// it is stopped, of nothing else.
type deaf struct {
	heeds   []syscall.Signal
	exited  func(spawn.Exit)
	done    chan struct{}
	stopped bool
	sent    []syscall.Signal
}

func (*deaf) PID() int                         { return 7 }
func (d *deaf) Done() <-chan struct{}          { return d.done }
func (d *deaf) Exit() spawn.Exit               { <-d.done; return spawn.Exit{PID: 7} }
func (d *deaf) Kill(ctx context.Context) error { return d.Send(ctx, syscall.SIGKILL) }

func (d *deaf) Ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

func (d *deaf) Wait(ctx context.Context) error {
	select {
	case <-d.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *deaf) Send(_ context.Context, s syscall.Signal) error {
	if d.Ended() {
		return spawn.ErrExited
	}
	d.sent = append(d.sent, s)
	switch {
	case s == syscall.SIGSTOP || s == syscall.SIGCONT:
		d.stopped = s == syscall.SIGSTOP
	case s == syscall.SIGKILL, slices.Contains(d.heeds, s) && !d.stopped:
		go func() {
			d.exited(spawn.Exit{PID: 7})
			close(d.done)
		}()
	}
	return nil
}

// TestKeeperEnds ends processes in each way, and holds what they were sent and
// what was written down.
func TestKeeperEnds(t *testing.T) {
	const grace = time.Second
	term, kill, cont := syscall.SIGTERM, syscall.SIGKILL, syscall.SIGCONT
	gently := []syscall.Signal{term}
	for name, c := range map[string]struct {
		heeds   []syscall.Signal
		stopped bool
		end     func(context.Context, *Keeper) error
		err     error
		sent    []syscall.Signal
		asked   string
	}{
		"end":              {gently, false, endIn(grace), nil, gently, "SIGTERM"},
		"end, deaf":        {nil, false, endIn(grace), ErrKilled, []syscall.Signal{term, kill}, "SIGKILL"},
		"halt, stopped":    {gently, true, haltIn(grace), nil, []syscall.Signal{cont, term}, "SIGTERM"},
		"halt, deaf":       {nil, false, haltIn(grace), nil, []syscall.Signal{cont, term, kill}, "SIGKILL"},
		"drop":             {gently, false, drop, nil, gently, ""},
		"drop, stopped":    {gently, true, drop, nil, []syscall.Signal{term, kill}, ""},
		"drop, in a hurry": {nil, false, dropAtOnce, context.Canceled, []syscall.Signal{term, kill}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := journal.NewMemory(journal.Header{})
				k := &Keeper{Target: "db", Journal: j}
				d := &deaf{heeds: c.heeds, stopped: c.stopped, done: make(chan struct{})}
				_, err := k.Launch(t.Context(), func(_ context.Context, exited func(spawn.Exit)) (Process, error) {
					d.exited = exited
					return d, nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := c.end(t.Context(), k); !errors.Is(err, c.err) {
					t.Errorf("got %v, want %v", err, c.err)
				}
				synctest.Wait()
				if k.Running() != nil || k.WaitExit(t.Context()) != nil {
					t.Error("it runs on")
				}
				if diff := cmp.Diff(c.sent, d.sent); diff != "" {
					t.Error("it was sent (-want +got)", diff)
				}
				for _, e := range journal.Of[journal.Exited](j) {
					if e.Asked != c.asked {
						t.Errorf("its exit was asked for by %q, want %q", e.Asked, c.asked)
					}
				}
				last := "" // of the signals that were written down
				for _, s := range journal.Of[journal.Signalled](j) {
					last = s.Signal
				}
				if last != c.asked {
					t.Errorf("the last signal written down is %q, want %q", last, c.asked)
				}
				if err := k.Signal(t.Context(), unix.SIGTERM); err == nil {
					t.Error("a signal was sent to a process that has ended")
				}
			})
		})
	}
}

func endIn(grace time.Duration) func(context.Context, *Keeper) error {
	return func(ctx context.Context, k *Keeper) error { return k.End(ctx, syscall.SIGTERM, grace) }
}

func haltIn(grace time.Duration) func(context.Context, *Keeper) error {
	return func(ctx context.Context, k *Keeper) error { return k.Halt(ctx, syscall.SIGTERM, grace) }
}

func drop(ctx context.Context, k *Keeper) error { return k.Drop(ctx, syscall.SIGTERM) }

func dropAtOnce(ctx context.Context, k *Keeper) error {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return drop(ctx, k)
}
