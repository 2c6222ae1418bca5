package experiments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// background runs work beside the rest of the run. Its stop waits for the work
// to end by itself, as long as stop's own context allows, and returns its
// error.
func background(ctx context.Context, work func(context.Context) error) func(context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	return func(stop context.Context) error {
		defer cancel()
		select {
		case err := <-done:
			return err
		case <-stop.Done():
			cancel()
			err := <-done
			if errors.Is(err, context.Canceled) {
				err = nil // by us
			}
			return errors.Join(fmt.Errorf("the operation did not end in time: %w", stop.Err()), err)
		}
	}
}

// onReplica says why an operation that works on one replica cannot work on the
// target; an empty target is refused too.
func onReplica(s *subject.Subject, target string) error {
	t, err := plannedTarget(s, target)
	if err != nil {
		return err
	}
	if t.Kind() != KindReplica {
		return fmt.Errorf("%s is a %s, not a replica", target, t.Kind())
	}
	return nil
}

// onService says why an operation on the service as a whole cannot take a
// target.
func onService(target string) error {
	if target != "" {
		return fmt.Errorf("this works on the service as a whole; leave out `on: %s`", target)
	}
	return nil
}

// answered is the witness of an operation that sends: something of what it sent
// since the window began was answered. Said is that of one entry: whether it was
// sent at all, and whether an answer came. Things names what was sent.
func answered[T journal.Body](j journal.Journal, w journal.Window, things string, said func(T) (sent, ok bool)) error {
	all := 0
	for e, body := range journal.Of[T](j) {
		sent, ok := said(body)
		switch {
		case e.At < w.From || !sent:
			continue
		case ok:
			return nil
		}
		all++
	}
	return fmt.Errorf("%w: of %d %s none was answered", faults.ErrNotInForce, all, things)
}

// measuredWithin bounds the wait for the figure of an earlier step that takes
// longer than planned.
const measuredWithin = 2 * time.Second

// measured is a figure that an earlier step records; where that step is still
// at it, its end is waited for. False when the figure does not come.
func (x *Execution) measured(ctx context.Context, name string) (journal.Quantity, bool) {
	late := time.NewTimer(measuredWithin)
	defer late.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if q, ok := x.Measured(name); ok {
			return q, true
		}
		select {
		case <-tick.C:
		case <-late.C:
			return journal.Quantity{}, false
		case <-ctx.Done():
			return journal.Quantity{}, false
		}
	}
}

func replica(x *Execution, name string) (environment.Replica, error) {
	for _, r := range x.Environment.Replicas() {
		if r.Name() == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no replica called %q now", name)
}
