package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/host"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Environment is one that runs.
type Environment struct {
	*fleet.Base
	backend *Backend
	host    *host.Host
	dir     string

	program string    // the service's
	next    string    // that of its next version; empty unless it was asked for
	servers []*server // in the subject's order

	migrations atomic.Int32 // how many times migrations were begun
}

var _ environment.Environment = (*Environment)(nil)

func newEnvironment(
	b *Backend, h *host.Host, s *subject.Subject, rec journal.Recorder, o environment.Options, dir string,
) *Environment {
	e := &Environment{backend: b, host: h, dir: dir}
	e.Base = fleet.NewBase(fleet.Config{Subject: s, Journal: rec, New: e.newReplica, OnePort: e.onePort}, o)
	return e
}

// up brings everything up: first all that does not wait for anything else, at
// the same time; then the service.
func (e *Environment) up(ctx context.Context) error {
	if err := e.plan(); err != nil {
		return err
	}
	e.Options.Progress.Say("starting dependencies")
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		e.program, err = e.backend.build(gctx, e.Subject, e.Options.Progress, false)
		return err
	})
	if e.Options.Next {
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
	e.Options.Progress.Say("starting replicas")
	return e.Add(ctx, fleet.Replicas(e.Subject))
}

// buildNext builds the service's next version.
func (e *Environment) buildNext(ctx context.Context) (err error) {
	if e.Subject.Next == nil {
		return errors.New("the subject has no next version; add next: {build: …, migrate: …}")
	}
	e.next, err = e.backend.build(ctx, e.Subject.AsNext(), e.Options.Progress, false)
	return err
}

// onePort says why there can be only one replica: all have the same port.
func (e *Environment) onePort() error {
	for name, port := range fleet.Ports(e.Subject) {
		if port != 0 {
			return fmt.Errorf("port %s of the service is always %d, so it can have one replica", name, port)
		}
	}
	return nil
}

// Stop takes everything down, all at once, and removes what was written.
func (e *Environment) Stop(ctx context.Context) error {
	var ends []func(context.Context) error
	for _, s := range e.servers {
		if s.stop != nil {
			ends = append(ends, s.stop)
		}
	}
	return e.Down(ctx, ends, func(context.Context) error { return os.RemoveAll(e.dir) })
}
