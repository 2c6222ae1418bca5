package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// LoadGuard holds when every attack sent at least 98 % of what it had planned,
// and was late by at most 10 % of the promise slo_latency at the p99.
type LoadGuard struct{}

var _ = register(Info{
	Kind: GuardLoad, Class: Rate, Summary: "the load was sent as it was planned",
}, func() Detector { return &LoadGuard{} })

// sentLoad is what one attack sent.
type sentLoad struct {
	planned, sent, dropped int
	unfinished             bool // its end is not in the journal
	err                    string
	lag                    latencies
}

// Detect judges the journal.
func (*LoadGuard) Detect(j journal.Journal) Finding {
	f := finding(GuardLoad)
	loads := sentLoads(j)
	bound := time.Duration(lagShare * float64(j.Header().Promises.SLOLatency))
	if len(loads) == 0 {
		if j.Header().Rate > 0 {
			return f.unknown("no request was sent, though %g/s were planned", j.Header().Rate)
		}
		return f.notApplicable("the experiment has no load")
	}
	var wrong, right []string
	if rate := j.Header().Rate; rate > 0 && loads[loadAttack] == nil {
		wrong = append(wrong, fmt.Sprintf("%s sent nothing, though %g/s were planned", loadAttack, rate))
	}
	for _, name := range slices.Sorted(maps.Keys(loads)) {
		l := loads[name]
		achieved, lag := l.achieved(), l.lag.at(0.99)
		f.Quantities = append(f.Quantities,
			bounded("achieved_ratio_"+name, achieved, "1", ">=", 1-dropsBearable, l.planned),
			boundedTime("lag_p99_"+name, lag, bound, l.sent))
		said := say("%s sent %s of %d planned hits, late by %s at the p99", name, pctSeen(achieved), l.planned,
			brief(lag))
		if achieved < 1-dropsBearable || lag > bound || l.err != "" {
			wrong = append(wrong, said+l.why())
		} else {
			right = append(right, said)
		}
	}
	if len(wrong) > 0 {
		return f.unknown("the load fell short of its plan (at least %s, late by at most %s): %s", pct(1-dropsBearable),
			brief(bound), strings.Join(wrong, "; "))
	}
	return f.held("the load was sent as planned: %s", strings.Join(right, "; "))
}

func (l *sentLoad) achieved() float64 { return min(1, share(l.sent, l.planned)) }

func (l *sentLoad) why() string {
	if l.err != "" {
		return " (" + l.err + ")"
	}
	return ""
}

// sentLoads sums up every attack. A closed loop plans no hits and is left out.
func sentLoads(j journal.Journal) map[string]*sentLoad {
	loads := map[string]*sentLoad{}
	load := func(name string) *sentLoad {
		if loads[name] == nil {
			loads[name] = &sentLoad{lag: newLatencies()}
		}
		return loads[name]
	}
	for r := range j.Requests(journal.Window{}) {
		l := load(r.Attack)
		if r.Dropped {
			l.dropped++
			continue
		}
		l.sent++
		l.lag.add(r.Lag())
	}
	for e, a := range journal.Of[journal.Attack](j) {
		l := load(e.On)
		l.planned, l.unfinished, l.err = int(a.Planned), a.Began, a.Error
	}
	for name, l := range loads {
		// An attack that never ended planned at least what was due so far.
		if l.unfinished || l.planned == 0 && l.dropped > 0 {
			l.planned = l.sent + l.dropped
		}
		if l.planned == 0 && name != loadAttack {
			delete(loads, name)
			continue
		}
		l.planned = max(l.planned, l.sent+l.dropped)
	}
	return loads
}
