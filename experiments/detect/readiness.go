package detect

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Readiness asks whether readiness tells the truth (D74): while a dependency
// that the service cannot do without is out or hangs, every replica turns
// unready within two probe periods and stays so, and is ready again within 10 s
// of the repair; a soft dependency changes nothing; every poll is answered
// within a second; and while everything is well and readiness says 200, at
// least 99 % of the requests succeed.
//
// Whether to turn unready for the sake of a dependency that half of the traffic
// or more does without, by its weights and uses, is the owner's choice, and not
// judged.
//
// It needs fault steps that make a dependency unusable (see Faults), each
// longer than two probe periods, readiness polls every 50 to 100 ms, load, and
// 10 s to watch after each step. A step that was too short to see readiness
// turn makes the finding unknown. A replica may change its mind twice in a
// step.
type Readiness struct {
	// Period is the platform's probe period. Default 10s, Kubernetes' own.
	Period time.Duration `json:"period,omitempty" yaml:"period"`
	// AnswersWithin bounds every answer. Default 1s, Kubernetes' probe timeout.
	AnswersWithin time.Duration `json:"answers_within,omitempty" yaml:"answers_within"`
	// ReadyWithin is how soon after the repair it must be ready again. Default
	// 10s.
	ReadyWithin time.Duration `json:"ready_within,omitempty" yaml:"ready_within"`
	// Faults are the kinds of steps that make a dependency unusable. Default
	// outage, blackhole, connect_blackhole, pause and hang.
	Faults []string `json:"faults,omitempty" yaml:"faults"`
	// Success is the least share of good answers, 0 to 1, while it is ready and
	// nothing is broken. Default 0.99.
	Success float64 `json:"success,omitempty" yaml:"success"`
	// Flaps is how often a replica may turn back to 200 in one step. Default 2.
	Flaps int `json:"flaps,omitempty" yaml:"flaps"`
}

var _ = register(Info{
	Kind: "readiness", ID: "D74", Checklist: []string{"9.5"}, Class: Timing,
	Summary: "readiness tells whether traffic can be served: not without a hard dependency, and soon again with it",
}, func() Detector { return new((&Readiness{}).resolved()) })

func (p *Readiness) resolved() Readiness {
	r := Readiness{
		Period:        orDefault(p.Period, 10*time.Second),
		AnswersWithin: orDefault(p.AnswersWithin, time.Second),
		ReadyWithin:   orDefault(p.ReadyWithin, 10*time.Second),
		Faults:        unusable(p.Faults),
		Success:       orDefault(p.Success, 0.99),
		Flaps:         orDefault(p.Flaps, 2),
	}
	return r
}

// unusable are the kinds of faults that make a dependency unusable, unless
// others are given.
func unusable(given []string) []string {
	if len(given) > 0 {
		return given
	}
	return []string{"outage", "blackhole", "connect_blackhole", "pause", "hang"}
}

// softShare is the share of polls that may fail while a soft dependency is out.
const softShare = 0.01

// Detect judges every step that makes a dependency unusable.
func (p *Readiness) Detect(j journal.Journal) Finding {
	d := open("readiness")
	q := p.resolved()
	if outcome, err := unpolled(j, journal.Readiness); err != nil {
		return d.as(outcome, "%v", err)
	}
	soft, known := map[string]bool{}, map[string]bool{}
	for _, dep := range j.Header().Dependencies {
		soft[dep.Name], known[dep.Name] = dep.Soft, true
	}
	judged, spared := 0, 0
	var worst readyAnswers
	for _, s := range j.Steps() {
		if s.Class != "fault" || !known[s.Target] || !slices.Contains(q.Faults, s.Action) {
			continue
		}
		w, ok := carriedOut(s)
		if !ok || w.To == 0 {
			d.doubt("step %q (%s on %s) was not in force and taken back%s", s.Name, s.Action, s.Target, because(s))
			continue
		}
		judged++
		spared += one(soft[s.Target])
		a := q.step(d, j, faultStep{s, w}, soft[s.Target])
		if !soft[s.Target] && !carries(j.Header(), s.Target) {
			a.turned, a.back = 0, 0
		}
		worst.turned, worst.back = max(worst.turned, a.turned), max(worst.back, a.back)
	}
	probed := q.cost(d, j)
	if judged == 0 && !probed && len(d.doubts) == 0 {
		return d.unknown("no step made a dependency unusable; %s would", strings.Join(q.Faults, ", "))
	}
	q.truth(d, j)
	q.steadily(d, j)
	if judged == 0 {
		return d.close("readiness was answered %s times from memory, or nearly so: its probes added at most %s calls a "+
			"second of dependencies", samplesOf(d.Quantities, "readiness_calls_added"),
			valueOf(d.Quantities, "readiness_calls_added"))
	}
	if spared == judged {
		return d.close("readiness stayed good in %d steps that made a soft dependency unusable", judged)
	}
	if worst.turned == 0 {
		return d.close("readiness was answered in time in %d steps that made a dependency unusable", judged)
	}
	return d.close("readiness told the truth in %d steps: unready at most %v after the fault, ready again at most %v "+
		"after the repair", judged, brief(worst.turned), brief(worst.back))
}

// carries says whether more than half of the traffic needs a dependency. A
// route that says nothing of what it uses is taken to need it.
func carries(h journal.Header, dependency string) bool {
	weighted := slices.ContainsFunc(h.Routes, func(r journal.Route) bool { return r.Weight > 0 })
	with, all := 0.0, 0.0
	for _, r := range h.Routes {
		weight := r.Weight
		if !weighted {
			weight = 1
		}
		all += weight
		if len(r.Uses) == 0 || uses(h, r, dependency) {
			with += weight
		}
	}
	return with*2 > all || all == 0
}

// mayUse says whether a request uses a dependency, or its route does not say.
func mayUse(h journal.Header, route, dependency string) bool {
	i := slices.IndexFunc(h.Routes, func(r journal.Route) bool { return r.Name == route })
	return i < 0 || len(h.Routes[i].Uses) == 0 || uses(h, h.Routes[i], dependency)
}

// uses says whether a route is declared to use a dependency, by name or kind.
func uses(h journal.Header, r journal.Route, dependency string) bool {
	return slices.ContainsFunc(h.Dependencies, func(d journal.DependencyInfo) bool {
		return d.Name == dependency && (slices.Contains(r.Uses, d.Name) || slices.Contains(r.Uses, d.Kind))
	})
}

// readyAnswers is what one step did to readiness, over all replicas.
type readyAnswers struct {
	turned, back     time.Duration // the slowest replica's; zero without
	never, neverBack string        // a replica that did not
	before           string        // one that was unready before
	ended            string        // one that was down before it turned
	endedAt          journal.Instant
	flaps            int
	polls, unready   int
	slowest          time.Duration
	slow, odd        Evidence
}

// step judges one dependency's outage.
func (p *Readiness) step(d *docket, j journal.Journal, s faultStep, soft bool) readyAnswers {
	until := afterwards(j, s.Step)
	a := p.watch(j, s.Begun, s.window, until)
	d.add(boundedTime("probe_max", a.slowest, p.AnswersWithin, a.polls))
	if a.slowest > p.AnswersWithin {
		d.against("promised to answer readiness within %v; while %s was out (%v to %v) it took up to %v: bound the checks",
			p.AnswersWithin, s.Target, s.window.From, s.window.To, brief(a.slowest))
		d.point(a.slow)
	}
	switch {
	case a.polls == 0:
		d.doubt("readiness was not polled while %s was out (%v to %v)", s.Target, s.window.From, s.window.To)
	case soft:
		d.add(bounded("unready_ratio_soft", ratio(a.unready, a.polls), "1", "<=", softShare, a.polls))
		if ratio(a.unready, a.polls) > softShare {
			d.against("%s is a soft dependency, but readiness failed in %d of %d polls while it was out (%v to %v)",
				s.Target, a.unready, a.polls, s.window.From, s.window.To)
			d.point(a.odd)
		}
	case !carries(j.Header(), s.Target):
		d.note("half of the traffic or more does without %s, so whether to turn unready for its sake was not judged",
			s.Target)
	default:
		p.hard(d, j, s, until, a)
	}
	return a
}

// hard judges the outage of a dependency that the service cannot do without.
func (p *Readiness) hard(d *docket, j journal.Journal, s faultStep, until journal.Window, a readyAnswers) {
	bound := 2 * p.Period
	d.add(measured("flaps", float64(a.flaps), "1", a.polls))
	length := s.window.Length()
	if lived := a.endedAt.Sub(s.window.From); a.ended != "" && lived >= bound {
		a.never, a.ended, length = a.ended, "", lived // it had time enough
	}
	switch {
	case a.never != "" && length >= bound:
		d.against("promised to turn unready when %s is gone; %s still answered 200 when it had been so for %v (%v to %v): "+
			"have readiness tell, within a timeout, whether what most requests need is there",
			s.Target, a.never, brief(length), s.window.From, s.window.From.Add(length))
		d.point(a.odd)
	case a.before != "":
		d.doubt("%s was not ready before %s was gone, so whether that turns it unready is not known", a.before, s.Target)
		return
	case a.ended != "":
		d.doubt("%s was down from %v on, before it had turned unready, so whether it would have is not known", a.ended,
			a.endedAt)
		return
	case a.never != "":
		d.doubt("%s stayed ready while %s was out for %v, which is less than two probe periods of %v", a.never, s.Target,
			brief(length), p.Period)
		return
	case a.turned > bound:
		d.against("promised to turn unready within %v of %s being gone; it took %v", bound, s.Target, brief(a.turned))
	default:
		d.add(boundedTime("unready_after", a.turned, bound, a.polls))
	}
	if a.flaps > p.Flaps {
		d.against("a replica turned back to ready %d times while %s was out (%v to %v)", a.flaps, s.Target,
			s.window.From, s.window.To)
	}
	watched := until.Length()
	switch {
	case a.neverBack == "" && a.back <= p.ReadyWithin:
		d.add(boundedTime("ready_after", a.back, p.ReadyWithin, a.polls))
		p.serves(d, j, s, journal.Window{From: s.window.To.Add(a.back), To: until.To})
	case a.neverBack == "":
		d.against("promised to be ready again within %v of %s being back; it took %v", p.ReadyWithin, s.Target, brief(a.back))
	case watched >= p.ReadyWithin || until.To == 0:
		d.against("promised to be ready again within %v of %s being back; %s was not", p.ReadyWithin, s.Target, a.neverBack)
	default:
		d.doubt("%s was not ready again when the run ended %v after the repair: make the experiment's recovery longer",
			a.neverBack, brief(watched))
	}
}

// serves asks that requests succeed from when all replicas say again that they
// are ready.
func (p *Readiness) serves(d *docket, j journal.Journal, s faultStep, w journal.Window) {
	if w.To == 0 || w.To <= w.From {
		return
	}
	c := countHits(j, span{windows: []journal.Window{w}}, "", nil)
	if c.sent < fewestBaseline {
		return
	}
	d.add(bounded("ready_again_success_ratio", ratio(c.ok, c.sent), "1", ">=", p.Success, c.sent))
	if _, upper := wilson(c.ok, c.sent); upper < p.Success {
		d.against("all replicas said again that they were ready at %v, after %s was back; only %s of %d requests from then "+
			"on succeeded (%s): be ready when they do", w.From, s.Target, pctSeen(ratio(c.ok, c.sent)), c.sent, c.answers)
	}
}

// watch follows every replica from a step's beginning through the time in which it
// was in force and the time after it.
func (p *Readiness) watch(j journal.Journal, begun journal.Instant, w, after journal.Window) readyAnswers {
	var a readyAnswers
	state, was := map[string]bool{}, map[string]bool{} // the last answer in the step, and before it
	turned, back := map[string]journal.Instant{}, map[string]journal.Instant{}
	polled := map[string]bool{}
	asked := questionsTo(j, journal.Readiness)
	for _, q := range asked.polls {
		e, poll := q.Entry, q.Poll
		in := func(w journal.Window) bool { return w.Contains(e.At) }
		if slices.ContainsFunc(asked.down[e.On], in) {
			continue
		}
		ready := poll.Code == http.StatusOK
		switch {
		case e.At < begun:
			was[e.On] = ready
		case w.Contains(e.At):
			polled[e.On] = true
			a.count(e, poll, ready)
			if !ready && turned[e.On] == 0 {
				turned[e.On] = e.At
			}
			if last, ok := state[e.On]; ok && !last && ready {
				a.flaps++
			}
			state[e.On] = ready
		case after.Contains(e.At) && ready && back[e.On] == 0:
			back[e.On] = e.At
		}
	}
	for _, r := range slices.Sorted(maps.Keys(polled)) {
		if ready, known := was[r]; known && !ready {
			a.before = r
		}
		switch {
		case turned[r] == 0:
			a.stayed(r, w, asked.down[r])
		case back[r] == 0:
			a.turned, a.neverBack = max(a.turned, turned[r].Sub(w.From)), r
		default:
			a.turned, a.back = max(a.turned, turned[r].Sub(w.From)), max(a.back, back[r].Sub(w.To))
		}
	}
	return a
}

// stayed takes down that a replica did not turn unready in a window: it stayed
// ready, or was down at some time of it.
func (a *readyAnswers) stayed(replica string, w journal.Window, down []journal.Window) {
	for _, d := range down {
		if w.Contains(d.From) {
			a.ended, a.endedAt = replica, d.From
			return
		}
	}
	a.never = replica
}

func (a *readyAnswers) count(e journal.Entry, p journal.Poll, ready bool) {
	a.polls++
	a.unready += one(!ready)
	a.odd = seen(e, "readiness: %d after %v", p.Code, brief(p.Took))
	if p.Took > a.slowest {
		a.slowest, a.slow = p.Took, a.odd
	}
}

// cost remarks on probes that ask dependencies each time; false when there was
// no step of many probes.
func (p *Readiness) cost(d *docket, j journal.Journal) bool {
	steps := probedSteps(j, journal.Readiness)
	for _, s := range steps {
		added, ok := costOf(j, s)
		if !ok || s.probes == 0 {
			d.doubt("step %q got %g answers of readiness, with no quiet time of %v before it, so what they cost is not known",
				s.name, s.probes, costOver)
			continue
		}
		d.add(measured("readiness_calls_added", added, "1/s", int(s.probes)))
		if added > costBearable {
			d.note("%g probes of readiness in step %q added %.3g calls a second of dependencies (more than %g): have the state "+
				"checked in the background", s.probes, s.name, added, costBearable)
		}
	}
	return len(steps) > 0
}

// steadily asks that readiness does not come and go while a dependency only
// fails now and then.
func (p *Readiness) steadily(d *docket, j journal.Journal) {
	for _, s := range j.Steps() {
		w, ok := carriedOut(s)
		_, known := dependencyOf(j.Header(), s.Target)
		if s.Class != "fault" || !known || slices.Contains(p.Faults, s.Action) || !ok || w.To == 0 {
			continue
		}
		a := p.watch(j, s.Begun, w, journal.Window{From: w.To, To: w.To})
		d.add(bounded("flaps_"+s.Name, float64(a.flaps), "1", "<=", float64(p.Flaps), a.polls))
		if a.flaps > p.Flaps {
			d.against("readiness turned back to 200 %d times while %s had its trouble now and then (%s, %v to %v), at most %d "+
				"are bearable: ask for several failures in a row", a.flaps, s.Target, s.Action, w.From, w.To, p.Flaps)
			d.point(a.odd)
		}
	}
}

// truth asks for requests to succeed while nothing is broken and readiness is
// good.
func (p *Readiness) truth(d *docket, j journal.Journal) {
	steady, err := steadySpan(j)
	if err != nil {
		d.note("there was no steady state, so whether a ready replica serves is not known")
		return
	}
	h := questionsTo(j, journal.Readiness).health(steady.windows)
	c := countHits(j, steady, "", nil)
	if c.sent < fewestBaseline || h.polls == 0 || h.refused+h.unanswered > 0 {
		d.note("%d requests in the steady state do not tell whether a ready replica serves", c.sent)
		return
	}
	d.add(bounded("ready_success_ratio", ratio(c.ok, c.sent), "1", ">=", p.Success, c.sent))
	if _, upper := wilson(c.ok, c.sent); upper < p.Success {
		d.against("readiness said 200 in the steady state while only %s of %d requests succeeded (%s)",
			pctSeen(ratio(c.ok, c.sent)), c.sent, c.answers)
	}
}
