// Package docker runs a trial's environment in containers, by testcontainers: a
// network for each run, in which PostgreSQL, Redis and other images stand
// behind the agent, and the service's replicas find all of them by name. What
// seatrial itself reaches is published on 127.0.0.1; no container needs a way
// back. The balancer is in this process, as in the process environment.
//
// The program that uses it calls reexec.Hook first of all.
package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/gobuild"
	"github.com/seatrial/seatrial/experiments/environment/host"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Backend starts environments of containers. The zero value is ready.
type Backend struct {
	// AllowTargets are the hosts of tcp dependencies that may be used although
	// they are somewhere else.
	AllowTargets []string

	mu      sync.Mutex
	host    *host.Host
	builder *gobuild.Builder
	engine  *engine
	agent   string            // the agent's image; empty: not looked for yet
	images  map[string]string // the services' images, by what they are made from

	initialising sync.Mutex
	databases    map[string]database // by what they are made from

	packets   sync.Once // asked whether packets can be disturbed
	noPackets error     // why not
}

var _ environment.Backend = (*Backend)(nil)

// Name is "docker".
func (b *Backend) Name() string { return "docker" }

// Prepare checks the subject, finds or pulls the images, and builds the agent's,
// those of databases, and, anew, the service's.
func (b *Backend) Prepare(ctx context.Context, s *subject.Subject, progress environment.Progress) error {
	if err := b.check(s); err != nil {
		return err
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := b.serviceImage(ctx, s, progress, true)
		return err
	})
	group.Go(func() error {
		if s.Agentless() {
			return b.engine.ensure(ctx, toxiproxyPicture(s), progress)
		}
		_, err := b.agentImage(ctx, s, progress)
		return err
	})
	for _, d := range s.Dependencies {
		p, ok := pictureOf(d)
		switch {
		case d.Kind == subject.Postgres:
			group.Go(func() error {
				_, err := b.database(ctx, d, progress, true)
				return err
			})
		case ok:
			group.Go(func() error { return b.engine.ensure(ctx, p, progress) })
		}
	}
	return group.Wait()
}

// open connects to the engine and starts the watcher where that has not been
// done yet.
func (b *Backend) open(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.host == nil {
		b.host = &host.Host{}
		b.builder = &gobuild.Builder{Host: b.host, Env: []string{"CGO_ENABLED=0", "GOOS=linux"}}
		b.images, b.databases = map[string]string{}, map[string]database{}
	}
	if err := b.host.Open(ctx); err != nil {
		return err
	}
	if b.engine != nil {
		return nil
	}
	g, err := connect(ctx)
	if err != nil {
		return err
	}
	if err := b.host.Watcher().Use(cleaner); err != nil {
		return errors.Join(err, g.client.Close())
	}
	b.engine = g
	return nil
}

// Start brings a fresh environment up.
func (b *Backend) Start(
	ctx context.Context, s *subject.Subject, rec journal.Recorder, o environment.Options,
) (environment.Environment, error) {
	if err := b.check(s); err != nil {
		return nil, err
	}
	if o.Next {
		if err := checkNext(s); err != nil {
			return nil, err
		}
	}
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	e := newEnvironment(b, s, rec, o)
	if err := e.up(ctx); err != nil {
		return nil, errors.Join(err, e.Stop(context.WithoutCancel(ctx)))
	}
	return e, nil
}

// Close ends the watcher, which removes what is left. Images stay. It is safe to
// call twice.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.host == nil {
		b.host = &host.Host{}
	}
	err := b.host.Close()
	if b.engine != nil {
		err = errors.Join(err, b.engine.client.Close())
		b.engine = nil
	}
	return err
}

// check holds a subject against what this backend can do.
func (b *Backend) check(s *subject.Subject) error {
	c := s.Service.Container
	if s.Service.Build == nil && c.Image == "" && c.Dockerfile == "" {
		return errNoImage
	}
	if err := fleet.Check(s, b.AllowTargets); err != nil {
		return err
	}
	for _, d := range s.Dependencies {
		if d.External() {
			return fmt.Errorf("%s: containers do not use a server that runs already; "+
				"leave its address out, or use the process environment", d.Name)
		}
		if d.Kind == subject.HTTP && s.Agentless() {
			return fmt.Errorf("%s: %s", d.Name, subject.StubNeedsAgent)
		}
		if host, _, err := net.SplitHostPort(d.Address); err == nil && subject.Loopback(host) && !d.Contained(s) {
			return fmt.Errorf("%s: %s is this machine's own, which containers do not reach; give it an image", d.Name, d.Address)
		}
	}
	return nil
}

// checkNext says that a next version would be tried by the image of the present
// one.
func checkNext(s *subject.Subject) error {
	if s.Next == nil || s.Next.Build == nil && len(s.Next.Command) == 0 {
		return nil
	}
	next := s.AsNext()
	if c := next.Service.Container; c.Image == "" && c.Dockerfile == "" || imageKey(s) != imageKey(next) {
		return nil
	}
	return errors.New("the next version is built otherwise, and its image is that of the present one; " +
		"give next.container what makes the difference, such as args, a target or an image")
}
