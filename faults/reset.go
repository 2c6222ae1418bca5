package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Reset ends every connection of a proxied dependency with an RST as soon as
// data or a hang-up comes over it: new ones and those that are already open.
//
// In force: every round trip of ours in the window that sent something was
// reset (or found its connection closed). On a tcp dependency, whose round trip
// is a bare connect, it cannot be seen, and the witness says so. Exercised:
// bytes or connections other than ours came from the service.
type Reset struct {
	// After is how long a connection lives on after its first data. Longer
	// times delay the revert by as much. Default 0: reset at once.
	After time.Duration `yaml:"after" json:"after,omitempty"`
}

var _ = register("reset", func() Fault { return new(Reset) })

// String is the fault in one line.
func (f *Reset) String() string {
	if f.After > 0 {
		return fmt.Sprintf("reset after %v", f.After)
	}
	return "reset"
}

// Supports wants a proxied dependency.
func (f *Reset) Supports(t Target) error {
	if f.After < 0 || f.After > 2*time.Second {
		return fmt.Errorf("reset: after %v is not between 0 and 2s", f.After)
	}
	_, err := proxied("reset", t)
	return err
}

// Inject adds Toxiproxy's reset_peer to the upstream; the agent lets it reach
// connections that are already open.
func (f *Reset) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	return injectToxics(ctx, "reset", t, []string{Upstream}, "reset_peer",
		map[string]any{"timeout": f.After.Milliseconds()})
}

// Witness wants every round trip reset.
func (f *Reset) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	if trips := s.trips(w); len(trips) > 0 && len(spoken(trips)) == 0 {
		return notInForce("our round trips to %q are bare connects, which cannot show a reset", target)
	}
	if err := s.every("was reset", journal.ErrReset, journal.ErrEOF); err != nil {
		return err
	}
	return s.exercised()
}
