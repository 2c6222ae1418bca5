package detect

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Containment asks whether an unstable dependency is contained (D20): while it
// hangs or answers 503, the service asks it for at most half of what callers
// ask of the service (a breaker), or never has more than a capped number of
// calls at it (a bulkhead); what does not use it goes on as before; and soon
// after the repair what uses it is good again. A dependency that answers 4xx is
// no reason to stop asking it.
//
// It needs fault steps on an http dependency of at least 15 s each (a hang,
// then a status 503, and, to catch a breaker that counts 4xx, a status 400),
// mixed load of which about half uses the dependency, as the subject's traffic
// says by uses, and load for a while after the last step. Calls at the stub and
// requests are counted over the last ten seconds of each step, when a breaker
// has had time to open; without one the ratio is 1 or more, with one next to 0
// (error below 1e-50 at 500 requests).
type Containment struct {
	// Ratio is the most calls per request, both in the last ten seconds.
	// Default 0.5.
	Ratio float64 `json:"ratio,omitempty" yaml:"ratio"`
	// Cap is the largest number of calls that one replica may have at the
	// dependency at once. Zero, the default: no bulkhead is promised.
	Cap int `json:"cap,omitempty" yaml:"cap"`
	// Success is the least share of good answers, 0 to 1, of requests that do
	// not use the dependency. Zero: the promise success_ratio.
	Success float64 `json:"success,omitempty" yaml:"success"`
	// RecoversWithin is how soon after a repair at least 99 % of the requests
	// that use it succeed. Zero: the promise recovers_within.
	RecoversWithin time.Duration `json:"recovers_within,omitempty" yaml:"recovers_within"`
}

var _ = register(Info{
	Kind: "containment", ID: "D20", Checklist: []string{"3.6"}, Class: Rate,
	Summary: "an unstable dependency is left alone, what does not use it goes on, and it is used again when back",
}, func() Detector { return &Containment{Ratio: 0.5} })

const (
	containedOver = 10 * time.Second // the end of a step in which calls are counted
	containedLead = 5 * time.Second  // how long before that a step must have begun
	recoveredAt   = 0.99             // share of good answers that means recovered
	latencyRatio  = 3                // of the steady state's p99
	latencySlack  = 50 * time.Millisecond
	stillAsked    = 0.9 // calls per request of a dependency that answers 4xx, of those before
)

// Detect judges every fault on an http dependency.
func (p *Containment) Detect(j journal.Journal) Finding {
	d := open("containment")
	h := j.Header()
	q := Containment{
		Ratio: orDefault(p.Ratio, 0.5), Cap: p.Cap, Success: orDefault(p.Success, h.Promises.SuccessRatio),
		RecoversWithin: orDefault(p.RecoversWithin, h.Promises.RecoversWithin),
	}
	stubs := map[string]bool{}
	for _, dep := range h.Dependencies {
		stubs[dep.Name] = dep.Kind == "http"
	}
	judged, met := 0, map[string]int{}
	for _, s := range j.Steps() {
		if s.Class != "fault" || !stubs[s.Target] {
			continue
		}
		judged++
		w, ok := carriedOut(s)
		if !ok || w.To == 0 {
			d.doubt("step %q (%s on %s) was not in force and taken back%s", s.Name, s.Action, s.Target, because(s))
			continue
		}
		met[s.Target] += q.step(d, j, faultStep{s, w})
	}
	if judged == 0 {
		return d.unknown("no step broke an http dependency, so there was nothing to contain")
	}
	broken := slices.Sorted(maps.Keys(met))
	for _, on := range broken {
		if met[on] == 0 && len(d.doubts) == 0 {
			d.doubt("no call at all met the fault on %s, so that nothing shows what the service does about it", on)
		}
	}
	if samplesOf(d.Quantities, "calls_per_request") == "0" {
		return d.close("%s answered 4xx in %d steps, and was still asked %s times per request, as refusals are no sign of "+
			"trouble", strings.Join(broken, " and "), judged, valueOf(d.Quantities, "calls_per_request_4xx"))
	}
	return d.close("%s was contained in %d steps: at most %s calls per request reached it, what does not use it went "+
		"on, and it was used again afterwards", strings.Join(broken, " and "), judged,
		valueOf(d.Quantities, "calls_per_request"))
}

// step judges one fault; it returns how many calls met it.
func (p *Containment) step(d *docket, j journal.Journal, s faultStep) (met int) {
	h := j.Header()
	var using, others []string
	for _, r := range h.Routes {
		switch {
		case uses(h, r, s.Target):
			using = append(using, r.Name)
		case len(r.Uses) > 0:
			others = append(others, r.Name)
		}
	}
	if len(using) == 0 {
		d.doubt("no request of the traffic is declared to use %s; say so with uses", s.Target)
		return 0
	}
	c := callsAt(j, s)
	if p.asked(d, j, s, using, c) {
		p.others(d, j, s, others)
	}
	p.recovery(d, j, s, using)
	return c.all
}

// stubLoad is what a stub saw at the end of a step.
type stubLoad struct {
	end             journal.Window // its last ten seconds
	arrived         int            // in these
	all, refused4xx int            // in the whole step; answered with 4xx
	inFlight        int            // most at once, in the whole step
	worst           Evidence
}

// asked holds the calls to the dependency against the requests that would use
// it; it returns false when the step was one of 4xx answers, which are no
// outage.
func (p *Containment) asked(
	d *docket, j journal.Journal, s faultStep, using []string, c stubLoad,
) (outage bool) {
	end := c.end
	offered, answered := offeredIn(j, end, using)
	perRequest := ratio(c.arrived, offered)
	usual := usualCalls(j, s.Target, using)
	if c.refused4xx*2 > c.all {
		p.refused(d, s, end, perRequest, usual, offered)
		return false
	}
	d.add(bounded("calls_per_request", perRequest, "1", "<=", p.Ratio, offered),
		measured("calls_in_flight_max", float64(c.inFlight), "1", c.arrived))
	capped := p.Cap * max(1, len(j.Header().Replicas))
	switch {
	case s.window.Length() < containedOver+containedLead:
		d.doubt("step %q lasted %v, and %v are needed to see whether a breaker opens", s.Name, brief(s.window.Length()),
			containedOver+containedLead)
	case offered < fewestBaseline:
		d.doubt("only %d requests that use %s were sent between %v and %v", offered, s.Target, end.From, end.To)
	case answered < fewestBaseline:
		d.doubt("only %d requests that use %s were answered between %v and %v, so that few calls are no breaker's doing",
			answered, s.Target, end.From, end.To)
	case perRequest <= p.Ratio && perRequest > p.Ratio*usual:
		d.doubt("%s got %.2g calls per request before it was broken and %.2g while it was, so that few calls are no "+
			"breaker's doing: say by uses which requests call it", s.Target, usual, perRequest)
	case perRequest <= p.Ratio:
	case p.Cap > 0 && c.inFlight <= capped:
		d.note("%s was still asked %.2g times per request, but by at most %d calls at once", s.Target, perRequest, c.inFlight)
	default:
		d.against("promised to leave a broken dependency alone; %s got %.2g calls per request between %v and %v (at most "+
			"%.2g), up to %d at once: add a circuit breaker or a bulkhead",
			s.Target, perRequest, end.From, end.To, p.Ratio, c.inFlight)
		d.point(c.worst)
	}
	return true
}

// offeredIn counts the requests of some routes that were sent in a window, and
// those of them that somebody was there to work on.
func offeredIn(j journal.Journal, w journal.Window, routes []string) (offered, answered int) {
	for r := range hits(j, span{windows: []journal.Window{w}}, "", routes) {
		offered += one(!r.Dropped)
		answered += one(!r.Dropped && waitedOn(r))
	}
	return offered, answered
}

// usualCalls is how many calls a request caused in the steady state, one at the
// most: what is judged is whether there are fewer. It is one where that is not
// known.
func usualCalls(j journal.Journal, on string, routes []string) float64 {
	steady, err := steadySpan(j)
	if err != nil {
		return 1
	}
	offered, _ := offeredIn(j, steady.hull(), routes)
	n := 0
	for e := range journal.Of[journal.Call](j) {
		n += one(e.On == on && steady.contains(e.At))
	}
	if offered < fewestBaseline || n == 0 {
		return 1
	}
	return min(ratio(n, offered), 1)
}

// refused judges a step of 4xx answers.
func (p *Containment) refused(d *docket, s faultStep, end journal.Window, perRequest, usual float64, offered int) {
	least := stillAsked * usual
	d.add(bounded("calls_per_request_4xx", perRequest, "1", ">=", least, offered))
	switch {
	case s.window.Length() < containedOver+containedLead || offered < fewestBaseline:
		d.doubt("step %q lasted %v, with %d requests that use %s in its last %v; %v and %d are needed to see whether a "+
			"breaker counts 4xx", s.Name, brief(s.window.Length()), offered, s.Target, containedOver,
			containedOver+containedLead, fewestBaseline)
	case perRequest < least:
		d.against("%s answered 4xx, which is the caller's fault, and was asked only %.2g times per request between %v and "+
			"%v: do not count 4xx as failures of the dependency", s.Target, perRequest, end.From, end.To)
	}
}

// callsAt counts a stub's calls. How many were there at once is taken at each
// arrival.
func callsAt(j journal.Journal, s faultStep) stubLoad {
	end := journal.Window{From: s.window.To.Add(-containedOver), To: s.window.To}
	c := stubLoad{end: end}
	var ends []journal.Instant
	for e, call := range journal.Of[journal.Call](j) {
		if e.On != s.Target || !s.window.Contains(e.At) {
			continue
		}
		still := ends[:0]
		for _, t := range ends {
			if t > e.At {
				still = append(still, t)
			}
		}
		ends = append(still, e.At.Add(max(call.Answered, call.HungUpAfter, call.Age)))
		if len(ends) > c.inFlight {
			c.inFlight = len(ends)
			c.worst = seen(e, "%s %s: %d calls at once", call.Method, call.Path, len(ends))
		}
		if end.Contains(e.At) {
			c.arrived++
		}
		c.all++
		c.refused4xx += one(call.Status >= http.StatusBadRequest && call.Status < http.StatusInternalServerError)
	}
	return c
}

// others asks that requests which do not use the dependency are as good as
// before.
func (p *Containment) others(d *docket, j journal.Journal, s faultStep, routes []string) {
	if len(routes) == 0 {
		d.doubt("no request of the traffic is declared to do without %s, so whether the rest goes on is not known", s.Target)
		return
	}
	during := span{windows: []journal.Window{s.window}}
	c := countHits(j, during, "", routes)
	lower := ratio(c.ok, c.sent)
	_, upper := wilson(c.ok, c.sent)
	d.add(bounded("others_success_ratio", lower, "1", ">=", p.Success, c.sent))
	switch {
	case c.sent < fewestBaseline || ratio(c.dropped, c.sent+c.dropped) > dropsBearable:
		d.doubt("of the requests that do without %s %d were sent and %d could not be while it was broken",
			s.Target, c.sent, c.dropped)
	case upper < p.Success:
		d.against("promised that what does without %s goes on; while it was broken (%v to %v) only %s of %d such requests "+
			"succeeded (%s)", s.Target, s.window.From, s.window.To, pctSeen(lower), c.sent, c.answers)
		for _, e := range c.bad {
			d.point(e)
		}
	case lower < p.Success:
		d.doubt("%s of %d requests that do without %s succeeded, too close to %s to tell", pctSeen(lower), c.sent, s.Target,
			pct(p.Success))
	}
	p.latency(d, j, s, routes)
}

func (p *Containment) latency(d *docket, j journal.Journal, s faultStep, routes []string) {
	steady, err := steadySpan(j)
	if err != nil {
		d.doubt("there is no steady state to compare latencies with: %v", err)
		return
	}
	before, _ := goodLatencies(j, steady, routes)
	during, raw := goodLatencies(j, span{windows: []journal.Window{s.window}}, routes)
	bound := latencyRatio*before.at(0.99) + latencySlack
	d.add(boundedTime("others_p99", during.at(0.99), bound, during.count()))
	switch {
	case before.count() < fewestBaseline:
		d.doubt("there are only %d good answers in the steady state to compare latencies with", before.count())
	case raw.at(0.99) > bound:
		d.against("promised that what does without %s goes on; while it was broken its p99 was %v, above %v (%d × the %v "+
			"before, and %v)", s.Target, brief(during.at(0.99)), brief(bound),
			latencyRatio, brief(before.at(0.99)), latencySlack)
	case during.at(0.99) > bound:
		d.doubt("the p99 of %v is above %v only because the load generator was late", brief(during.at(0.99)), brief(bound))
	}
}

// goodLatencies are those of successful answers, from the due times and from
// the sending.
func goodLatencies(j journal.Journal, s span, routes []string) (all, raw latencies) {
	all, raw = newLatencies(), newLatencies()
	for r := range hits(j, s, "", routes) {
		if r.OK {
			all.add(r.Latency())
			raw.add(r.RawLatency())
		}
	}
	return all, raw
}

// recovery asks that requests which use the dependency are good again soon.
func (p *Containment) recovery(d *docket, j journal.Journal, s faultStep, using []string) {
	w := afterwards(j, s.Step)
	seen := watch(j, span{windows: []journal.Window{w}}, time.Second, using)
	took, ok := seen.recovered(recoveredAt, true)
	switch {
	case w.To != 0 && w.To.Sub(w.From) < p.RecoversWithin && (!ok || seen.hits < fewestHits):
		// The next step came first, or the load ended: nothing can be held
		// against the service, and of the last step something must be known.
		if last, err := lastStepEnd(j); err == nil && last == s.Reverted {
			d.doubt("not good again when the load ended %v after the repair of %s: make the experiment's recovery longer",
				brief(seen.watched()), s.Target)
		}
	case ok && took <= p.RecoversWithin && seen.hits >= fewestHits:
		d.add(boundedTime("recovered_after", took, p.RecoversWithin, seen.hits))
	case seen.hits < fewestHits:
		d.doubt("only %d requests that use %s came after its repair", seen.hits, s.Target)
	default:
		d.against("promised %s good answers within %v of the repair of %s at %v; bad ones still came %v after it: does the "+
			"breaker close again?", pct(recoveredAt), p.RecoversWithin, s.Target, w.From,
			brief(max(took, min(seen.watched(), p.RecoversWithin))))
		for _, e := range seen.bad {
			d.point(e)
		}
	}
}
