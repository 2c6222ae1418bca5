package docker

import (
	"context"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/subject"
)

// holder holds the container of one replica: a fresh one for each version of the
// service that it is told to run.
type holder struct {
	environment *Environment
	name        string
	values      map[string]string // what its references stand for
	publish     map[int]int
	edit        func(*order)
	lines       *spawn.Lines

	wanted  fleet.Version // what it runs from its next start on
	box     *box
	version *subject.Subject // that the box is of; nil: there is none
}

// use says which version runs from the next start on.
func (h *holder) use(version string) (err error) {
	h.wanted, err = h.environment.Version(version)
	return err
}

// make makes the container of the version that is wanted.
func (h *holder) make(ctx context.Context) error {
	o, err := h.environment.order(h.wanted, h.environment.scope(false).With(h.values))
	if err != nil {
		return err
	}
	h.edit(&o)
	o.aliases, o.publish = []string{h.name}, h.publish
	if h.box, err = h.environment.make(ctx, plain, o, h.lines); err != nil {
		return err
	}
	h.environment.remember(h.name, h.box)
	h.version = h.wanted.Subject
	return nil
}

// start starts the container, another one where it is of another version.
func (h *holder) start(ctx context.Context, exited func(spawn.Exit)) (fleet.Process, error) {
	if h.version != h.wanted.Subject {
		if err := h.remove(ctx); err != nil {
			return nil, err
		}
		if err := h.make(ctx); err != nil {
			return nil, err
		}
	}
	r, err := h.box.start(ctx, exited, nil)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// remove removes the container, running or not.
func (h *holder) remove(ctx context.Context) error {
	if h.box == nil {
		return nil
	}
	if err := h.box.remove(ctx); err != nil {
		return err
	}
	h.box, h.version = nil, nil
	return nil
}
