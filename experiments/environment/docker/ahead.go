package docker

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/render"
)

// spares are containers that were made before they are needed. The zero value
// holds none.
type spares struct {
	mu    sync.Mutex
	units map[string]*fleet.Unit // the replicas', by name
	boxes map[string][]*box      // the commands', by what they are made from
}

// ahead makes the containers of the service while its dependencies start: those
// of the commands that come before it and those of its first replicas. It
// gives way to the dependencies' own, which everything waits for.
func (e *Environment) ahead(ctx context.Context) error {
	e.starting.Wait()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.commandsAhead(ctx) })
	for i := range fleet.Replicas(e.Subject) {
		name := environment.ReplicaName(e.Subject.Name, i+1)
		group.Go(func() error {
			u, err := e.newReplica(ctx, i+1, name)
			if err != nil {
				return err
			}
			e.spares.keepUnit(name, u)
			return nil
		})
	}
	return group.Wait()
}

func (e *Environment) commandsAhead(ctx context.Context) error {
	v, scope := e.Current(), e.commandScope(fleet.SourceBefore)
	for i, c := range v.Service.Before {
		command, err := fleet.Render(c, scope)
		if err == nil {
			err = e.commandAhead(ctx, v, command, scope)
		}
		if err != nil {
			return fmt.Errorf("service.before[%d]: %w", i, err)
		}
	}
	return nil
}

func (e *Environment) commandAhead(ctx context.Context, v fleet.Version, c fleet.Command, scope render.Scope) error {
	o, err := e.commandOrder(v, c, scope)
	if err != nil {
		return err
	}
	made, err := e.make(ctx, plain, o, nil)
	if err != nil {
		return err
	}
	e.own(made)
	e.spares.keepBox(o, made)
	return nil
}

func (s *spares) keepUnit(name string, u *fleet.Unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.units == nil {
		s.units = map[string]*fleet.Unit{}
	}
	s.units[name] = u
}

// unit hands a replica out; nil when it has not been made.
func (s *spares) unit(name string) *fleet.Unit {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.units[name]
	delete(s.units, name)
	return u
}

func (s *spares) keepBox(o order, b *box) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boxes == nil {
		s.boxes = map[string][]*box{}
	}
	s.boxes[o.String()] = append(s.boxes[o.String()], b)
}

// box hands a container out that was made from such an order; nil when there is
// none.
func (s *spares) box(o order) *box {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.boxes[o.String()]
	if len(all) == 0 {
		return nil
	}
	s.boxes[o.String()] = all[1:]
	return all[0]
}

// ends are what takes the replicas down that nobody asked for; a command's
// container belongs to its environment all the same.
func (s *spares) ends() (ends []func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.units {
		ends = append(ends, u.Free)
	}
	clear(s.units)
	return ends
}
