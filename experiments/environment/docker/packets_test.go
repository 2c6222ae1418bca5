package docker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/faults"
)

// TestDisturb has a helper join a container's network. Where the engine's kernel
// has no emulator, this is what is said, once for all; where it has, round trips
// take longer until the end.
func TestDisturb(t *testing.T) {
	made, start, address := lonely(t, 0)
	start()
	tell(t, address, "PING")
	b := made.owner.backend
	refused := b.Refuses(t.Context(), made.owner.Subject, &faults.PacketDelay{Delay: time.Second})
	d, err := made.Disturb(t.Context(), faults.Packets{Delay: 50 * time.Millisecond})
	if refused != nil || err != nil {
		if !errors.Is(refused, faults.ErrNotHere) || !errors.Is(err, faults.ErrNotHere) {
			t.Fatalf("refused with %v, disturbed with %v", refused, err)
		}
		if !strings.Contains(err.Error(), "NET_SCH_NETEM") && !strings.Contains(err.Error(), "NET_ADMIN") {
			t.Errorf("no reason is in: %v", err)
		}
		t.Log(err)
		return
	}
	began := time.Now()
	tell(t, address, "PING")
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("a round trip took %v", took)
	}
	for range 2 {
		if count, err := d.End(t.Context()); err != nil || count.Sent == 0 {
			t.Errorf("%+v: %v", count, err)
		}
	}
	if err := b.Refuses(t.Context(), made.owner.Subject, &faults.Kill{}); err != nil {
		t.Error(err)
	}
}
