package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ConnectBlackhole lets new connects to a dependency hang, as behind a firewall
// that drops packets. The proxy's listener is closed for it, so that pooled
// connections are cut too. It needs Linux.
//
// In force: no dial of ours that began in the window succeeded or was refused.
// Exercised: as with [Outage].
type ConnectBlackhole struct{}

var _ = register("connect_blackhole", func() Fault { return new(ConnectBlackhole) })

// String is the fault in one line.
func (*ConnectBlackhole) String() string { return "connect blackhole" }

// Supports wants a target whose listener can be replaced.
func (*ConnectBlackhole) Supports(t Target) error {
	_, err := dialled(t)
	return err
}

func dialled(t Target) (Dialled, error) {
	d, ok := t.(Dialled)
	if !ok {
		return nil, fmt.Errorf("connect_blackhole: the listener of %q (%s) cannot be replaced", t.Name(), t.Kind())
	}
	return d, nil
}

// Inject holds connects.
func (*ConnectBlackhole) Inject(ctx context.Context, t Target) (Injection, error) {
	d, err := dialled(t)
	if err != nil {
		return nil, err
	}
	u := new(undo)
	u.add(d.ReleaseConnects)
	if err := d.HoldConnects(ctx); err != nil {
		return nil, u.fail(ctx, fmt.Errorf("connect_blackhole: %w", err))
	}
	return u, nil
}

// Witness wants every dial to hang.
func (*ConnectBlackhole) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	trips := s.trips(w)
	for _, t := range trips {
		if t.Err == journal.ErrRefused && (w.To == 0 || t.ended() <= w.To) {
			return notInForce("the dial at %v was refused", t.at)
		}
	}
	if err := s.unanswered(trips); err != nil {
		return err
	}
	return s.cut()
}
