package detect

import (
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Liveness asks whether a replica whose dependencies fail, or which is
// overloaded, still says that it is alive, and says so at once (D73): every
// answer is 200, their p99 is at most 250 ms, and no replica ends by itself.
// A liveness that fails has the platform restart a process that restarting does
// not help.
//
// It needs liveness polls, 50 to 100 ms apart, while every dependency is black-
// holed, a table is locked or five times the capacity is offered. A liveness
// endpoint that asks a dependency is seen by its answer while that dependency
// hangs. Three polls in a row without an answer count as a failure
// (Kubernetes' threshold); a late answer counts against the p99. Polls of a
// replica that seatrial itself had stopped are left out. Where a health_probes
// step asked it 100 times a second, no more than 2 calls a second of
// dependencies may have been added to those of the time before the first step.
type Liveness struct {
	// Within is the p99 of the answers. Default 250ms.
	Within time.Duration `json:"within,omitempty" yaml:"within"`
	// During is the window: fault (default), steady, method, after, all or a
	// step's name.
	During string `json:"during,omitempty" yaml:"during"`
	// AtLeast is how many polls are needed. Default 30.
	AtLeast int `json:"at_least,omitempty" yaml:"at_least"`
}

var _ = register(Info{
	Kind: "liveness", ID: "D73", Checklist: []string{"9.4"}, Class: Timing,
	Summary: "liveness stays 200, and quick, whatever becomes of the dependencies",
}, func() Detector { return &Liveness{Within: 250 * time.Millisecond, AtLeast: 30} })

// Detect judges the polls.
func (p *Liveness) Detect(j journal.Journal) Finding {
	d := open("liveness")
	within := orDefault(p.Within, 250*time.Millisecond)
	s, err := resolve(j, p.During, DuringFault)
	if err != nil {
		return d.unknown("%v", err)
	}
	if outcome, err := unpolled(j, journal.Liveness); err != nil {
		return d.as(outcome, "%v", err)
	}
	asked := questionsTo(j, journal.Liveness)
	h := asked.health(s.windows)
	d.add(bounded("liveness_failures", float64(h.refused), "1", "==", 0, h.polls),
		measured("liveness_unanswered", float64(h.unanswered), "1", h.polls),
		boundedTime("liveness_p99", h.took.at(0.99), within, h.took.count()))
	d.point(h.firstRefused)
	d.point(h.firstUnanswered)
	if fault := p.usual(j, asked); fault != "" {
		return d.unknown("liveness had failed before anything was broken: %s", fault)
	}
	p.alive(d, j, s)
	p.cost(d, j)
	switch {
	case h.polls < max(p.AtLeast, 1):
		d.doubt("only %d liveness polls were sent in %v, and %d are needed", h.polls, s, p.AtLeast)
	case h.fault() != "":
		d.against("promised to stay alive whatever becomes of its dependencies; in %v %s: ask no dependency in liveness", s,
			h.fault())
	case h.unanswered > 0:
		d.note("%d of %d polls got no answer", h.unanswered, h.polls)
	}
	if gap, replica := asked.unasked(s.windows); gap > unaskedMost {
		d.doubt("%s was not asked for %v in %v, so that its liveness then is not known", replica, brief(gap), s)
	}
	if p99 := h.took.at(0.99); p99 > within {
		d.point(h.slowest)
		if noise := sleeperNoise(j, s.windows); noise > noiseMost {
			d.doubt("the p99 of liveness was %v, but the machine itself was late by %v", brief(p99), brief(noise))
		} else {
			d.against("promised a liveness that costs nothing; in %v its p99 was %v, above %v: answer it from memory", s,
				brief(p99), within)
		}
	}
	return d.close("in %v all %d answers were 200, their p99 was %v", s, h.took.count(), brief(h.took.at(0.99)))
}

// usual says in which way liveness failed before anything was broken.
func (p *Liveness) usual(j journal.Journal, asked questions) string {
	steady, err := steadySpan(j)
	if err != nil || p.During == DuringSteady {
		return ""
	}
	before := asked.health(steady.windows)
	return before.fault()
}

// cost asks that probes of liveness ask no dependency.
func (p *Liveness) cost(d *docket, j journal.Journal) {
	for _, s := range probedSteps(j, journal.Liveness) {
		added, ok := costOf(j, s)
		if !ok || s.probes < float64(max(p.AtLeast, 1)) {
			d.doubt("step %q got %g answers of liveness, with no quiet time of %v before it, so what they cost is not known",
				s.name, s.probes, costOver)
			continue
		}
		d.add(bounded("liveness_calls_added", added, "1/s", "<=", costBearable, int(s.probes)))
		if added > costBearable {
			d.against("promised a liveness that asks nobody; %g probes in step %q (%v to %v) added %.3g calls a second of "+
				"dependencies: answer it from memory", s.probes, s.name, s.window.From, s.window.To, added)
		}
	}
}

// alive asks that no replica ended by itself.
func (p *Liveness) alive(d *docket, j journal.Journal, s span) {
	for e, exit := range journal.Of[journal.Exited](j) {
		if exit.Asked == "" && s.contains(e.At) {
			d.against("%s ended by itself in %v, with code %d", e.On, s, exit.Code)
			d.point(seen(e, "ended with code %d", exit.Code))
		}
	}
}

// unpolled says why there are no polls of an endpoint: not applicable where the
// service has none, unknown where it should have been polled; empty where it was.
func unpolled(j journal.Journal, endpoint string) (Outcome, error) {
	if polled(j, endpoint) {
		return "", nil
	}
	known := j.Header().Endpoints
	told := known != nil || endpoint != journal.Readiness && polled(j, journal.Readiness)
	if told && !slices.Contains(known, endpoint) {
		return NotApplicable, fmt.Errorf("the service has no %s endpoint that could be polled; name it as service.%s",
			endpoint, endpoint)
	}
	return Unknown, fmt.Errorf("%s was not polled", endpoint)
}

func polled(j journal.Journal, endpoint string) bool {
	for _, p := range journal.Of[journal.Poll](j) {
		if p.Endpoint == endpoint {
			return true
		}
	}
	return false
}

// sleeperNoise is the p99 of what the short control sleepers overshot.
func sleeperNoise(j journal.Journal, windows []journal.Window) time.Duration {
	late := newLatencies()
	in := span{windows: windows}
	for e, s := range journal.Of[journal.Sleeper](j) {
		if s.Sleep != shortSleep || !in.contains(e.At) {
			continue
		}
		for _, o := range s.Overshoots {
			late.add(o)
		}
	}
	return late.at(0.99)
}
