package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// PacketLoss loses a share of the packets that leave a container, a replica's or a
// dependency's, in its own network: a bad cable, a full queue on the way. TCP
// sends them again, later and later.
//
// In force: TCP sent segments again in that network.
// Exercised: packets left the target, and it had work: a replica, when requests
// were due; a dependency, when the service used it.
type PacketLoss struct {
	// Ratio is the share of packets, above 0 and up to 1. Default 0.05.
	Ratio float64 `yaml:"ratio" json:"ratio,omitempty"`
}

var _ = register("packet_loss", func() Fault { return &PacketLoss{Ratio: 0.05} })

// String is the fault in one line.
func (f *PacketLoss) String() string { return fmt.Sprintf("packet loss, %g %%", f.Ratio*100) }

// Supports wants a container.
func (f *PacketLoss) Supports(t Target) error {
	return supportsShare("packet_loss", f.Ratio, t)
}

// Packets implements [Disturbing].
func (f *PacketLoss) Packets() Packets { return Packets{Loss: f.Ratio} }

// Inject puts it in force.
func (f *PacketLoss) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return disturb(ctx, "packet_loss", t, f.Packets())
}

// Witness asks what TCP noticed.
func (f *PacketLoss) Witness(j journal.Journal, target string, w journal.Window) error {
	return scene{j, target, w}.met(f.Ratio, "lost", func(c journal.PacketCount) uint64 { return c.Again })
}

var _ Disturbing = (*PacketLoss)(nil)
