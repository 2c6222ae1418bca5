package detect

import (
	"cmp"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// NestedDeadline judges whether one deadline bounds a request's calls together
// (detectors.md D02): a request that has waited for one dependency has only the
// rest of its time for the next. It needs two faults on two dependencies, the
// second of which goes on when the first is taken back, so that a request meets
// both, one after the other, and no single call hangs for longer than a timeout
// of its own would allow.
//
// What is late by up to twice the slack is unknown; later, or unanswered when our
// own client gave up past the promise, is a violation.
type NestedDeadline struct {
	// Within is the longest a caller waits for an answer of any kind. Zero: the
	// promise answers_within.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
	// Slack is what is borne beyond that for the machine's own noise (0.52 s at
	// most was measured). Default 500ms.
	Slack time.Duration `yaml:"slack" json:"slack,omitempty"`
	// Waited is how long a request must have waited for the first dependency.
	// Default 300ms.
	Waited time.Duration `yaml:"waited" json:"waited,omitempty"`
	// AtLeast is how many requests must have met both. Default 5.
	AtLeast int `yaml:"at_least" json:"at_least,omitempty"`
	// Attack restricts it to one attack's hits: a step's name, or any. Empty:
	// the ordinary load.
	Attack string `yaml:"attack" json:"attack,omitempty"`
}

var _ = register(Info{
	Kind: "nested_deadline", ID: "D02", Checklist: []string{"3.2"}, Class: Timing,
	Summary: "callers are answered in time although two dependencies hang one after the other",
}, func() Detector {
	return &NestedDeadline{Slack: 500 * time.Millisecond, Waited: 300 * time.Millisecond, AtLeast: 5}
})

// handover is the instant at which one dependency answers again while another
// hangs.
type handover struct {
	first, second faultStep
}

// Detect judges the requests that met both faults.
func (p *NestedDeadline) Detect(j journal.Journal) Finding {
	f := finding("nested_deadline")
	h := j.Header()
	over, ok := handoverOf(j)
	if !ok {
		return f.unknown("no dependency was seen to answer again while another still hung, so no request can have waited " +
			"for one after the other: the method needs faults on two dependencies, the second of which outlasts the first")
	}
	first, second := over.first.Target, over.second.Target
	routes := usersOf(h, second)
	routes = slices.DeleteFunc(routes, func(r string) bool { return !slices.Contains(usersOf(h, first), r) })
	if len(routes) == 0 && saysUses(h) {
		return f.notApplicable("no request of the traffic uses both %s and %s, so that its calls could hang one after the "+
			"other (looked for in uses of traffic.requests)", first, second)
	}
	m := nestedMeasure{within: cmp.Or(p.Within, h.Promises.AnswersWithin), slack: p.Slack, over: over}
	m.asked(j, p.Attack, routes, p.Waited)
	f.Quantities = []journal.Quantity{
		measured("met_both", float64(m.met), "1", m.sent),
		boundedTime("nested_answer_max", m.longest, m.within+m.slack, m.met),
		measured("waited_max", m.waited.Seconds(), "s", m.met),
	}
	f.Evidence = m.worst
	return m.judge(f, max(1, p.AtLeast))
}

// saysUses says that the subject tells which request needs what.
func saysUses(h journal.Header) bool {
	return slices.ContainsFunc(h.Routes, func(r journal.Route) bool { return len(r.Uses) > 0 })
}

// handoverOf finds the first fault that ends while one on another dependency
// goes on.
func handoverOf(j journal.Journal) (handover, bool) {
	var faults []faultStep
	for _, s := range j.Steps() {
		if w, ok := s.Window(); ok && s.Class == "fault" && isDependency(j.Header(), s.Target) {
			faults = append(faults, faultStep{s, w})
		}
	}
	for _, a := range faults {
		for _, b := range faults {
			if before(a, b) {
				return handover{a, b}, true
			}
		}
	}
	return handover{}, false
}

// before says that one fault ended while another, on another target, went on.
func before(a, b faultStep) bool {
	end := a.window.To
	return end != 0 && a.Target != b.Target && b.window.From <= end && (b.window.To == 0 || b.window.To > end)
}

func isDependency(h journal.Header, name string) bool {
	return slices.ContainsFunc(h.Dependencies, func(d journal.DependencyInfo) bool { return d.Name == name })
}

// nestedMeasure is what was seen of the requests that met both faults.
type nestedMeasure struct {
	within, slack time.Duration
	over          handover

	sent int
	tied bool // by the ids that the service passed on
	metBoth
}

// metBoth are the requests that met both faults.
type metBoth struct {
	met          int
	late, broken int
	longest      time.Duration // by the due instant
	waited       time.Duration // for the first, at the longest
	worst        []Evidence
}

// asked looks at every request that was sent while the first dependency hung.
// It met the second when one of its calls arrived there, after it had waited for
// the first; where the service passes no ids on, when it uses both and was still
// under way a while after the first had been taken back.
func (m *nestedMeasure) asked(j journal.Journal, attack string, routes []string, least time.Duration) {
	run, end := j.Header().Run, m.over.first.window.To
	s := span{name: "the first fault", windows: []journal.Window{m.over.first.window}}
	arrived := m.arrivedFor(j)
	var byTime metBoth
	for r := range hits(j, s, attack, routes) {
		if r.Dropped || r.Sent >= end {
			continue
		}
		m.sent++
		if waited := end.Sub(r.Sent); waited >= least && r.Done > end.Add(least) {
			byTime.add(run, r, waited, m.within, m.slack)
		}
		at := earliest(arrived.of(r))
		if at == nil {
			continue
		}
		m.tied = true
		// One that came sooner did not wait for the first.
		if waited := at.Sub(r.Sent); waited >= least && *at >= end.Add(-least/2) {
			m.add(run, r, waited, m.within, m.slack)
		}
	}
	if !m.tied && m.called(j, least) {
		m.metBoth = byTime
	}
}

// called says that a call came to the second dependency after the first had been
// taken back, as far as its calls can be seen.
func (m *nestedMeasure) called(j journal.Journal, least time.Duration) bool {
	second := m.over.second
	if dep, _ := dependencyOf(j.Header(), second.Target); dep.Kind != "http" {
		return true
	}
	from := m.over.first.window.To.Add(-least / 2)
	return slices.ContainsFunc(arrivals(j, second.Target), func(a arrival) bool {
		return a.at >= from && second.window.Contains(a.at)
	})
}

// add judges one request that met both.
func (m *metBoth) add(run string, r journal.Request, waited, within, slack time.Duration) {
	m.met++
	m.waited = max(m.waited, waited)
	if r.Latency() > m.longest {
		m.longest = r.Latency()
		m.worst = []Evidence{requestEvidence(run, r)}
	}
	limit := within + slack
	switch {
	case r.RawLatency() > limit+slack, r.Err == journal.ErrTimeout && r.RawLatency() > limit:
		m.broken++
	case r.Latency() > limit, r.Err == journal.ErrTimeout:
		m.late++
	}
}

// arrivedFor is when a call of a request first arrived at the second dependency
// while that hung.
func (m *nestedMeasure) arrivedFor(j journal.Journal) *carried[journal.Instant] {
	first := newCarried[journal.Instant](j.Header())
	for _, a := range arrivals(j, m.over.second.Target) {
		if !m.over.second.window.Contains(a.at) {
			continue
		}
		if at := first.by(a.call); at != nil && *at == 0 {
			*at = a.at
		}
	}
	return first
}

// earliest is the earlier of two instants; nil when neither is known.
func earliest(a, b *journal.Instant) *journal.Instant {
	if a == nil || b != nil && *b < *a {
		return b
	}
	return a
}

func (m *nestedMeasure) judge(f Finding, need int) Finding {
	first, second := m.over.first.Target, m.over.second.Target
	how := "by their ids"
	if !m.tied {
		how = "by their time alone, since the service passes no id on"
	}
	said := say("promised: every caller is answered within %v; seen: %d of %d requests waited for %s (%s at the "+
		"longest) and then for %s (told %s), and were answered within %s", m.within, m.met, m.sent, first, brief(m.waited),
		second, how, brief(m.longest))
	switch {
	case m.broken > 0:
		return f.violated("%s; %d of them waited for longer than was promised: give the request one deadline, and each call "+
			"what is left of it (context.WithTimeout in the handler, its context in every call)", said, m.broken)
	case m.met < need:
		return f.unknown("%s; %d are needed: the traffic must ask for what uses both, and the first fault end before the "+
			"service gives up", said, need)
	case m.late > 0:
		return f.unknown("%s; %d came a little later than promised, or our own client gave up on them: too close to tell "+
			"from this machine's noise", said, m.late)
	}
	return f.held("%s", said)
}
