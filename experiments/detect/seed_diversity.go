package detect

import (
	"maps"
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/seatrial/seatrial/experiments/journal"
)

// SeedDiversity asks whether replicas draw their retries' waits independently
// (D13): the waits of two replicas that were just started, call by call, must
// not be correlated, and of calls that failed in the same instant no more than
// Together may be tried again within the same 5 ms.
//
// It needs fresh replicas; an attack on each of them at the same time whose
// calls come one after the other and all fail (20 calls); and an attack at once
// on all of them whose calls are all refused in the same instant (a hang that
// then answers: 50 calls), before anything else has made one replica draw more
// often than another. Calls are assigned to replicas by the request id or trace
// id that the service passes on. Two sequences are compared as they are and
// shifted by up to 5 calls.
//
// A correlation of 0.9 has a chance of 3.3e-8 among 20 independent pairs, and of
// less than 1e-5 among 15 with all shifts (formula). Waits that hardly vary are
// the business of jitter. Sources: detectors.md D13.
type SeedDiversity struct {
	// On is the HTTP dependency. Empty: the run's target, or the only one.
	On string `json:"on,omitempty" yaml:"on"`
	// Correlation is Pearson's r from which on two sequences count as one.
	// Default 0.9.
	Correlation float64 `json:"correlation,omitempty" yaml:"correlation"`
	// AtLeast is how many pairs of waits are needed. Default 15.
	AtLeast int `json:"at_least,omitempty" yaml:"at_least"`
	// Together is the largest share of second attempts within 5 ms, 0 to 1.
	// Default 0.5.
	Together float64 `json:"together,omitempty" yaml:"together"`
}

var _ = register(Info{
	Kind: "seed_diversity", ID: "D13", Checklist: []string{"3.3"}, Class: Timing,
	Summary: "replicas draw their retries' waits independently, so that they do not try again in step",
}, func() Detector { return &SeedDiversity{Correlation: 0.9, AtLeast: 15, Together: 0.5} })

const (
	stepWindow  = 5 * time.Millisecond  // what counts as the same instant
	failedOver  = 50 * time.Millisecond // in which calls must have failed to have failed together
	fewestAgain = 20                    // second attempts that can be judged
	shiftMost   = 5                     // calls by which sequences are shifted
)

// waitsOf are the first waits of the calls of one attack, by the hit's number.
type waitsOf map[uint64]float64

// Detect compares the replicas' waits.
func (p *SeedDiversity) Detect(j journal.Journal) Finding {
	d := open("seed_diversity")
	on, err := httpTarget(j.Header(), p.On)
	if err != nil {
		return d.notApplicable("%v", err)
	}
	alone, together := attacksOnReplicas(j.Header())
	if len(alone) < 2 {
		return d.unknown("calls were made one after the other on %d replicas, and two are needed to compare", len(alone))
	}
	in := callsOn(j, on, span{windows: []journal.Window{{}}}, ties)
	if in.tied == "" {
		return d.unknown("%s", in.untied(on))
	}
	failed := failing(in.chains)
	if len(failed) < fewestAgain {
		return d.unknown("only %d calls of %s failed, and %d are needed", len(failed), on, fewestAgain)
	}
	again := slices.DeleteFunc(slices.Clone(failed), func(c chain) bool { return len(c) < 2 })
	if len(again) == 0 {
		return d.notApplicable("none of %d calls of %s that failed was tried again, so there are no waits to compare",
			len(failed), on)
	}
	from := originsOf(j, append(slices.Clone(alone), together...), again)
	p.correlated(d, alone, from, again)
	p.inStep(d, together, from, again)
	return d.close("the waits of %d replicas are independent (r at most %s of %s pairs), and of %s calls that failed in "+
		"the same instant at most %s of all were tried again within %v", len(alone), valueOf(d.Quantities, "correlation_max"),
		samplesOf(d.Quantities, "correlation_max"), samplesOf(d.Quantities, "again_together"),
		valueOf(d.Quantities, "again_together"), stepWindow)
}

// attacksOnReplicas are the names of the attacks that went to one replica each:
// one call after the other, and all at once.
func attacksOnReplicas(h journal.Header) (alone, together []string) {
	for _, s := range h.Method {
		switch {
		case s.Action != "attack" || !slices.Contains(h.Replicas, s.Target):
		case s.For > 0:
			alone = append(alone, s.Name)
		default:
			together = append(together, s.Name)
		}
	}
	return alone, together
}

// origin is the hit that a call was made for; the zero value is not known.
type origin struct {
	attack string
	seq    uint64
}

// originsOf are the hits of attacks that chains were made for, by the chain's
// place.
func originsOf(j journal.Journal, attacks []string, chains []chain) []origin {
	marks := newCarried[origin](j.Header())
	from := make([]*origin, len(chains))
	for i, c := range chains {
		from[i] = marks.by(c[0].call)
	}
	for r := range j.Requests(journal.Window{}) {
		if !slices.Contains(attacks, r.Attack) {
			continue
		}
		byID, byTrace := marks.of(r)
		for _, at := range []*origin{byID, byTrace} {
			if at != nil {
				*at = origin{r.Attack, r.Seq}
			}
		}
	}
	out := make([]origin, len(chains))
	for i, at := range from {
		if at != nil {
			out[i] = *at
		}
	}
	return out
}

// correlated compares the waits of every two replicas.
func (p *SeedDiversity) correlated(d *docket, alone []string, from []origin, again []chain) {
	waits := make([]waitsOf, len(alone))
	for i := range waits {
		waits[i] = waitsOf{}
	}
	told := 0
	for n, c := range again {
		at := from[n]
		told += one(at != origin{})
		if i := slices.Index(alone, at.attack); i >= 0 {
			if _, twice := waits[i][at.seq]; !twice {
				waits[i][at.seq] = c[1].at.Sub(c[0].end()).Seconds()
			}
		}
	}
	if told == 0 {
		d.doubt("the calls carry neither the request id nor the trace id of the requests they were made for, so it cannot " +
			"be told which replica made them; have the service pass X-Request-Id or traceparent on")
		return
	}
	most, pairs := math.Inf(-1), 0
	for a := range waits {
		for b := a + 1; b < len(waits); b++ {
			r, n := correlation(waits[a], waits[b], p.AtLeast)
			if n == 0 {
				d.doubt("%d and %d waits of two replicas, %d pairs of which are needed, with differences among them (see jitter)",
					len(waits[a]), len(waits[b]), p.AtLeast)
				continue
			}
			if r > most {
				most, pairs = r, n
			}
		}
	}
	if pairs == 0 {
		return
	}
	bound := orDefault(p.Correlation, 0.9)
	d.add(bounded("correlation_max", most, "1", "<", bound, pairs))
	if most >= bound {
		d.against("promised retries spread at random; the waits of two replicas are the same, call by call (r = %.3f of %d "+
			"pairs): seed the source of random numbers from the operating system, not with a constant or the time", most, pairs)
		d.point(again[0][1].evidence("tried again %v after it had failed", brief(again[0][1].at.Sub(again[0][0].end()))))
	}
}

// correlation is the largest of two sequences as they are and shifted, with the
// number of pairs it rests on; zero pairs where they cannot be compared.
func correlation(a, b waitsOf, atLeast int) (most float64, pairs int) {
	most = math.Inf(-1)
	for shift := -shiftMost; shift <= shiftMost; shift++ {
		var x, y []float64
		for _, seq := range slices.Sorted(maps.Keys(a)) { // sums depend on the order
			if other, ok := b[uint64(int64(seq)+int64(shift))]; ok {
				x, y = append(x, a[seq]), append(y, other)
			}
		}
		if len(x) < max(atLeast, 3) || !varies(x) || !varies(y) {
			continue
		}
		if r := stat.Correlation(x, y, nil); r > most {
			most, pairs = r, len(x)
		}
	}
	return most, pairs
}

// varies says that waits differ by more than timers do by themselves.
func varies(waits []float64) bool {
	mean, sd := stat.MeanStdDev(waits, nil)
	return sd > max(stepWindow.Seconds(), mean/20)
}

// inStep looks for second attempts that come at the same time.
func (p *SeedDiversity) inStep(d *docket, together []string, from []origin, again []chain) {
	var failed, second []journal.Instant
	replicas := map[string]bool{}
	for i, c := range again {
		if slices.Contains(together, from[i].attack) {
			replicas[from[i].attack] = true
			failed, second = append(failed, c[0].end()), append(second, c[1].at)
		}
	}
	if len(second) < fewestAgain {
		d.doubt("only %d calls that failed together were tried again, and %d are needed", len(second), fewestAgain)
		return
	}
	if len(replicas) < 2 {
		d.doubt("only one replica tried calls again that had failed together, so that replicas cannot have been in step")
	}
	slices.Sort(failed)
	slices.Sort(second)
	share := ratio(mostWithin(second, stepWindow), len(second))
	bound := orDefault(p.Together, 0.5)
	d.add(bounded("again_together", share, "1", "<=", bound, len(second)))
	over := failed[len(failed)*9/10].Sub(failed[len(failed)/10])
	switch {
	case share > bound:
		d.against("promised retries spread at random; of %d calls that failed in the same instant %s were tried again "+
			"within %v of each other: wait for a random part of the backoff", len(second), pct(share), stepWindow)
	case over > failedOver:
		d.doubt("the calls that were to fail in the same instant failed over %v", brief(over))
	}
}

// mostWithin is the largest number of sorted instants within a time.
func mostWithin(sorted []journal.Instant, within time.Duration) int {
	most, first := 0, 0
	for i, at := range sorted {
		for at.Sub(sorted[first]) > within {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
