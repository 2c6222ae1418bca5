package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/balancer"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/redact"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// stopGrace is how long replicas have to end when the environment is taken
// down: what they would still do concerns nobody.
const stopGrace = 100 * time.Millisecond

// Environment is one that runs.
type Environment struct {
	backend *Backend
	host    *host
	subject *subject.Subject
	options environment.Options
	journal *gate
	secrets *redact.Secrets
	dir     string
	probes  *http.Client

	balancer *balancer.Balancer
	program  string // the service's
	agent    *agent.Agent
	servers  []*server // in the subject's order
	leases   []*ports.Lease
	fronts   map[string]string // port of the service to the balancer's base URL

	mu       sync.Mutex
	replicas []*replica
	started  int // how many replicas were ever made
	stopped  bool
	stopErr  error
}

var _ environment.Environment = (*Environment)(nil)

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

func newEnvironment(
	b *Backend, h *host, s *subject.Subject, rec journal.Recorder, o environment.Options, dir string,
) *Environment {
	e := &Environment{
		backend: b, host: h, subject: s, options: o, dir: dir,
		journal: &gate{Recorder: rec}, secrets: &redact.Secrets{}, fronts: map[string]string{},
		probes: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	e.secrets.Add(s.Secrets()...)
	e.balancer = balancer.New(s.Service.Balancer, e.journal)
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
	if err := e.openBalancer(); err != nil {
		return err
	}
	e.options.Progress.Say("starting replicas")
	return e.add(ctx, replicas(e.subject))
}

// openBalancer opens a listener before each port of the service.
func (e *Environment) openBalancer() error {
	for port := range servicePorts(e.subject) {
		lease, err := e.lease()
		if err != nil {
			return err
		}
		if err := e.balancer.Listen(port, lease.Address()); err != nil {
			return err
		}
		e.fronts[port] = "http://" + lease.Address()
	}
	return nil
}

func (e *Environment) lease() (*ports.Lease, error) {
	l, err := ports.Acquire()
	if err != nil {
		return nil, err
	}
	e.leases = append(e.leases, l)
	return l, nil
}

// add makes and starts n more replicas and returns when all are ready and in
// rotation.
func (e *Environment) add(ctx context.Context, n int) error {
	fresh := make([]*replica, 0, n)
	for range n {
		e.mu.Lock()
		e.started++
		index := e.started
		e.mu.Unlock()
		r, err := e.newReplica(index)
		if err != nil {
			return err
		}
		fresh = append(fresh, r)
		e.mu.Lock()
		e.replicas = append(e.replicas, r)
		e.mu.Unlock()
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, r := range fresh {
		addresses := map[string]string{}
		for port := range r.ports {
			addresses[port] = r.address(port)
		}
		member := balancer.Backend{Name: r.name, Addresses: addresses, Probe: r.probe}
		e.balancer.Add(member) //nolint:contextcheck // it is probed as long as the balancer lives
		group.Go(func() error { return r.Start(gctx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, r := range fresh {
		if err := e.awaitRotation(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// awaitRotation returns when new connections go to a replica that is ready.
func (e *Environment) awaitRotation(ctx context.Context, r *replica) error {
	for range 20 {
		if e.balancer.In(r.name) {
			return nil
		}
		if err := e.balancer.Check(ctx, r.name); err != nil {
			return fmt.Errorf("wait for %s: %w", r.name, err)
		}
	}
	return fmt.Errorf("%s was ready once, and not again right after%s", r.name, printed(r.lines))
}

// Target returns a dependency or a replica by name.
func (e *Environment) Target(name string) (faults.Target, error) {
	var names []string
	for _, t := range e.Targets() {
		if t.Name() == name {
			return t, nil
		}
		names = append(names, t.Name())
	}
	return nil, fmt.Errorf("no target is called %q; there are %v", name, names)
}

// Targets are all dependencies in the subject's order, then all replicas.
func (e *Environment) Targets() []faults.Target {
	var all []faults.Target
	for _, s := range e.servers {
		all = append(all, s.target)
	}
	for _, r := range e.Replicas() {
		all = append(all, r)
	}
	return all
}

// Endpoint is the base URL of a port of the service, through the balancer;
// empty when there is no such port.
func (e *Environment) Endpoint(port string) string { return e.fronts[port] }

// Replicas are the replicas that there are now, also stopped ones.
func (e *Environment) Replicas() []environment.Replica {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]environment.Replica, 0, len(e.replicas))
	for _, r := range e.replicas {
		all = append(all, r)
	}
	return all
}

// Scale starts or stops replicas until there are n. Those that go are the last
// ones: each is deregistered, then terminated within the subject's grace.
func (e *Environment) Scale(ctx context.Context, n int) error {
	if n < 0 {
		return fmt.Errorf("scale to %d: there is no such number of replicas", n)
	}
	e.mu.Lock()
	now := slices.Clone(e.replicas)
	e.mu.Unlock()
	if n >= len(now) {
		if err := e.fixedPort(); n > 1 && err != nil {
			return fmt.Errorf("scale to %d: %w", n, err)
		}
		return e.add(ctx, n-len(now))
	}
	grace := e.subject.Service.Stop.Grace
	if grace <= 0 {
		grace = 30 * time.Second
	}
	var group errgroup.Group
	for _, r := range now[n:] {
		group.Go(func() error { return e.dismiss(ctx, r, grace) })
	}
	return group.Wait()
}

func (e *Environment) fixedPort() error {
	for name, port := range servicePorts(e.subject) {
		if port != 0 {
			return fmt.Errorf("port %s of the service is always %d, so it can have one replica", name, port)
		}
	}
	return nil
}

func (e *Environment) dismiss(ctx context.Context, r *replica, grace time.Duration) error {
	err := r.Deregister(ctx)
	if err == nil {
		err = r.Terminate(ctx, grace)
	}
	if r.running() != nil {
		return err // still there, and still ours to stop
	}
	e.mu.Lock()
	e.replicas = slices.DeleteFunc(e.replicas, func(o *replica) bool { return o == r })
	e.mu.Unlock()
	e.balancer.Remove(r.name)
	return errors.Join(err, r.end(ctx))
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
	e.journal.shut.Store(true)
	ends := []func(context.Context) error{
		func(context.Context) error { e.balancer.Close(); return nil },
	}
	if e.agent != nil {
		ends = append(ends, e.agent.Stop)
	}
	for _, r := range e.replicas {
		ends = append(ends, r.end)
	}
	for _, s := range e.servers {
		if s.stop != nil {
			ends = append(ends, s.stop)
		}
	}
	errs := make([]error, len(ends))
	var all sync.WaitGroup
	for i, end := range ends {
		all.Go(func() { errs[i] = end(ctx) })
	}
	all.Wait()
	for _, l := range e.leases {
		l.Release()
	}
	e.stopErr = errors.Join(append(errs, os.RemoveAll(e.dir))...)
	return e.stopErr
}
