// Package process runs a trial's environment as child processes on this
// machine: PostgreSQL and Redis servers, the agent, the service's replicas; and
// a balancer in this process. It needs no container engine.
//
// The program that uses it calls reexec.Hook first of all.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/environment/watcher"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Backend starts environments of child processes. The zero value is ready.
type Backend struct {
	// AllowRemote permits tcp dependencies that are not on loopback.
	AllowRemote bool

	mu        sync.Mutex
	host      *host
	builds    map[string]string // by buildKey, to the binary
	templates map[string]*postgres.Template
	serial    int
	closed    bool
}

// host is what all environments of a backend share: the watcher, which is
// started before everything else, and the thread that starts processes.
type host struct {
	watcher *watcher.Watcher
	spawner *spawn.Spawner
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
	if _, err := b.open(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := b.build(ctx, s, progress, true)
		return err
	})
	for _, d := range s.Dependencies {
		if d.Kind == subject.Postgres {
			group.Go(func() error {
				_, err := b.template(ctx, d, progress)
				return err
			})
		}
	}
	return group.Wait()
}

// open starts the watcher and the spawner where they are not there yet.
func (b *Backend) open(ctx context.Context) (*host, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, errors.New("the process backend has been closed")
	}
	if b.host == nil {
		w, err := watcher.Start(ctx, "")
		if err != nil {
			return nil, err
		}
		b.host = &host{watcher: w, spawner: spawn.New(w)}
	}
	return b.host, nil
}

// folder makes a new folder below the scratch folder.
func (b *Backend) folder(ctx context.Context, name string) (string, error) {
	h, err := b.open(ctx)
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	b.serial++
	dir := filepath.Join(h.watcher.Scratch(), name+strconv.Itoa(b.serial))
	b.mu.Unlock()
	if err := os.Mkdir(dir, 0o711); err != nil { //nolint:gosec // servers run as another user pass through it
		return "", fmt.Errorf("make a scratch folder: %w", err)
	}
	return dir, nil
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
	h, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	scratch, err := b.folder(ctx, "t")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	t, err = postgres.Prepare(ctx, postgres.Host{Spawner: h.spawner, Scratch: scratch, Progress: progress}, d)
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
	h, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := b.folder(ctx, "e")
	if err != nil {
		return nil, err
	}
	e := newEnvironment(b, h, s, rec, o, dir)
	if err := e.up(ctx); err != nil {
		return nil, errors.Join(err, e.Stop(context.WithoutCancel(ctx)))
	}
	return e, nil
}

// Close ends the watcher, which kills what is left and removes the scratch
// folder. Caches stay. It is safe to call twice.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.host == nil {
		return nil
	}
	err := b.host.watcher.Close()
	b.host.spawner.Close()
	b.host = nil
	return err
}
