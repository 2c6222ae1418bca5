package docker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/redact"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Environment is one that runs.
type Environment struct {
	*fleet.Fleet
	backend *Backend
	engine  *engine
	subject *subject.Subject
	options environment.Options
	journal *fleet.Gate
	secrets *redact.Secrets

	scratch string // the mark of all that is its
	network string // the name of its own network
	netID   string
	image   string // the service's
	agent   *agent.Agent
	servers []*server // in the subject's order

	mu      sync.Mutex
	leases  []*ports.Lease
	boxes   []*box // those of the dependencies
	stopped bool
	stopErr error
}

var _ environment.Environment = (*Environment)(nil)

func newEnvironment(b *Backend, s *subject.Subject, rec journal.Recorder, o environment.Options) *Environment {
	e := &Environment{
		backend: b, engine: b.engine, subject: s, options: o, scratch: b.host.Watcher().Scratch(),
		journal: &fleet.Gate{Recorder: rec}, secrets: &redact.Secrets{},
	}
	e.secrets.Add(s.Secrets()...)
	e.Fleet = fleet.New(fleet.Config{Subject: s, Journal: e.journal, New: e.newReplica})
	return e
}

// labels are what everything of this environment carries in the engine.
func (e *Environment) labels() map[string]string {
	return map[string]string{
		labelScratch: e.scratch, labelTrial: e.options.Trial, labelRun: e.options.Run,
	}
}

// up brings everything up: first all that does not wait for anything else, at
// the same time; then the service.
func (e *Environment) up(ctx context.Context) error {
	if err := e.openNetwork(ctx); err != nil {
		return err
	}
	if err := e.plan(); err != nil {
		return err
	}
	e.options.Progress.Say("starting dependencies")
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		e.image, err = e.backend.serviceImage(gctx, e.subject, e.options.Progress, false)
		return err
	})
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

func (e *Environment) openNetwork(ctx context.Context) error {
	labels := e.labels()
	testcontainers.AddGenericLabels(labels)
	n, err := tcnetwork.New(ctx, tcnetwork.WithLabels(labels))
	if err != nil {
		return fmt.Errorf("make the trial's network: %w", err)
	}
	e.network, e.netID = n.Name, n.ID
	return nil
}

// lease takes a port of this machine's for something to be published on.
func (e *Environment) lease() (*ports.Lease, error) {
	l, err := ports.Acquire()
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leases = append(e.leases, l)
	return l, nil
}

// own has a box removed with the environment.
func (e *Environment) own(b *box) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.boxes = append(e.boxes, b)
}

func (e *Environment) lines(source string) *spawn.Lines {
	return spawn.NewLines(source, e.journal, e.secrets)
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

// Clean is text without the secrets of the service and of its dependencies.
func (e *Environment) Clean(text string) string { return e.secrets.Clean(text) }

// Flush has everything recorded that the agent still holds.
func (e *Environment) Flush(ctx context.Context) error { return e.agent.Flush(ctx) }

// Stop takes everything down, all at once.
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
	for _, b := range e.boxes {
		ends = append(ends, b.remove)
	}
	e.stopErr = fleet.End(ctx, ends)
	e.Release()
	for _, l := range e.leases {
		l.Release()
	}
	if e.netID != "" {
		e.stopErr = errors.Join(e.stopErr, e.engine.removeNetwork(ctx, e.netID))
	}
	return e.stopErr
}
