package detect

import (
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Shedding asks whether the service, offered more than it can do, goes on doing
// what it can and turns the rest away quickly (D30).
//
// It needs a step measure_capacity, which records the capacity C under
// injected database latency, and attack steps at multiples of it that record
// what they offered. Where a step measure_round_trips was made, the latency
// must be such that an answer takes at most a fifth of slo_latency longer.
// Steps of at least 1.5·C are judged, without their first seconds: good
// answers in time come at 0.6·C at least, refusals are 429 or 503 and quick,
// hardly any request runs into the client's timeout or a 504, and liveness is
// 200 throughout. A step below the capacity proves that the capacity was
// measured rightly: where not even that gave 0.6·C, the figure is no ground to
// call anything a violation.
//
// Where the load generator fell behind (lag p99 above a tenth of the latency
// promised, or less than 98 % sent), both counts are made: a clause is broken
// only if it is with latency from the sending and dropped hits left out, and
// kept only if it is with latency from the due time and dropped hits counted as
// lost. Measured: a limiter gives 0.88 to 0.95·C with refusals within 35 ms, no
// limit 0.06 to 0.28·C (detectors.md, D30).
type Shedding struct {
	// Goodput is the least share of the measured capacity, 0 to 1, that good
	// answers in time must reach. Default 0.6.
	Goodput float64 `json:"goodput,omitempty" yaml:"goodput"`
	// Latency is how long an answer may take to be in time. Zero: the promise
	// slo_latency.
	Latency time.Duration `json:"latency,omitempty" yaml:"latency"`
	// ShedsWithin is the p99 of refusals. Zero: the promise sheds_within.
	ShedsWithin time.Duration `json:"sheds_within,omitempty" yaml:"sheds_within"`
	// TimeoutRatio is the largest share of hits, 0 to 1, that may end in a
	// timeout or a 504. Default 0.05.
	TimeoutRatio float64 `json:"timeout_ratio,omitempty" yaml:"timeout_ratio"`
	// OtherRatio is the largest share of hits, 0 to 1, that may fail in any way
	// but 429, 503, 504 and timeout. Default 0.01.
	OtherRatio float64 `json:"other_ratio,omitempty" yaml:"other_ratio"`
	// RetryAfterRatio is the share of refusals, 0 to 1, below which a missing
	// Retry-After is remarked on. Default 0.99.
	RetryAfterRatio float64 `json:"retry_after_ratio,omitempty" yaml:"retry_after_ratio"`
	// Discard is how much of each step's beginning is not judged. Default 5s.
	Discard time.Duration `json:"discard,omitempty" yaml:"discard"`
	// MaxCapacity is the largest capacity, in answers a second, at which the
	// generator and the service do not compete for the processor. Default 100.
	MaxCapacity float64 `json:"max_capacity,omitempty" yaml:"max_capacity"`
}

var _ = register(Info{
	Kind: "shedding", ID: "D30", Checklist: []string{"3.5", "8.4"}, Class: Rate,
	Summary: "offered more than it can do, the service does what it can and refuses the rest quickly",
}, func() Detector { return new((&Shedding{}).resolved(journal.Promises{})) })

// resolved puts defaults and promises in the place of zeros.
func (s *Shedding) resolved(p journal.Promises) Shedding {
	return Shedding{
		Goodput:         orDefault(s.Goodput, 0.6),
		Latency:         orDefault(s.Latency, p.SLOLatency),
		ShedsWithin:     orDefault(s.ShedsWithin, p.ShedsWithin),
		TimeoutRatio:    orDefault(s.TimeoutRatio, 0.05),
		OtherRatio:      orDefault(s.OtherRatio, 0.01),
		RetryAfterRatio: orDefault(s.RetryAfterRatio, 0.99),
		Discard:         orDefault(s.Discard, 5*time.Second),
		MaxCapacity:     orDefault(s.MaxCapacity, 100),
	}
}

const (
	overloadFactor = 1.5  // from this multiple of the capacity on a step is an overload
	underFactor    = 0.95 // up to this multiple the service must be able to do all
	notOverloaded  = 0.95 // a service that answers this share well was not overloaded
	fewestHits     = 50   // of a step that can be judged
	shortestSurge  = 3 * time.Second
	// guardLag and guardSent are the guards of detectors.md section 1: the
	// generator's lag p99 as a share of the latency promised, and the share
	// of planned hits that were sent.
	guardLag  = 0.1
	guardSent = 0.98
)

// Detect judges the attack steps.
func (s *Shedding) Detect(j journal.Journal) Finding {
	d := open("shedding")
	p := s.resolved(j.Header().Promises)
	capacity, ok := measuredValue(j, "capacity", "")
	switch {
	case !ok || capacity <= 0:
		return d.unknown("no capacity was measured, so there is no knowing what an overload is; " +
			"put a measure_capacity step before the attacks")
	case capacity > p.MaxCapacity:
		return d.unknown("the measured capacity of %.0f/s is above %.0f/s, where load and service compete for the "+
			"processor; inject more database latency", capacity, p.MaxCapacity)
	}
	d.add(measured("capacity", capacity, "1/s", 0))
	p.slowed(d, j)
	return p.verdict(d, j, p.surges(d, j, capacity), capacity)
}

// slowedMost is the share of the latency promised that one answer may take
// longer for the latency injected: with more, good answers are late without any
// overload (detectors.md, section 1).
const slowedMost = 0.2

// slowed asks how much an answer takes longer for the latency that was
// injected, where a step measured the round trips that it waits for.
func (s *Shedding) slowed(d *docket, j journal.Journal) {
	for _, step := range j.Steps() {
		if step.Action != "measure_round_trips" {
			continue
		}
		found, err := RoundTrips(j, step.Name)
		switch {
		case err != nil:
			d.doubt("the round trips that an answer waits for were not measured: %v", err)
			return
		case found[0].Rounded() == 0:
			d.doubt("no route was seen to wait for the dependency that was slowed down, so that nothing limits the capacity " +
				"but the processor")
			return
		}
		most := found[0]
		d.add(measured("round_trips", most.Count, "1", most.Samples))
		latency, ok := measuredValue(j, "injected_latency", "")
		if !ok {
			continue
		}
		longer, bound := float64(most.Rounded())*latency, slowedMost*s.Latency.Seconds()
		d.add(measured("injected_latency", latency, "s", 0), bounded("answer_delay", longer, "s", "<=", bound, most.Samples))
		if longer > bound*1.001 {
			d.doubt("the latency injected has an answer of %s wait %s, more than %s, so that good answers are late without "+
				"any overload", most.Route, briefSeconds(longer), briefSeconds(bound))
		}
	}
}

// verdict judges the steps, beginning with what they rest on.
func (s *Shedding) verdict(d *docket, j journal.Journal, all []surge, capacity float64) Finding {
	var overloads []surge
	reached := false // at least one step asked for clearly more than was given
	for _, c := range all {
		switch {
		case c.factor <= underFactor && c.sent >= fewestHits && c.goodput() < s.Goodput*capacity:
			return d.unknown("attack %q stayed below the capacity of %.1f/s and still got only %.1f/s good answers, "+
				"so that the capacity was not measured rightly", c.name, capacity, c.goodput())
		case c.factor < overloadFactor:
			continue
		case c.sent < fewestHits:
			d.doubt("attack %q sent only %d hits in the time judged", c.name, c.sent)
			continue
		}
		overloads = append(overloads, c)
		reached = reached || ratio(c.good, c.sent+c.dropped) < notOverloaded
		s.judge(d, c, capacity)
	}
	if len(overloads) == 0 {
		d.doubt("no attack offered at least %.2g times the measured capacity of %.0f/s and lasted long enough to judge; "+
			"add attack steps with capacity: 2 and capacity: 5", overloadFactor, capacity)
		return d.close("")
	}
	s.liveness(d, j, overloads)
	s.quantities(d, overloads, capacity)
	if !reached {
		d.doubt("the service answered nearly every hit well at %.2g times its measured capacity, so it was not overloaded",
			overloads[len(overloads)-1].factor)
	}
	return d.close("offered up to %.2g times its capacity of %.0f/s, the service went on with %.0f/s and refused the "+
		"rest within %v (p99)", most(overloads, func(c surge) float64 { return c.factor }), capacity,
		least(overloads, surge.goodput), brief(slowestShed(overloads)))
}

// judge holds one overload against the promises.
func (s *Shedding) judge(d *docket, c surge, capacity float64) {
	if offered := float64(c.sent) / c.window.Length().Seconds(); offered < overloadFactor*capacity {
		d.doubt("attack %q sent %.0f/s of the planned %.0f/s, no overload for a capacity of %.0f/s",
			c.name, offered, c.factor*capacity, capacity)
	}
	guarded := c.guarded(s.Latency)
	for _, k := range s.clauses(c, capacity) {
		switch {
		case guarded && k.corrected, !guarded && k.optimistic:
			d.against("%s", k.says)
			d.point(k.evidence)
		case k.corrected:
			d.doubt("the load generator fell behind in attack %q (lag p99 %v, %s of the hits sent), and only counted "+
				"from the due times this is broken: %s", c.name, brief(c.lag.at(0.99)),
				pctSeen(ratio(c.sent, c.sent+c.dropped)), k.says)
		}
	}
	if have := c.polite(); have < s.RetryAfterRatio {
		d.note("%s of the refusals in attack %q carried Retry-After; clients that are told when to come back spread out",
			pctSeen(have), c.name)
	}
}

// clause is one promise about one overload, broken or not under either count.
type clause struct {
	optimistic, corrected bool
	says                  string
	evidence              Evidence
}

func (s *Shedding) clauses(c surge, capacity float64) []clause {
	where := fmt.Sprintf("at %.2g times its capacity (attack %q, %v to %v)",
		c.factor, c.name, c.window.From, c.window.To)
	needed := s.Goodput * capacity
	hits := c.sent + c.dropped
	otherwise := ratio(c.other, c.sent) > s.OtherRatio
	return []clause{
		{
			c.goodputRaw() < needed, c.goodput() < needed,
			fmt.Sprintf("promised to go on with %.1f/s, %s of its capacity; %s it gave %.1f/s good answers within %v: bound "+
				"what is worked on at a time", needed, pct(s.Goodput), where, c.goodput(), s.Latency), c.late,
		},
		{
			ratio(c.timeouts, c.sent) > s.TimeoutRatio, ratio(c.timeouts+c.dropped, hits) > s.TimeoutRatio,
			fmt.Sprintf("promised to refuse rather than keep callers waiting; %s %s of the hits ended in a timeout or a 504 "+
				"(at most %s): refuse at once what is above the bound, with 503 and Retry-After", where,
				pctSeen(ratio(c.timeouts, c.sent)), pct(s.TimeoutRatio)), c.late,
		},
		{
			c.shedRaw.at(0.99) > s.ShedsWithin, c.shed.at(0.99) > s.ShedsWithin,
			fmt.Sprintf("promised refusals within %v; %s their p99 was %v", s.ShedsWithin, where, brief(c.shed.at(0.99))),
			c.slowest,
		},
		{
			otherwise, otherwise,
			fmt.Sprintf("promised to refuse with 429 or 503; %s %s of the hits failed otherwise (%s)",
				where, pctSeen(ratio(c.other, c.sent)), c.strange.Excerpt), c.strange,
		},
	}
}

// liveness asks for 200 all through the overloads, beginnings included.
func (s *Shedding) liveness(d *docket, j journal.Journal, overloads []surge) {
	var windows []journal.Window
	for _, c := range overloads {
		windows = append(windows, c.whole)
	}
	h := questionsTo(j, journal.Liveness).health(windows)
	if h.polls == 0 {
		d.note("liveness was not polled, so whether it stayed 200 is not known")
		return
	}
	d.add(bounded("liveness_failures", float64(h.refused), "1", "==", 0, h.polls))
	if fault := h.fault(); fault != "" {
		d.against("promised to stay alive under overload; %s", fault)
		d.point(h.firstRefused)
		d.point(h.firstUnanswered)
	} else if h.unanswered > 0 {
		d.note("%d of %d liveness polls got no answer", h.unanswered, h.polls)
	}
}

// quantities reports the worst of each over the overloads, and the goodput of
// each of them.
func (s *Shedding) quantities(d *docket, all []surge, capacity float64) {
	samples := 0
	for _, c := range all {
		samples += c.sent
	}
	d.add(
		bounded("goodput_ratio", least(all, surge.goodput)/capacity, "1", ">=", s.Goodput, samples),
		bounded("timeout_ratio", most(all, func(c surge) float64 { return ratio(c.timeouts, c.sent) }),
			"1", "<=", s.TimeoutRatio, samples),
		bounded("other_ratio", most(all, func(c surge) float64 { return ratio(c.other, c.sent) }),
			"1", "<=", s.OtherRatio, samples),
		boundedTime("shed_p99", slowestShed(all), s.ShedsWithin, samples),
		measured("retry_after_ratio", least(all, surge.polite), "1", samples),
		measured("lag_p99", most(all, func(c surge) float64 { return c.lag.at(0.99).Seconds() }), "s", samples),
	)
	for _, c := range all {
		d.add(measured("goodput_ratio_"+c.name, c.goodput()/capacity, "1", c.sent))
	}
}

func slowestShed(all []surge) time.Duration {
	return time.Duration(most(all, func(c surge) float64 { return float64(c.shed.at(0.99)) }))
}

func most(all []surge, of func(surge) float64) float64 {
	m := of(all[0])
	for _, c := range all[1:] {
		m = max(m, of(c))
	}
	return m
}

func least(all []surge, of func(surge) float64) float64 {
	return -most(all, func(c surge) float64 { return -of(c) })
}
