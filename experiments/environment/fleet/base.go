package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/redact"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// Base is what one environment is made of, whatever it runs in: the replicas,
// the agent before the dependencies, what was leased and is secret, and the way
// down.
type Base struct {
	*Fleet
	Options environment.Options
	Secrets *redact.Secrets

	gate         *gate
	agent        *agent.Agent
	dependencies []faults.Target

	current, next Version
	migrations    atomic.Int32 // how many times migrations were begun

	leasing sync.Mutex
	leases  []*ports.Lease

	ending  sync.Mutex
	stopped bool
	stopErr error
}

// NewBase returns an environment of which nothing runs yet. What happens in it
// is recorded until it is taken down.
func NewBase(c Config, o environment.Options) *Base {
	b := &Base{Options: o, Secrets: &redact.Secrets{}, gate: &gate{Recorder: c.Journal}}
	b.Secrets.Add(c.Subject.Secrets()...)
	c.Journal = b.gate
	b.Fleet = New(c)
	return b
}

// Lease takes a port of this machine's that is given back when the environment
// is taken down.
func (b *Base) Lease() (*ports.Lease, error) {
	l, err := ports.Acquire()
	if err != nil {
		return nil, err
	}
	b.leasing.Lock()
	defer b.leasing.Unlock()
	b.leases = append(b.leases, l)
	return l, nil
}

// NewLines hold what a source prints, and record it without secrets.
func (b *Base) NewLines(source string) *spawn.Lines {
	return spawn.NewLines(source, b.Journal, b.Secrets)
}

// Target returns a dependency or a replica by name.
func (b *Base) Target(name string) (faults.Target, error) {
	var names []string
	for _, t := range b.Targets() {
		if t.Name() == name {
			return t, nil
		}
		names = append(names, t.Name())
	}
	return nil, fmt.Errorf("no target is called %q; there are %v", name, names)
}

// Targets are all dependencies in the subject's order, then all replicas.
func (b *Base) Targets() []faults.Target {
	all := slices.Clone(b.dependencies)
	for _, r := range b.Replicas() {
		all = append(all, r)
	}
	return all
}

// Clean is text without the secrets of the service and of its dependencies.
func (b *Base) Clean(text string) string { return b.Secrets.Clean(text) }

// Flush has everything recorded that the agent still holds.
func (b *Base) Flush(ctx context.Context) error { return b.agent.Flush(ctx) }

// Down takes everything down, all at once unless it has to be in turn: the
// replicas, the agent, and what the backend's own ends are for; then, last,
// what is left. The second call returns what the first one did.
func (b *Base) Down(
	ctx context.Context, ends []func(context.Context) error, last func(context.Context) error,
) error {
	b.ending.Lock()
	defer b.ending.Unlock()
	if b.stopped {
		return b.stopErr
	}
	b.stopped = true
	b.gate.Shut()
	ends = append(ends, b.ends()...)
	if b.agent != nil {
		ends = append(ends, b.agent.Stop)
	}
	end := atOnce
	if b.InTurn {
		end = inTurn
	}
	err := end(ctx, ends)
	b.release()
	b.leasing.Lock()
	defer b.leasing.Unlock()
	for _, l := range b.leases {
		l.Release()
	}
	b.stopErr = errors.Join(err, last(ctx))
	return b.stopErr
}

// atOnce calls functions all at once and returns their errors, joined.
func atOnce(ctx context.Context, ends []func(context.Context) error) error {
	errs := make([]error, len(ends))
	var all sync.WaitGroup
	for i, end := range ends {
		all.Go(func() { errs[i] = end(ctx) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// inTurn calls functions one after the other and returns their errors, joined.
func inTurn(ctx context.Context, ends []func(context.Context) error) error {
	var errs []error
	for _, end := range ends {
		errs = append(errs, end(ctx))
	}
	return errors.Join(errs...)
}

// gate is a recorder that can be shut: what happens while an environment is
// taken down is not part of the run.
type gate struct {
	journal.Recorder
	shut atomic.Bool
}

// Record passes an entry on unless the gate is shut.
func (g *gate) Record(e journal.Entry) {
	if !g.shut.Load() {
		g.Recorder.Record(e)
	}
}

// Shut shuts it for good.
func (g *gate) Shut() { g.shut.Store(true) }
