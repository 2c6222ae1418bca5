package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// PacketCorruption flips a bit in a share of the packets that leave a container, a
// replica's or a dependency's, in its own network: bad memory on the way. Checksums
// find it, so that it comes to loss; what they do not find is seen by nobody else.
//
// In force: TCP sent segments again in that network.
// Exercised: packets left the target, and it had work: a replica, when requests
// were due; a dependency, when the service used it.
type PacketCorruption struct {
	// Ratio is the share of packets, above 0 and up to 1. Default 0.05.
	Ratio float64 `yaml:"ratio" json:"ratio,omitempty"`
}

var _ = register("packet_corruption", func() Fault { return &PacketCorruption{Ratio: 0.05} })

// String is the fault in one line.
func (f *PacketCorruption) String() string {
	return fmt.Sprintf("packet corruption, %g %%", f.Ratio*100)
}

// Supports wants a container.
func (f *PacketCorruption) Supports(t Target) error {
	return supportsShare("packet_corruption", f.Ratio, t)
}

// Packets implements [Disturbing].
func (f *PacketCorruption) Packets() Packets { return Packets{Corruption: f.Ratio} }

// Inject puts it in force.
func (f *PacketCorruption) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return disturb(ctx, "packet_corruption", t, f.Packets())
}

// Witness asks what TCP noticed.
func (f *PacketCorruption) Witness(j journal.Journal, target string, w journal.Window) error {
	return scene{j, target, w}.met(f.Ratio, "corrupted", func(c journal.PacketCount) uint64 { return c.Again })
}

var _ Disturbing = (*PacketCorruption)(nil)
