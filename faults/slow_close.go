package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"

	"github.com/seatrial/seatrial/experiments/journal"
)

// SlowClose holds back the closing of connections of a proxied dependency: data
// passes, but a hang-up of the service reaches the dependency late, and one of
// the dependency reaches the service late.
//
// No round trip can show it, so the toxic's own count of delayed closes is the
// evidence; ours are taken off it. In force and exercised: more closes were
// delayed in the window than our round trips account for (each closes once on
// either stream).
type SlowClose struct {
	// Delay is how long a close is held back. Default 2s.
	Delay time.Duration `yaml:"delay" json:"delay,omitempty"`
}

var _ = register("slow_close", func() Fault { return &SlowClose{Delay: 2 * time.Second} })

// String is the fault in one line.
func (f *SlowClose) String() string { return fmt.Sprintf("slow close %v", f.Delay) }

// Supports wants a proxied dependency and a positive delay.
func (f *SlowClose) Supports(t Target) error {
	if f.Delay <= 0 {
		return fmt.Errorf("slow_close: delay %v is not positive", f.Delay)
	}
	_, err := proxied("slow_close", t)
	return err
}

// Inject delays closes on both streams.
func (f *SlowClose) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return injectToxics(ctx, "slow_close", t, []string{Upstream, Downstream}, slowCloseToxic,
		map[string]any{"delay": f.Delay})
}

// Witness counts delayed closes.
func (f *SlowClose) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	count, ours := s.counts(func(trip) bool { return true })
	each := int64(2)
	if w.To != 0 && f.Delay >= w.Length() {
		each = 1 // the other stream's close comes only after the window
	}
	switch {
	case count == 0 && ours > 1:
		return notInForce("%d of our own connections to %q were closed in the window, and no close was delayed", ours, target)
	case count <= each*ours:
		return notExercised("%d closes were delayed on %q, and %d of our own connections may account for them",
			count, target, ours)
	}
	return nil
}

const slowCloseToxic = OwnToxics + "slow_close"

func init() { toxics.Register(slowCloseToxic, new(slowClose)) }

// slowClose is Toxiproxy's slow_close, counted, and removed without a wait.
type slowClose struct {
	counted
	Delay time.Duration `json:"delay"`
}

// NewState is called once for every link.
func (*slowClose) NewState() any { return new(carried) }

// Pipe passes data on until the link is closed or interrupted.
func (t *slowClose) Pipe(stub *toxics.ToxicStub) {
	state := stub.State.(*carried)
	for state.pass(stub) {
		select {
		case <-stub.Interrupt:
			return
		case state.chunk = <-stub.Input:
		}
		if state.chunk != nil {
			continue
		}
		t.count()
		timer := time.NewTimer(t.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
			stub.Close()
		case <-stub.Interrupt: // whoever runs next sees the closed input
		}
		return
	}
}

// Cleanup hands over what is held; a held close then follows.
func (*slowClose) Cleanup(stub *toxics.ToxicStub) { stub.State.(*carried).leave(stub) }
