package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

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
		x := exchangesWith(j, target, end)
		switch {
		case x.after > 0 && x.worked == 0:
			return f.unknown("%s was taken back, but none of our own %d exchanges with it worked afterwards", target, x.after)
		case x.before > 0 && x.after == 0 && x.silent > exchangeGap:
			return f.unknown("%s was taken back, but nobody looked whether it works again: our own exchanges with it, %d "+
				"before, ended there, though the run went on for %s", target, x.before, brief(x.silent))
		}
	}
	return f.held("all steps were taken back (%d)", begun)
}

// exchangeGap is how long nobody need look at a dependency after it was taken
// back: exchanges begin each 100 ms, and one may take 5 s.
const exchangeGap = 6 * time.Second

// exchanges are our own with a dependency, before and after an instant.
type exchanges struct {
	before, after, worked int           // worked: of those after
	silent                time.Duration // from the instant to the last that any observer recorded
}

func exchangesWith(j journal.Journal, on string, t journal.Instant) (x exchanges) {
	for e, r := range journal.Of[journal.RoundTrip](j) {
		switch {
		case e.On != on:
		case e.At <= t:
			x.before++
		default:
			x.after++
			x.worked += one(r.Err == "")
		}
	}
	for e := range journal.Of[journal.Sleeper](j) {
		x.silent = max(x.silent, e.At.Sub(t))
	}
	return x
}
