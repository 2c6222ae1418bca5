package detect

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Trips is how many round trips to a dependency the answers of one route wait
// for, one after the other.
type Trips struct {
	Route string
	// Count is their number as it was measured, not rounded; round trips that
	// are made beside each other count once.
	Count float64
	// Samples is how many answers it rests on.
	Samples int
}

// Rounded is the number of round trips; zero for a route that was not seen to
// reach the dependency.
func (t Trips) Rounded() int { return int(max(math.Round(t.Count), 0)) }

// RoundTrips works the round trips of an attack's routes out, from the most to
// the fewest. Within the attack a latency fault must have come into force: the
// median answer of a route got longer, and so did our own round trip to the
// dependency, and the one divided by the other is the number of trips. A
// route needs three answers before and three during the fault. The error says
// what the journal does not have.
func RoundTrips(j journal.Journal, attack string) ([]Trips, error) {
	gauge, ok := gaugeOf(j, attack)
	if !ok {
		return nil, fmt.Errorf("no latency came into force within the attack %q", attack)
	}
	injected, err := longerBy(j, gauge)
	if err != nil {
		return nil, err
	}
	w, _ := gauge.Window()
	plain, delayed := map[string][]float64{}, map[string][]float64{}
	for r := range j.Requests(journal.Window{}) {
		switch {
		case r.Attack != attack || !r.OK:
		case r.Done <= gauge.Begun:
			plain[r.Route] = append(plain[r.Route], r.RawLatency().Seconds())
		case r.Sent >= w.From && (w.To == 0 || r.Done <= w.To):
			delayed[r.Route] = append(delayed[r.Route], r.RawLatency().Seconds())
		}
	}
	var found []Trips
	for route, before := range plain {
		during := delayed[route]
		if len(before) < fewestAnswers || len(during) < fewestAnswers {
			continue
		}
		found = append(found, Trips{
			Route: route, Samples: len(before) + len(during),
			Count: (quantiles(during, 0.5)[0] - quantiles(before, 0.5)[0]) / injected.Seconds(),
		})
	}
	slices.SortFunc(found, func(a, b Trips) int {
		return cmp.Or(cmp.Compare(b.Rounded(), a.Rounded()), cmp.Compare(b.Samples, a.Samples), cmp.Compare(a.Route, b.Route))
	})
	if len(found) == 0 {
		return nil, fmt.Errorf("no route of the attack %q had %d good answers both before and while the latency was in force",
			attack, fewestAnswers)
	}
	return found, nil
}

const (
	fewestAnswers = 3                    // of a route, before and during the latency
	leastLonger   = 3 * time.Millisecond // what is less is lost in the noise of an idle machine
	gaugeBefore   = 5 * time.Second      // our round trips so long before the latency count as those without it
)

// gaugeOf is the latency fault that came into force within an attack.
func gaugeOf(j journal.Journal, attack string) (journal.Step, bool) {
	var whole journal.Window
	for e, a := range journal.Of[journal.Attack](j) {
		if e.On == attack {
			whole = journal.Window{From: a.From, To: a.From.Add(a.For)}
		}
	}
	for _, s := range j.Steps() {
		if s.Class == "fault" && s.Action == "latency" && s.Has[journal.PhaseInForce] && whole.Contains(s.InForce) {
			return s, true
		}
	}
	return journal.Step{}, false
}

// longerBy is by how much our own round trips to the fault's target took longer
// while it was in force (medians).
func longerBy(j journal.Journal, gauge journal.Step) (time.Duration, error) {
	w, _ := gauge.Window()
	var before, during []float64
	for e, r := range journal.Of[journal.RoundTrip](j) {
		ended := e.At.Add(r.Dial + r.RTT)
		switch {
		case e.On != gauge.Target || r.Pooled || r.Err != "" || r.Bytes == 0:
		case e.At.Add(gaugeBefore) >= gauge.Begun && ended <= gauge.Begun:
			before = append(before, r.RTT.Seconds())
		case e.At >= w.From && (w.To == 0 || ended <= w.To):
			during = append(during, r.RTT.Seconds())
		}
	}
	if len(before) < fewestAnswers || len(during) < fewestAnswers {
		return 0, fmt.Errorf("our own round trips to %s were %d before and %d during the latency, and %d are needed of each",
			gauge.Target, len(before), len(during), fewestAnswers)
	}
	longer := time.Duration((quantiles(during, 0.5)[0] - quantiles(before, 0.5)[0]) * float64(time.Second))
	if longer < leastLonger {
		return 0, fmt.Errorf("our own round trips to %s took only %v longer", gauge.Target, brief(longer))
	}
	return longer, nil
}
