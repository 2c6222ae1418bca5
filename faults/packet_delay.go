package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// PacketDelay delays every packet that leaves a container, a replica's or a
// dependency's, in its own network, connects and our own polls included: a far
// region, a full queue on the way. Latency delays what a proxy carries of one
// dependency.
//
// In force: the polls of a replica, the round trips to a dependency, took longer
// (median) than before by at least 0.7 of the delay. Exercised: packets left the
// target, and it had work: a replica, when requests were due; a dependency, when
// the service used it.
type PacketDelay struct {
	// Delay of every packet. Default 100ms.
	Delay time.Duration `yaml:"delay" json:"delay,omitempty"`
	// Jitter varies it within ± this much, by which packets overtake each other.
	// It must not exceed Delay. Default 0.
	Jitter time.Duration `yaml:"jitter" json:"jitter,omitempty"`
}

var _ = register("packet_delay", func() Fault { return &PacketDelay{Delay: 100 * time.Millisecond} })

// String is the fault in one line.
func (f *PacketDelay) String() string {
	if f.Jitter > 0 {
		return fmt.Sprintf("packet delay %v ± %v", f.Delay, f.Jitter)
	}
	return fmt.Sprintf("packet delay %v", f.Delay)
}

// Supports wants a container.
func (f *PacketDelay) Supports(t Target) error {
	switch {
	case f.Delay <= 0:
		return fmt.Errorf("packet_delay: delay %v is not positive", f.Delay)
	case f.Jitter < 0 || f.Jitter > f.Delay:
		return fmt.Errorf("packet_delay: jitter %v is not between 0 and the delay %v", f.Jitter, f.Delay)
	}
	_, err := networked("packet_delay", t)
	return err
}

// Packets implements [Disturbing].
func (f *PacketDelay) Packets() Packets { return Packets{Delay: f.Delay, Jitter: f.Jitter} }

// Inject puts it in force.
func (f *PacketDelay) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return disturb(ctx, "packet_delay", t, f.Packets())
}

// Witness compares answers before and in the window.
func (f *PacketDelay) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	if _, err := s.packets(); err != nil {
		return err
	}
	if err := s.slower(f.Delay); err != nil {
		return err
	}
	return s.hit()
}

var _ Disturbing = (*PacketDelay)(nil)
