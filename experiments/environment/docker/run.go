package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
)

// run is one run of a container, from its start to its exit.
type run struct {
	box    *box
	pid    int
	stream client.ContainerAttachResult
	cancel context.CancelFunc
	exited func(spawn.Exit)
	done   chan struct{}
	exit   spawn.Exit
}

var _ fleet.Process = (*run)(nil)

// PID is its first process, as the engine's machine counts it.
func (r *run) PID() int { return r.pid }

// Done is closed when it has ended and all its output has been read.
func (r *run) Done() <-chan struct{} { return r.done }

// Ended reports whether it has.
func (r *run) Ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Exit is how it ended; it waits for that.
func (r *run) Exit() spawn.Exit {
	<-r.done
	return r.exit
}

// Wait waits for its end or that of the context.
func (r *run) Wait(ctx context.Context) error {
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outputGrace is how long after its end a container's output is still read.
const outputGrace = 200 * time.Millisecond

// follow reads the output and waits for the end.
func (r *run) follow(waited client.ContainerWaitResult, stdout io.Writer) {
	output := r.read(stdout)
	r.exit = spawn.Exit{PID: r.pid, Code: -1}
	select {
	case end := <-waited.Result:
		r.exit = exitOf(r.pid, end.StatusCode)
	case err := <-waited.Error:
		r.exit.Signal = "lost: " + err.Error()
	}
	limit := time.NewTimer(outputGrace)
	defer limit.Stop()
	select {
	case <-output:
	case <-limit.C:
	}
	r.stream.Close()
	r.cancel()
	<-output
	if r.exited != nil {
		r.exited(r.exit)
	}
	close(r.done)
}

// read takes the output down; the channel is closed at its end.
func (r *run) read(stdout io.Writer) <-chan struct{} {
	var readers sync.WaitGroup
	follow := func(stream string) io.WriteCloser {
		from, to := io.Pipe()
		readers.Go(func() { r.box.lines.Follow(stream, from) })
		return to
	}
	errTo := follow("stderr")
	closers := []io.Closer{errTo}
	if stdout == nil {
		out := follow("stdout")
		closers = append(closers, out)
		stdout = out
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = stdcopy.StdCopy(stdout, errTo, r.stream.Reader) // it ends when the container does
		for _, c := range closers {
			_ = c.Close()
		}
		readers.Wait()
		r.box.lines.End()
	}()
	return ended
}

// exitOf reads an exit status. A container's status above 128 stands for the
// signal that ended its first process.
func exitOf(pid int, status int64) spawn.Exit {
	if s := syscall.Signal(status - 128); status > 128 && unix.SignalName(s) != "" {
		return spawn.Exit{PID: pid, Code: -1, Signal: s.String()}
	}
	return spawn.Exit{PID: pid, Code: int(status)}
}

// Send sends a signal to the first process; SIGSTOP and SIGCONT freeze and thaw
// all of the container, and SIGKILL ends all of it, since nothing outlives its
// first process.
func (r *run) Send(ctx context.Context, s syscall.Signal) error {
	if r.Ended() {
		return spawn.ErrExited
	}
	var err error
	c := r.box.engine.client
	switch s {
	case syscall.SIGSTOP:
		_, err = c.ContainerPause(ctx, r.box.id, client.ContainerPauseOptions{})
	case syscall.SIGCONT:
		return r.thaw(ctx)
	default:
		_, err = c.ContainerKill(ctx, r.box.id, client.ContainerKillOptions{Signal: unix.SignalName(s)})
		if err == nil && s == syscall.SIGKILL {
			err = r.thaw(ctx) // a frozen process does not even die
		}
	}
	if gone(err) {
		return spawn.ErrExited
	}
	if err != nil {
		return fmt.Errorf("send %s to container %.12s: %w", unix.SignalName(s), r.box.id, err)
	}
	return nil
}

// thaw lets a frozen container go on; that it is not frozen is no error.
func (r *run) thaw(ctx context.Context) error {
	_, err := r.box.engine.client.ContainerUnpause(ctx, r.box.id, client.ContainerUnpauseOptions{})
	if err == nil || gone(err) || r.running(ctx) {
		return nil
	}
	return fmt.Errorf("thaw container %.12s: %w", r.box.id, err)
}

// running reports whether the container runs and is not frozen, or has ended.
func (r *run) running(ctx context.Context) bool {
	seen, err := r.box.engine.client.ContainerInspect(ctx, r.box.id, client.ContainerInspectOptions{})
	return err == nil && seen.Container.State != nil && !seen.Container.State.Paused
}

// killWithin bounds the time from a container's kill to its end.
const killWithin = 30 * time.Second

// Kill ends it at once and waits for it.
func (r *run) Kill(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, killWithin, fmt.Errorf("container %.12s was killed %v ago, and the "+
		"engine has not told of its end; an engine that hangs has to be started anew", r.box.id, killWithin))
	defer cancel()
	if err := r.Send(ctx, syscall.SIGKILL); err != nil && !errors.Is(err, spawn.ErrExited) {
		return err
	}
	err := r.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
