// Package fleet keeps the replicas of one environment, whatever they run in:
// it starts them and waits until they are ready, puts them into the balancer's
// rotation, sends them signals, scales them, and writes all that down. Backends
// hand in how one replica is made and started.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/balancer"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Process is one run of a replica: a child process or a container's.
type Process interface {
	// PID is its first process; it stays what it was after the end.
	PID() int
	// Done is closed when it has ended and all its output has been read.
	Done() <-chan struct{}
	// Ended reports whether it has, Exit how; Exit waits for the end.
	Ended() bool
	Exit() spawn.Exit
	// Wait waits for its end or that of the context.
	Wait(context.Context) error
	// Send sends a signal: SIGSTOP, SIGCONT and SIGKILL to all that belongs to
	// it, others to its first process. [spawn.ErrExited]: it has ended.
	Send(context.Context, syscall.Signal) error
	// Kill ends all of it at once and waits for it.
	Kill(context.Context) error
}

// Unit is how a backend runs one replica.
type Unit struct {
	// Addresses are where seatrial reaches its ports, by name.
	Addresses map[string]string
	// Start starts it, after its end again; exited hears how that run ended.
	Start func(ctx context.Context, exited func(spawn.Exit)) (Process, error)
	// Use has it start another version of the service from now on.
	Use func(version string) error
	// Fronted says that somebody accepts connections for it also while it does
	// not listen, as a container engine's proxy does.
	Fronted bool
	// Lines hold what it prints.
	Lines *spawn.Lines
	// Free gives back what it holds (ports, a container) when it has been taken
	// down for good. It may be nil.
	Free func(context.Context) error
}

// Config is what a fleet is made of.
type Config struct {
	Subject *subject.Subject
	Journal journal.Recorder
	// New makes the replica with a number, from 1 on.
	New func(ctx context.Context, index int, name string) (*Unit, error)
	// Ahead makes what the service's first processes will run in, while its
	// dependencies start. It may be nil.
	Ahead func(context.Context) error
	// InTurn has all of it end one after the other when it is taken down.
	InTurn bool
	// Build makes what a version of the service runs from.
	Build func(context.Context, *subject.Subject) (string, error)
	// Commands runs the commands that come before a version of the service, in
	// order. What they print is recorded as that of source; at is where the file
	// lists them.
	Commands func(ctx context.Context, v Version, source, at string) error
	// OnePort says why there cannot be more than one replica; nil: there can.
	OnePort func() error
}

// Fleet is the replicas of one environment with the balancer before them.
type Fleet struct {
	Config
	// Balancer stands before the replicas.
	Balancer *balancer.Balancer

	probes *http.Client
	leases []*ports.Lease
	fronts map[string]string // port of the service to the balancer's base URL

	mu       sync.Mutex
	replicas []*replica
	started  int // how many replicas were ever made
}

// New returns a fleet without replicas.
func New(c Config) *Fleet {
	return &Fleet{
		Config: c, Balancer: balancer.New(c.Subject.Service.Balancer, c.Journal), fronts: map[string]string{},
		probes: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Open opens a balancer's listener before each port of the service.
func (f *Fleet) Open() error {
	for port := range Ports(f.Subject) {
		lease, err := ports.Acquire()
		if err != nil {
			return err
		}
		f.leases = append(f.leases, lease)
		if err := f.Balancer.Listen(port, lease.Address()); err != nil {
			return err
		}
		f.fronts[port] = "http://" + lease.Address()
	}
	return nil
}

// Endpoint is the base URL of a port of the service, through the balancer;
// empty when there is no such port.
func (f *Fleet) Endpoint(port string) string { return f.fronts[port] }

// Add makes and starts n more replicas and returns when all are ready and in
// rotation.
func (f *Fleet) Add(ctx context.Context, n int) error {
	fresh := make([]*replica, n)
	group, gctx := errgroup.WithContext(ctx)
	for i := range fresh {
		f.mu.Lock()
		f.started++
		index := f.started
		f.mu.Unlock()
		name := environment.ReplicaName(f.Subject.Name, index)
		r := &replica{fleet: f, Keeper: Keeper{Target: name, Journal: f.Journal}}
		fresh[i] = r
		group.Go(func() (err error) {
			r.unit, err = f.New(gctx, index, r.Target)
			return err
		})
	}
	err := group.Wait()
	f.mu.Lock()
	for _, r := range fresh {
		if r.unit != nil {
			f.replicas = append(f.replicas, r)
		}
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	group, gctx = errgroup.WithContext(ctx)
	for _, r := range fresh {
		member := balancer.Backend{Name: r.Target, Addresses: r.unit.Addresses, Probe: r.probe}
		f.Balancer.Add(member) //nolint:contextcheck // it is probed as long as the balancer lives
		group.Go(func() error { return r.Start(gctx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, r := range fresh {
		if err := f.awaitRotation(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// awaitRotation returns when new connections go to a replica that is ready.
func (f *Fleet) awaitRotation(ctx context.Context, r *replica) error {
	for range 20 {
		if f.Balancer.In(r.Target) {
			return nil
		}
		if err := f.Balancer.Check(ctx, r.Target); err != nil {
			return fmt.Errorf("wait for %s: %w", r.Target, err)
		}
	}
	return fmt.Errorf("%s was ready once, and not again right after%s", r.Target, Printed(r.unit.Lines))
}

// Replicas are the replicas that there are now, also stopped ones.
func (f *Fleet) Replicas() []environment.Replica {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]environment.Replica, 0, len(f.replicas))
	for _, r := range f.replicas {
		all = append(all, r)
	}
	return all
}

// Scale starts or stops replicas until there are n. Those that go are the last
// ones: each is deregistered, then terminated within the subject's grace.
func (f *Fleet) Scale(ctx context.Context, n int) error {
	if n < 0 {
		return fmt.Errorf("scale to %d: there is no such number of replicas", n)
	}
	f.mu.Lock()
	now := slices.Clone(f.replicas)
	f.mu.Unlock()
	if n >= len(now) {
		if f.OnePort != nil && n > 1 {
			if err := f.OnePort(); err != nil {
				return fmt.Errorf("scale to %d: %w", n, err)
			}
		}
		return f.Add(ctx, n-len(now))
	}
	var group errgroup.Group
	for _, r := range now[n:] {
		group.Go(func() error { return f.dismiss(ctx, r) })
	}
	return group.Wait()
}

func (f *Fleet) dismiss(ctx context.Context, r *replica) error {
	err := r.Deregister(ctx)
	if err == nil {
		err = r.Terminate(ctx, f.Grace())
	}
	if r.Running() != nil {
		return err // still there, and still ours to stop
	}
	f.mu.Lock()
	f.replicas = slices.DeleteFunc(f.replicas, func(o *replica) bool { return o == r })
	f.mu.Unlock()
	f.Balancer.Remove(r.Target)
	return errors.Join(err, r.end(ctx))
}

// ends are what takes the fleet down; all may be called at once.
func (f *Fleet) ends() []func(context.Context) error {
	ends := []func(context.Context) error{
		func(context.Context) error { f.Balancer.Close(); return nil },
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.replicas {
		ends = append(ends, r.end)
	}
	return ends
}

// release gives the balancer's ports back, when all has ended.
func (f *Fleet) release() {
	for _, l := range f.leases {
		l.Release()
	}
}
