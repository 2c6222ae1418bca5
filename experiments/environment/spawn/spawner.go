// Package spawn starts the child processes of an environment and follows them
// to their end: each in a process group of its own, known to the watcher, with
// its output taken down line by line and its real exit.
package spawn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// Registry is told of every process that must not outlive seatrial; the
// watcher is one.
type Registry interface {
	Add(pid int) error
	Forget(pid int) error
}

// Spawner starts processes from one operating system thread. The kernel sends
// the parent-death signal when the thread that forked ends, and threads of a
// Go program may end at any time; this one stays until [Spawner.Close].
type Spawner struct {
	registry Registry
	work     chan func()
	once     sync.Once
}

// New returns a spawner that tells the registry of its processes.
func New(r Registry) *Spawner {
	s := &Spawner{registry: r, work: make(chan func())}
	go func() {
		// Never unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		for f := range s.work {
			f()
		}
	}()
	return s
}

// Close ends the spawner's thread, and with it, where there is a parent-death
// signal, every process that it started and that still runs. Nothing may be
// started afterwards.
func (s *Spawner) Close() { s.once.Do(func() { close(s.work) }) }

// Spec is a process to be started.
type Spec struct {
	// Path is the program's file, Args what it gets after its own name.
	Path string
	Args []string
	// Env is its whole environment.
	Env []string
	Dir string
	// User, when not nil, is whom it runs as.
	User *syscall.Credential
	// Line hears of every line it prints; see [Lines]. Nil: nobody reads.
	Line *Lines
	// Exited is called once, before [Process.Done] is closed. It may be nil.
	Exited func(Exit)
}

// Start starts a process.
func (s *Spawner) Start(spec Spec) (*Process, error) {
	cmd := exec.Command(spec.Path, spec.Args...) //nolint:noctx // it ends by signals, in an order that matters
	cmd.Env, cmd.Dir = spec.Env, spec.Dir
	cmd.SysProcAttr = attributes(spec.User)
	return s.StartCommand(cmd, spec.Line, spec.Exited)
}

// StartCommand starts a command that somebody else has put together, such as
// one with pipes of its own. Its SysProcAttr gets the process group and the
// parent-death signal. Output goes to line where the command has none yet.
func (s *Spawner) StartCommand(cmd *exec.Cmd, line *Lines, exited func(Exit)) (*Process, error) {
	var user *syscall.Credential
	if cmd.SysProcAttr != nil {
		user = cmd.SysProcAttr.Credential
	}
	cmd.SysProcAttr = attributes(user)
	p := &Process{cmd: cmd, registry: s.registry, exited: exited, done: make(chan struct{})}
	ends, err := p.pipe(line)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	started := make(chan error, 1)
	s.work <- func() { started <- cmd.Start() }
	err = <-started
	for _, end := range ends {
		_ = end.Close()
	}
	if err != nil {
		p.closePipes()
		return nil, describe(cmd, err)
	}
	if err := s.registry.Add(cmd.Process.Pid); err != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		p.closePipes()
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	for _, r := range p.readers {
		go r.run()
	}
	go p.follow()
	return p, nil
}

// describe says in words what the system answered when a program could not be
// started.
func describe(cmd *exec.Cmd, err error) error {
	if _, statErr := os.Stat(cmd.Dir); cmd.Dir != "" && statErr != nil {
		return fmt.Errorf("start %s: its folder cannot be entered: %w", cmd.Path, statErr)
	}
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("start %s: %w", cmd.Path, err)
}

// Run starts a process and waits for its end; when the context ends first, the
// process is killed and the context's error returned.
func (s *Spawner) Run(ctx context.Context, spec Spec) (Exit, error) {
	p, err := s.Start(spec)
	if err != nil {
		return Exit{}, err
	}
	if err := p.Wait(ctx); err != nil {
		return Exit{}, errors.Join(err, p.Kill(context.WithoutCancel(ctx)))
	}
	return p.Exit(), nil
}
