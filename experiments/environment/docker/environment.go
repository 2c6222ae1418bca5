package docker

import (
	"context"
	"fmt"
	"sync"

	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Environment is one that runs.
type Environment struct {
	*fleet.Base
	backend *Backend
	engine  *engine

	scratch string // the mark of all that is its
	network string // the name of its own network
	netID   string
	servers []*server       // in the subject's order
	plain   []faults.Target // the dependencies behind Toxiproxies, where there is no agent

	life     context.Context // ends when it is taken down
	end      context.CancelFunc
	watching sync.WaitGroup

	mu    sync.Mutex
	boxes []*box          // those of the dependencies, and of commands that come before the service
	units map[string]*box // those of the replicas, by name

	starting sync.WaitGroup // dependencies whose containers are being started
	spares   spares
}

var _ environment.Environment = (*Environment)(nil)

func newEnvironment(b *Backend, s *subject.Subject, rec journal.Recorder, o environment.Options) *Environment {
	e := &Environment{backend: b, engine: b.engine, scratch: b.host.Watcher().Scratch(), units: map[string]*box{}}
	e.life, e.end = context.WithCancel(context.Background())
	e.Base = fleet.NewBase(fleet.Config{
		Subject: s, Journal: rec, New: e.newReplica, Commands: e.commands, Ahead: e.ahead,
		InTurn: b.engine.inTurn,
		Build: func(ctx context.Context, s *subject.Subject) (string, error) {
			return b.serviceImage(ctx, s, o.Progress, false)
		},
	}, o)
	return e
}

// labels are what everything of this environment carries in the engine.
func (e *Environment) labels() map[string]string {
	return map[string]string{
		labelScratch: e.scratch, labelTrial: e.Options.Trial, labelRun: e.Options.Run,
	}
}

// up brings everything up.
func (e *Environment) up(ctx context.Context) error {
	if err := e.openNetwork(ctx); err != nil {
		return err
	}
	if err := e.plan(); err != nil {
		return err
	}
	proxies := e.startAgent
	if e.Subject.Agentless() {
		proxies = e.startToxiproxies
	}
	starts := []func(context.Context) error{proxies}
	for _, s := range e.servers {
		if s.start == nil {
			continue
		}
		e.starting.Add(1)
		starts = append(starts, func(ctx context.Context) error { return e.bring(ctx, s) })
	}
	return e.Bring(ctx, starts)
}

// bring starts a dependency and returns when it can be used.
func (e *Environment) bring(ctx context.Context, s *server) error {
	p, err := s.start(ctx)
	e.starting.Done()
	if err != nil {
		return err
	}
	return s.await(ctx, p)
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

// own has a box removed with the environment.
func (e *Environment) own(b *box) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.boxes = append(e.boxes, b)
}

// Stop takes everything down, all at once, and removes the network.
func (e *Environment) Stop(ctx context.Context) error {
	e.end()
	e.watching.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	ends := e.spares.ends()
	for _, b := range e.boxes {
		ends = append(ends, b.remove)
	}
	return e.Down(ctx, ends, func(ctx context.Context) error {
		if e.netID == "" {
			return nil
		}
		return e.engine.removeNetwork(ctx, e.netID)
	})
}
