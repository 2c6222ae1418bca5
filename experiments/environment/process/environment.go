package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/host"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/redact"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Environment is one that runs.
type Environment struct {
	*fleet.Fleet
	backend *Backend
	host    *host.Host
	subject *subject.Subject
	options environment.Options
	journal *fleet.Gate
	secrets *redact.Secrets
	dir     string

	program string // the service's
	next    string // that of its next version; empty unless it was asked for
	agent   *agent.Agent
	servers []*server // in the subject's order
	leases  []*ports.Lease

	migrations atomic.Int32 // how many times migrations were begun
	leasing    sync.Mutex   // over leases: migrations may run at the same time

	mu      sync.Mutex
	stopped bool
	stopErr error
}

var _ environment.Environment = (*Environment)(nil)

func newEnvironment(
	b *Backend, h *host.Host, s *subject.Subject, rec journal.Recorder, o environment.Options, dir string,
) *Environment {
	e := &Environment{
		backend: b, host: h, subject: s, options: o, dir: dir,
		journal: &fleet.Gate{Recorder: rec}, secrets: &redact.Secrets{},
	}
	e.secrets.Add(s.Secrets()...)
	e.Fleet = fleet.New(fleet.Config{Subject: s, Journal: e.journal, New: e.newReplica, OnePort: e.onePort})
	return e
}

// up brings everything up: first all that does not wait for anything else, at
// the same time; then the service.
func (e *Environment) up(ctx context.Context) error {
	if err := e.plan(); err != nil {
		return err
	}
	e.options.Progress.Say("starting dependencies")
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		e.program, err = e.backend.build(gctx, e.subject, e.options.Progress, false)
		return err
	})
	if e.options.Next {
		group.Go(func() error { return e.buildNext(gctx) })
	}
	group.Go(func() error { return e.startAgent(gctx) })
	for _, s := range e.servers {
		if s.start != nil {
			group.Go(func() error { return s.start(gctx) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := e.before(ctx); err != nil {
		return err
	}
	if err := e.Open(); err != nil {
		return err
	}
	e.options.Progress.Say("starting replicas")
	return e.Add(ctx, fleet.Replicas(e.subject))
}

// buildNext builds the service's next version.
func (e *Environment) buildNext(ctx context.Context) (err error) {
	if e.subject.Next == nil {
		return errors.New("the subject has no next version; add next: {build: …, migrate: …}")
	}
	e.next, err = e.backend.build(ctx, e.subject.AsNext(), e.options.Progress, false)
	return err
}

func (e *Environment) lease() (*ports.Lease, error) {
	l, err := ports.Acquire()
	if err != nil {
		return nil, err
	}
	e.leasing.Lock()
	defer e.leasing.Unlock()
	e.leases = append(e.leases, l)
	return l, nil
}

// Target returns a dependency or a replica by name.
func (e *Environment) Target(name string) (faults.Target, error) {
	return fleet.Target(e.Targets(), name)
}

// Targets are all dependencies in the subject's order, then all replicas.
func (e *Environment) Targets() []faults.Target {
	var all []faults.Target
	for _, s := range e.servers {
		all = append(all, s.target)
	}
	return e.Fleet.Targets(all)
}

// onePort says why there can be only one replica: all have the same port.
func (e *Environment) onePort() error {
	for name, port := range fleet.Ports(e.subject) {
		if port != 0 {
			return fmt.Errorf("port %s of the service is always %d, so it can have one replica", name, port)
		}
	}
	return nil
}

// Clean is text without the secrets of the service and of its dependencies.
func (e *Environment) Clean(text string) string { return e.secrets.Clean(text) }

// Flush has everything recorded that the agent still holds.
func (e *Environment) Flush(ctx context.Context) error { return e.agent.Flush(ctx) }

// Stop takes everything down, all at once, and removes what was written.
func (e *Environment) Stop(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return e.stopErr
	}
	e.stopped = true
	e.journal.Shut()
	ends := e.Ends()
	if e.agent != nil {
		ends = append(ends, e.agent.Stop)
	}
	for _, s := range e.servers {
		if s.stop != nil {
			ends = append(ends, s.stop)
		}
	}
	err := fleet.End(ctx, ends)
	e.Release()
	for _, l := range e.leases {
		l.Release()
	}
	e.stopErr = errors.Join(err, os.RemoveAll(e.dir))
	return e.stopErr
}
