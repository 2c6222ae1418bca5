package spawn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct {
	PID    int
	Code   int    // −1 when a signal ended it
	Signal string // "killed", "terminated"; empty when none did
}

// String is the exit in words.
func (e Exit) String() string {
	if e.Signal != "" {
		return "was ended by a signal (" + e.Signal + ")"
	}
	return fmt.Sprintf("exited with status %d", e.Code)
}

// ErrExited says that a process does not run any more.
var ErrExited = errors.New("the process has ended")

// Process is one that was started.
type Process struct {
	cmd      *exec.Cmd
	registry Registry
	exited   func(Exit)
	readers  []*reader
	done     chan struct{}
	exit     Exit

	// mu is held while a signal is sent and while the process is waited for,
	// so that no signal goes to a pid that has been given to another.
	mu     sync.Mutex
	reaped bool
}

// PID is the process's id, which is its group's too.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and all its output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Exit is how it ended; it waits for [Process.Done].
func (p *Process) Exit() Exit {
	<-p.done
	return p.exit
}

// Ended reports whether it has.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Wait waits for the end of the process or of the context.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Signal sends a signal to the process alone.
func (p *Process) Signal(s syscall.Signal) error { return p.kill(p.PID(), s) }

// SignalGroup sends a signal to all of its group.
func (p *Process) SignalGroup(s syscall.Signal) error { return p.kill(-p.PID(), s) }

func (p *Process) kill(pid int, s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return ErrExited
	}
	if err := syscall.Kill(pid, s); err != nil {
		return fmt.Errorf("send %s to process %d: %w", unix.SignalName(s), p.PID(), err)
	}
	return nil
}

// Kill ends all of its group at once and waits for it.
func (p *Process) Kill(ctx context.Context) error {
	if err := p.SignalGroup(syscall.SIGKILL); err != nil && !errors.Is(err, ErrExited) {
		return err
	}
	return p.Wait(ctx)
}

// outputGrace is how long after its end a process's output is still read: a
// grandchild that left the group may hold the pipe open for ever.
const outputGrace = 200 * time.Millisecond

// follow waits for the end. What else is in the group then ends too, as in a
// container whose first process has ended.
func (p *Process) follow() {
	pid := p.PID()
	err := p.reap()
	p.drain()
	_ = p.registry.Forget(pid)
	p.exit = exitOf(p.cmd, err)
	if p.exited != nil {
		p.exited(p.exit)
	}
	close(p.done)
}

func exitOf(cmd *exec.Cmd, err error) Exit {
	e := Exit{PID: cmd.Process.Pid, Code: -1}
	if cmd.ProcessState == nil {
		e.Signal = fmt.Sprint(err)
		return e
	}
	e.Code = cmd.ProcessState.ExitCode()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		e.Signal = ws.Signal().String()
	}
	return e
}

// pipe connects the outputs that the command leaves open to lines. It returns
// the ends that only the child needs.
func (p *Process) pipe(lines *Lines) ([]*os.File, error) {
	if lines == nil {
		return nil, nil
	}
	var ends []*os.File
	connect := func(stream string) (*os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		ends = append(ends, w)
		p.readers = append(p.readers, &reader{lines: lines, stream: stream, pipe: r, done: make(chan struct{})})
		return w, nil
	}
	if p.cmd.Stdout == nil {
		w, err := connect("stdout")
		if err != nil {
			return nil, err
		}
		p.cmd.Stdout = w
	}
	if p.cmd.Stderr == nil {
		w, err := connect("stderr")
		if err != nil {
			p.closePipes()
			return nil, errors.Join(err, closeAll(ends))
		}
		p.cmd.Stderr = w
	}
	return ends, nil
}

func closeAll(files []*os.File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (p *Process) closePipes() {
	for _, r := range p.readers {
		_ = r.pipe.Close()
	}
}

// drain reads the rest of the output, for a bounded time.
func (p *Process) drain() {
	limit := time.Now().Add(outputGrace)
	for _, r := range p.readers {
		_ = r.pipe.SetReadDeadline(limit)
	}
	for _, r := range p.readers {
		<-r.done
		_ = r.pipe.Close()
	}
	if len(p.readers) > 0 {
		p.readers[0].lines.End() // all readers share them
	}
}
