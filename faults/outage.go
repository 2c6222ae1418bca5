package faults

import (
	"context"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Outage closes the listener of a proxied dependency and cuts its connections,
// like a process that has died: connects are refused.
//
// In force: every dial of ours in the window was refused. Exercised: the
// service used the dependency just before, or held connections that were cut.
type Outage struct{}

var _ = register("outage", func() Fault { return new(Outage) })

// String is the fault in one line.
func (*Outage) String() string { return "outage" }

// Supports wants a proxied dependency.
func (*Outage) Supports(t Target) error {
	_, err := proxied("outage", t)
	return err
}

// Inject disables the proxy.
func (*Outage) Inject(ctx context.Context, t Target) (Injection, error) {
	p, err := proxied("outage", t)
	if err != nil {
		return nil, err
	}
	u := new(undo)
	u.add(func(ctx context.Context) error { return p.SetEnabled(ctx, true) })
	if err := p.SetEnabled(ctx, false); err != nil {
		return nil, u.fail(ctx, fmt.Errorf("outage: %w", err))
	}
	return u, nil
}

// Witness wants every dial refused.
func (*Outage) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	if err := s.every("was refused", journal.ErrRefused); err != nil {
		return err
	}
	return s.cut()
}

// every wants all trips that ended in the window to have failed in one of the
// given ways.
func (s scene) every(what string, errs ...string) error {
	trips := finished(s.trips(s.w), s.w)
	if len(trips) == 0 {
		return notInForce("no round trip was made in the window")
	}
	for _, t := range trips {
		if !slices.Contains(errs, t.Err) {
			how := t.Err
			if how == "" {
				how = fmt.Sprintf("an answer after %v", round(t.Dial+t.RTT))
			}
			return notInForce("of %d round trips not every one %s: the one at %v got %s", len(trips), what, t.at, how)
		}
	}
	return nil
}
