package detect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// CleanupGuard holds when every step that was begun was also taken back, and
// our own exchanges with the dependencies worked again after the last one.
type CleanupGuard struct{}

var _ = register(Info{
	Kind: "guard_cleanup", Class: Safety, Summary: "every fault was taken back",
}, func() Detector { return &CleanupGuard{} })

// Detect judges the journal.
func (*CleanupGuard) Detect(j journal.Journal) Finding {
	f := finding("guard_cleanup")
	var left []string
	var broken []string
	var end journal.Instant
	begun := 0
	for _, s := range j.Steps() {
		if !s.Has[journal.PhaseBegin] {
			continue
		}
		begun++
		end = max(end, s.Reverted)
		if !slices.Contains(broken, s.Target) {
			broken = append(broken, s.Target)
		}
		if !s.Has[journal.PhaseReverted] || s.Error != "" {
			left = append(left, fmt.Sprintf("%q (%s on %s)%s", s.Name, s.Action, s.Target, because(s)))
		}
	}
	if begun == 0 {
		return f.notApplicable("no step was begun, so there was nothing to take back")
	}
	f.Quantities = []journal.Quantity{bounded("steps_left_in_force", float64(len(left)), "1", "<=", 0, begun)}
	if len(left) > 0 {
		return f.unknown("not taken back for certain: %s", strings.Join(left, ", "))
	}
	for _, target := range broken {
		tried, worked := exchangesAfter(j, target, end)
		if tried > 0 && worked == 0 {
			return f.unknown("%s was taken back, but none of our own %d exchanges with it worked afterwards", target, tried)
		}
	}
	return f.held("all %d steps were taken back", begun)
}

// exchangesAfter counts our own exchanges with a dependency after an instant.
func exchangesAfter(j journal.Journal, on string, t journal.Instant) (tried, worked int) {
	for e, r := range journal.Of[journal.RoundTrip](j) {
		if e.On == on && e.At > t {
			tried++
			worked += oneIf(r.Err == "")
		}
	}
	return tried, worked
}
