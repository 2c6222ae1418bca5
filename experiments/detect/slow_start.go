package detect

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// SlowStart asks what becomes of replicas that are started while a dependency
// is out (D75): each is alive within AliveWithin and stays so, says that it is
// not ready for as long as most of the traffic cannot be served, does not end
// by itself, is ready within ReadyWithin of the repair, and once it has said
// that it is ready no request is answered with a 5xx.
//
// Where the service has a startup endpoint, liveness is judged from that
// endpoint's first 200 on. Without one, Kubernetes' own defaults restart a
// container whose liveness has failed three times 10 s apart, so that 10 s leave
// a failure to spare. One exit is a violation: the platform's next start waits
// longer each time.
//
// It needs a step that makes a dependency unusable, replicas that are started
// in it (restart_all), readiness polls, and 20 requests after they are ready.
// Requests are those of the load and of attacks, as a balancer of connections
// sends them to ready replicas only; behind one of requests, which has 5xx of
// its own, they are judged from 2 s after the last replica was ready.
// Sources: detectors.md D75; Kubernetes' defaults for probes.
type SlowStart struct {
	// AliveWithin is how soon after its start liveness, or the startup
	// endpoint, is 200. Default 10s.
	AliveWithin time.Duration `json:"alive_within,omitempty" yaml:"alive_within"`
	// ReadyWithin is how soon after the repair readiness is 200. Default 10s.
	ReadyWithin time.Duration `json:"ready_within,omitempty" yaml:"ready_within"`
	// Faults are the kinds of steps that make a dependency unusable. Default
	// outage, blackhole, connect_blackhole, pause and hang.
	Faults []string `json:"faults,omitempty" yaml:"faults"`
	// AtLeast is how many requests are needed after a replica is ready. Default
	// 20.
	AtLeast int `json:"at_least,omitempty" yaml:"at_least"`
}

var _ = register(Info{
	Kind: "slow_start", ID: "D75", Checklist: []string{"9.6"}, Class: Timing,
	Summary: "a replica started while a dependency is out waits for it: alive, not ready, and ready soon after",
}, func() Detector { return new((&SlowStart{}).resolved()) })

func (p *SlowStart) resolved() SlowStart {
	return SlowStart{
		AliveWithin: orDefault(p.AliveWithin, 10*time.Second),
		ReadyWithin: orDefault(p.ReadyWithin, 10*time.Second),
		Faults:      unusable(p.Faults),
		AtLeast:     orDefault(p.AtLeast, 20),
	}
}

// behindHTTP is how long after the last replica was ready a balancer of
// requests has noticed.
const behindHTTP = 2 * time.Second

// lateStart is one replica started in a step.
type lateStart struct {
	faultStep
	replica string
	at      journal.Instant
	// until is when it was taken down by seatrial; zero when it was not.
	until journal.Instant
	// ready is the end of its first poll with 200; zero without.
	ready journal.Instant
}

// Detect judges every replica that was started while a dependency was out.
func (p *SlowStart) Detect(j journal.Journal) Finding {
	d := open("slow_start")
	q := p.resolved()
	if outcome, err := unpolled(j, journal.Readiness); err != nil {
		return d.as(outcome, "%v", err)
	}
	var starts []lateStart
	for _, s := range dependencySteps(j, q.Faults) {
		w, ok := carriedOut(s)
		if !ok || w.To == 0 {
			d.doubt("step %q (%s on %s) was not in force and taken back%s", s.Name, s.Action, s.Target, because(s))
			continue
		}
		starts = append(starts, startsIn(j, faultStep{s, w})...)
	}
	if len(starts) == 0 && len(d.doubts) == 0 {
		return d.unknown("no replica was started while a dependency was out (%s)", strings.Join(q.Faults, ", "))
	}
	for i := range starts {
		q.exits(d, j, starts[i])
		q.alive(d, j, starts[i])
		q.ready(d, j, &starts[i])
	}
	q.served(d, j, starts)
	return d.close("%d replicas started while a dependency was out lived on, not ready before it was back, and ready "+
		"at most %s after, with no 5xx in %s requests", len(starts), timeOf(d.Quantities, "ready_after_repair"),
		samplesOf(d.Quantities, "errors_once_ready"))
}

// dependencySteps are the fault steps of some kinds on dependencies.
func dependencySteps(j journal.Journal, kinds []string) []journal.Step {
	return slices.DeleteFunc(slices.Clone(j.Steps()), func(s journal.Step) bool {
		_, known := dependencyOf(j.Header(), s.Target)
		return s.Class != "fault" || !known || !slices.Contains(kinds, s.Action)
	})
}

// startsIn are the first starts of each replica in a step.
func startsIn(j journal.Journal, s faultStep) []lateStart {
	var all []lateStart
	find := func(replica string) int {
		return slices.IndexFunc(all, func(l lateStart) bool { return l.replica == replica })
	}
	for e := range j.Entries(journal.Started{}.Kind(), journal.Signalled{}.Kind()) {
		i := find(e.On)
		switch e.Body.(type) {
		case journal.Started:
			if i < 0 && s.window.Contains(e.At) {
				all = append(all, lateStart{faultStep: s, replica: e.On, at: e.At})
			}
		case journal.Signalled:
			if i >= 0 && all[i].until == 0 {
				all[i].until = e.At
			}
		}
	}
	return all
}

// over says that a thing was sent to the replica outside of its life.
func (l lateStart) over(e journal.Entry) bool {
	return e.On != l.replica || e.At < l.at || l.until != 0 && e.At >= l.until
}

// exits asks that it did not end by itself.
func (p *SlowStart) exits(d *docket, j journal.Journal, l lateStart) {
	n := 0
	var last journal.Exited
	for e, exit := range journal.Of[journal.Exited](j) {
		if l.over(e) || exit.Asked != "" {
			continue
		}
		n++
		last = exit
		d.point(seen(e, "ended with code %d", exit.Code))
	}
	d.add(bounded("exits_"+l.replica, float64(n), "1", "==", 0, 1))
	if n > 0 {
		d.against("%s was started at %v while %s was out, and ended by itself %d times, with code %d: wait for the "+
			"dependency instead, and say so by readiness", l.replica, l.at, l.Target, n, last.Code)
	}
}

// alive asks for liveness, or startup before it.
func (p *SlowStart) alive(d *docket, j journal.Journal, l lateStart) {
	endpoint := journal.Liveness
	if polled(j, journal.Startup) {
		endpoint = journal.Startup
	}
	if !polled(j, journal.Liveness) {
		d.note("the service has no liveness endpoint that could be polled, so what its platform would do was not judged")
		return
	}
	from, ok := p.firstOK(j, l, endpoint)
	took := from.Sub(l.at)
	switch {
	case !ok && endpoint == journal.Startup:
		return // the platform still waits, and does not ask for liveness
	case !ok && l.window.To.Sub(l.at) < p.AliveWithin:
		d.doubt("%s was not alive when %s was back %v after its start, which is less than %v", l.replica, l.Target,
			brief(l.window.To.Sub(l.at)), p.AliveWithin)
		return
	case !ok:
		d.against("promised a liveness that does not wait for dependencies; %s, started at %v while %s was out, had not "+
			"answered it with 200 after %v: listen first, or declare a startup probe", l.replica, l.at, l.Target,
			brief(l.window.To.Sub(l.at)))
		return
	case took > p.AliveWithin && endpoint == journal.Liveness:
		d.against("promised a liveness that does not wait for dependencies; %s answered it with 200 only %v after its start "+
			"(at most %v): listen first, or declare a startup probe", l.replica, brief(took), p.AliveWithin)
	}
	d.add(measured("alive_after_"+l.replica, took.Seconds(), "s", 1))
	p.staysAlive(d, j, l, from)
}

// firstOK is when the first 200 of an endpoint was asked for in the step.
func (p *SlowStart) firstOK(j journal.Journal, l lateStart, endpoint string) (journal.Instant, bool) {
	for _, q := range pollsBySending(j, endpoint) {
		if !l.over(q.Entry) && l.window.Contains(q.At) && q.Code == http.StatusOK {
			return q.At, true
		}
	}
	return 0, false
}

func (p *SlowStart) staysAlive(d *docket, j journal.Journal, l lateStart, from journal.Instant) {
	h := health{took: newLatencies()}
	rows := map[string]int{}
	for _, q := range pollsBySending(j, journal.Liveness) {
		if !l.over(q.Entry) && q.At >= from && l.window.Contains(q.At) {
			h.polls++
			h.count(q.Entry, q.Poll, rows)
		}
	}
	d.add(bounded("liveness_failures_"+l.replica, float64(h.refused), "1", "==", 0, h.polls))
	if fault := h.fault(); fault != "" {
		d.against("promised to stay alive while it waits for %s; from %v on, of %s %s", l.Target, from, l.replica, fault)
		d.point(h.firstRefused)
		d.point(h.firstUnanswered)
	}
}

// ready asks for no readiness before the repair, and for it soon after.
func (p *SlowStart) ready(d *docket, j journal.Journal, l *lateStart) {
	early, polls := 0, 0
	var first Evidence
	var after journal.Instant
	repaired := max(l.Reverted, l.window.To)
	for _, q := range pollsBySending(j, journal.Readiness) {
		if l.over(q.Entry) {
			continue
		}
		ok, ended := q.Code == http.StatusOK, q.At.Add(q.Took)
		if ok && l.ready == 0 {
			l.ready = ended
		}
		switch {
		case ended < l.window.To:
			polls++
			early += one(ok)
			if ok && first.Kind == "" {
				first = seen(q.Entry, "readiness: %d, %v after the start", q.Code, brief(q.At.Sub(l.at)))
			}
		case ok && after == 0:
			after = max(q.At, repaired)
		}
	}
	if polls == 0 {
		d.doubt("readiness of %s was not polled between its start and the repair of %s", l.replica, l.Target)
	}
	p.tooEarly(d, j, l, early, polls, first)
	if l.ready != 0 && !needed(j.Header(), l.Target) {
		l.ready = max(l.ready, repaired) // what needs it may fail until it is back
	}
	p.readyAgain(d, j, *l, after, repaired)
}

// needed says whether most of the traffic cannot do without a dependency.
func needed(h journal.Header, dependency string) bool {
	dep, _ := dependencyOf(h, dependency)
	return !dep.Soft && carries(h, dependency)
}

// tooEarly asks for no readiness before the repair of what most of the traffic
// needs: in so many polls it was there early.
func (p *SlowStart) tooEarly(d *docket, j journal.Journal, l *lateStart, early, polls int, first Evidence) {
	if !needed(j.Header(), l.Target) {
		d.note("most of the traffic goes on without %s, so whether to be ready without it was not judged", l.Target)
		return
	}
	d.add(bounded("ready_too_early_"+l.replica, float64(early), "1", "==", 0, polls))
	if left := l.window.To.Sub(l.at); left < p.AliveWithin {
		d.doubt("%s was started only %v before %s was back, too late to see whether it is ready too early", l.replica,
			brief(left), l.Target)
	}
	if early > 0 {
		d.against("promised not to be ready before it can serve; %s, started at %v while %s was out, said 200 in %d of %d "+
			"polls: be unready until the first check has succeeded", l.replica, l.at, l.Target, early, polls)
		d.point(first)
	}
}

func (p *SlowStart) readyAgain(d *docket, j journal.Journal, l lateStart, after, repaired journal.Instant) {
	watched := loadEnd(j).Sub(repaired)
	switch took := after.Sub(repaired); {
	case after != 0 && took <= p.ReadyWithin:
		d.add(boundedTime("ready_after_repair", took, p.ReadyWithin, 1))
	case after != 0:
		d.against("promised to be ready within %v of %s being back; %s took %v", p.ReadyWithin, l.Target, l.replica,
			brief(took))
	case watched >= p.ReadyWithin:
		d.against("promised to be ready within %v of %s being back; %s was not after %v", p.ReadyWithin, l.Target, l.replica,
			brief(watched))
	default:
		d.doubt("%s was not ready when the load ended %v after the repair of %s: make the experiment's recovery longer",
			l.replica, brief(watched), l.Target)
	}
}

// served asks that no request fails with a 5xx once a replica is ready.
func (p *SlowStart) served(d *docket, j journal.Journal, starts []lateStart) {
	var from journal.Instant
	viaHTTP := j.Header().Balancer == "http"
	for _, l := range starts {
		switch {
		case l.ready == 0:
		case viaHTTP:
			from = max(from, l.ready.Add(behindHTTP))
		case from == 0 || l.ready < from:
			from = l.ready
		}
	}
	if from == 0 {
		return // never ready, which is told already
	}
	until := afterwards(j, starts[0].Step).To
	n, bad := 0, tally{}
	for r := range hits(j, span{windows: []journal.Window{{From: from, To: until}}}, anyAttack, nil) {
		if r.Sent < from || r.Code == 0 {
			continue
		}
		n++
		if r.Code >= http.StatusInternalServerError {
			bad[answer(r)]++
			d.point(requestEvidence(j.Header().Run, r))
		}
	}
	failed := 0
	for _, times := range bad {
		failed += times
	}
	d.add(bounded("errors_once_ready", float64(failed), "1", "==", 0, n))
	other := slices.IndexFunc(j.Header().Replicas, func(r string) bool {
		return !slices.ContainsFunc(starts, func(l lateStart) bool { return l.replica == r })
	})
	switch {
	case failed > 0 && other >= 0:
		d.doubt("from %v on %d of %d requests were answered with 5xx (%s), but %s was not started anew, and may have given "+
			"them", from, failed, n, bad, j.Header().Replicas[other])
	case failed > 0:
		d.against("promised that who is ready can serve; from %v on, when the first replica was ready, %d of %d requests "+
			"were answered with 5xx (%s): be ready only when connections, migrations and caches are", from, failed, n, bad)
	case n < p.AtLeast:
		d.doubt("only %d requests were answered after a replica was ready, and %d are needed", n, p.AtLeast)
	}
}
