package process

import (
	"context"
	"fmt"
	"os"

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

	servers []*server // in the subject's order
}

var _ environment.Environment = (*Environment)(nil)

func newEnvironment(
	b *Backend, h *host.Host, s *subject.Subject, rec journal.Recorder, o environment.Options, dir string,
) *Environment {
	e := &Environment{backend: b, host: h, dir: dir}
	e.Base = fleet.NewBase(fleet.Config{
		Subject: s, Journal: rec, New: e.newReplica, Commands: e.commands, OnePort: e.onePort,
		Build: func(ctx context.Context, s *subject.Subject) (string, error) {
			return b.build(ctx, s, o.Progress, false)
		},
	}, o)
	return e
}

// up brings everything up.
func (e *Environment) up(ctx context.Context) error {
	if err := e.plan(); err != nil {
		return err
	}
	starts := []func(context.Context) error{e.startAgent}
	for _, s := range e.servers {
		if s.start != nil {
			starts = append(starts, s.start)
		}
	}
	return e.Bring(ctx, starts)
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
