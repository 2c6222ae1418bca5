// Package process runs a trial's environment as child processes on this
// machine: PostgreSQL and Redis servers, the agent, the service's replicas; and
// a balancer in this process. It needs no container engine.
//
// The program that uses it calls reexec.Hook first of all.
package process

import (
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/gobuild"
	"github.com/seatrial/seatrial/experiments/environment/host"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Backend starts environments of child processes. The zero value is ready.
type Backend struct {
	// AllowTargets are the hosts of dependencies that may be used although they
	// are not on loopback.
	AllowTargets []string

	once    sync.Once
	host    *host.Host
	builder *gobuild.Builder

	mu        sync.Mutex
	templates map[string]*postgres.Template
}

var _ environment.Backend = (*Backend)(nil)

// Name is "process".
func (b *Backend) Name() string { return "process" }

// Prepare checks the subject, builds the service anew, and finds or makes what
// its databases start from.
func (b *Backend) Prepare(ctx context.Context, s *subject.Subject, progress environment.Progress) error {
	if err := b.check(s); err != nil {
		return err
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := b.build(ctx, s, progress, true)
		return err
	})
	for _, d := range s.Dependencies {
		if d.Kind == subject.Postgres && !d.External() {
			group.Go(func() error {
				_, err := b.template(ctx, d, progress)
				return err
			})
		}
	}
	return group.Wait()
}

// open starts the watcher and the spawner where they are not there yet.
func (b *Backend) open(ctx context.Context) error {
	b.once.Do(func() {
		b.host = &host.Host{}
		b.builder = &gobuild.Builder{Host: b.host}
	})
	return b.host.Open(ctx)
}

// build returns the file of the service's program, built anew when asked or
// when it has not been built yet.
func (b *Backend) build(
	ctx context.Context, s *subject.Subject, progress environment.Progress, anew bool,
) (string, error) {
	if s.Service.Build == nil {
		return gobuild.FindCommand(s)
	}
	return b.builder.Build(ctx, s, progress, anew)
}

// template is what a postgres dependency's data directory is copied from.
func (b *Backend) template(
	ctx context.Context, d subject.Dependency, progress environment.Progress,
) (*postgres.Template, error) {
	key := d.Bin + "\x00" + d.Database + "\x00" + d.User
	b.mu.Lock()
	t := b.templates[key]
	b.mu.Unlock()
	if t != nil {
		return t, nil
	}
	scratch, err := b.host.Folder(ctx, "t")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	t, err = postgres.Prepare(ctx, postgres.Host{Spawner: b.host.Spawner(), Scratch: scratch, Progress: progress}, d)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.templates == nil {
		b.templates = map[string]*postgres.Template{}
	}
	b.templates[key] = t
	return t, nil
}

// Start brings a fresh environment up.
func (b *Backend) Start(
	ctx context.Context, s *subject.Subject, rec journal.Recorder, o environment.Options,
) (environment.Environment, error) {
	if err := b.check(s); err != nil {
		return nil, err
	}
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	dir, err := b.host.Folder(ctx, "e")
	if err != nil {
		return nil, err
	}
	e := newEnvironment(b, b.host, s, rec, o, dir)
	if err := e.up(ctx); err != nil {
		return nil, errors.Join(err, e.Stop(context.WithoutCancel(ctx)))
	}
	return e, nil
}

// Close ends the watcher, which kills what is left and removes the scratch
// folder. Caches stay. It is safe to call twice.
func (b *Backend) Close() error {
	b.once.Do(func() { b.host = &host.Host{} })
	return b.host.Close()
}
