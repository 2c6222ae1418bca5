package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// PacketDuplication sends a share of the packets that leave a container, a
// replica's or a dependency's, twice, in its own network: two ways to one place,
// or a switch that learns anew. TCP is to throw the second away, and what is above
// it never to see it.
//
// In force: the other side told TCP in that network of segments that came twice.
// Exercised: packets left the target, and it had work: a replica, when requests
// were due; a dependency, when the service used it.
type PacketDuplication struct {
	// Ratio is the share of packets, above 0 and up to 1. Default 0.1.
	Ratio float64 `yaml:"ratio" json:"ratio,omitempty"`
}

var _ = register("packet_duplication", func() Fault { return &PacketDuplication{Ratio: 0.1} })

// String is the fault in one line.
func (f *PacketDuplication) String() string {
	return fmt.Sprintf("packet duplication, %g %%", f.Ratio*100)
}

// Supports wants a container.
func (f *PacketDuplication) Supports(t Target) error {
	return supportsShare("packet_duplication", f.Ratio, t)
}

// Packets implements [Disturbing].
func (f *PacketDuplication) Packets() Packets { return Packets{Duplication: f.Ratio} }

// Inject puts it in force.
func (f *PacketDuplication) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return disturb(ctx, "packet_duplication", t, f.Packets())
}

// Witness asks what TCP noticed.
func (f *PacketDuplication) Witness(j journal.Journal, target string, w journal.Window) error {
	return scene{j, target, w}.met(f.Ratio, "sent twice", func(c journal.PacketCount) uint64 { return c.Twice })
}

var _ Disturbing = (*PacketDuplication)(nil)
