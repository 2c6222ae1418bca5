package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Deadline judges whether callers are answered in time while a dependency is
// slow or hangs, and whether the service then gives up its own call as well
// (detectors.md D01). What is late up to twice the promise is unknown; later
// than that, unanswered when our own client gave up past the promise, or a call
// held open for more than twice the promise is a violation.
//
// A fault that hangs for less than the promise, and the slack, can make nobody
// wait for longer, and leaves it unknown. How late the generator was counts
// against holding, and not for a violation. Errors other than 502, 503 and 504
// in time are a remark.
type Deadline struct {
	// Within is the longest a caller waits for an answer of any kind. Zero: the
	// promise answers_within.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
	// Slack is what is borne beyond that for the machine's own noise (0.52 s at
	// most was measured). Default 500ms.
	Slack time.Duration `yaml:"slack" json:"slack,omitempty"`
	// On is the dependency. Empty: the experiment's target.
	On string `yaml:"on" json:"on,omitempty"`
	// During is the window: fault (default), method, all or a step's name.
	During string `yaml:"during" json:"during,omitempty"`
	// Routes restricts the judgement to these requests of the traffic. Empty:
	// those that use the dependency, or all where the subject does not say.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
	// Attack restricts it to one attack's hits: a step's name, or any. Empty:
	// the ordinary load.
	Attack string `yaml:"attack" json:"attack,omitempty"`
	// MinSamples is how many requests are needed. Default 20.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "deadline", ID: "D01", Checklist: []string{"3.2"}, Class: Timing,
	Summary: "callers are answered in time while a dependency hangs, and its calls are given up",
}, func() Detector { return &Deadline{Slack: 500 * time.Millisecond, MinSamples: 20} })

// target is the dependency that a detector looks at: the one it is given, the
// experiment's, or that of the method's first fault. Empty: none is named.
func target(h journal.Header, on string) string {
	if on != "" || h.Target != "" {
		return cmp.Or(on, h.Target)
	}
	for _, s := range h.Method {
		if s.Class == "fault" && s.Target != "" {
			return s.Target
		}
	}
	return ""
}

// Detect judges the journal.
func (d *Deadline) Detect(j journal.Journal) Finding {
	f := finding("deadline")
	h := j.Header()
	s, err := resolve(j, d.During, DuringFault)
	if err != nil {
		return f.unknown("whether callers were answered in time is not known: %v", err)
	}
	on := target(h, d.On)
	routes := d.Routes
	if len(routes) == 0 {
		routes = usersOf(h, on)
	}
	m := deadlineMeasure{within: cmp.Or(d.Within, h.Promises.AnswersWithin), on: on, answers: tally{}}
	m.limit = m.within + d.Slack
	m.asked(j, s, d.Attack, routes)
	m.called(j, s)
	m.short = shortHang(j, s, on, m.limit)
	m.hung = slices.ContainsFunc(j.Steps(), func(step journal.Step) bool {
		w, ok := carriedOut(step)
		return ok && step.Target == on && slices.Contains(hangs, step.Action) && s.contains(w.From)
	})
	f.Quantities = m.quantities()
	f.Evidence = m.evidence()
	return m.judge(f, s, max(1, d.MinSamples))
}

// deadlineMeasure is what was seen of callers and calls.
type deadlineMeasure struct {
	within, limit time.Duration
	on            string

	sent, dropped int
	answered      int // somebody was there to work on it
	late          int // answered or ended after the limit, by the due instant
	broken        int // beyond doubt: after twice the promise, or never
	cutShort      int // our own client gave up before the limit
	failures      int
	longest       time.Duration // by the due instant
	longestRaw    time.Duration
	answers       tally  // statuses that a caller cannot act on
	short         string // why nobody could be made to wait; empty where somebody could
	worst         []Evidence

	hung                              bool // the fault keeps who meets it waiting
	calls, held, callLate, callBroken int
	troubled                          int // calls that met the fault
	longestCall                       time.Duration
	worstCall                         []Evidence
}

func (m *deadlineMeasure) asked(j journal.Journal, s span, attack string, routes []string) {
	run := j.Header().Run
	for r := range hits(j, s, attack, routes) {
		if r.Dropped {
			m.dropped++
			continue
		}
		m.sent++
		m.answered += one(waitedOn(r))
		if !r.OK {
			m.failures++
		}
		if !r.OK && !slices.Contains([]int{502, 503, 504}, r.Code) {
			m.answers[answer(r)]++
		}
		m.longestRaw = max(m.longestRaw, r.RawLatency())
		if r.Latency() > m.longest {
			m.longest = r.Latency()
			m.worst = []Evidence{requestEvidence(run, r)}
		}
		switch {
		case r.RawLatency() > 2*m.within, r.Err == journal.ErrTimeout && r.RawLatency() > m.limit:
			m.broken++
		case r.Err == journal.ErrTimeout:
			m.cutShort++
		case r.Latency() > m.limit:
			m.late++
		}
	}
}

// hangs are the kinds of faults that keep callers waiting for as long as they are
// in force.
var hangs = []string{"hang", "stalled_body", "blackhole", "connect_blackhole", "pause", "table_lock"}

// shortHang says which fault hung for less than the limit; empty when none did.
func shortHang(j journal.Journal, s span, on string, limit time.Duration) string {
	for _, step := range j.Steps() {
		w, ok := carriedOut(step)
		switch {
		case step.Class != "fault" || !slices.Contains(hangs, step.Action) || on != "" && step.Target != on:
		case ok && w.To != 0 && s.contains(w.From) && w.Length() < limit:
			return fmt.Sprintf("step %q hung for only %v, so that nobody could be kept waiting for longer than %v: have it "+
				"last for longer", step.Name, brief(w.Length()), limit)
		}
	}
	return ""
}

// called looks at how long the service held its calls to the dependency. One that
// it held until the stub cut it, as what hung was taken back, or until the
// recording ended, it would have held for longer.
func (m *deadlineMeasure) called(j journal.Journal, s span) {
	for _, a := range arrivals(j, m.on) {
		if !s.contains(a.at) {
			continue
		}
		m.calls++
		m.troubled += one(a.failed() || a.call.Fault != "")
		held := max(a.call.HungUpAfter, a.call.Answered, a.call.Age)
		if held > m.longestCall {
			m.longestCall = held
			m.worstCall = []Evidence{a.evidence("held for %s (hung up: %s)", brief(held), strconv.FormatBool(a.call.HungUp))}
		}
		switch {
		case held > 2*m.within:
			m.callBroken++
		case held > m.limit:
			m.callLate++
		}
		if a.call.HungUp {
			m.held++
		}
	}
}

func (m *deadlineMeasure) quantities() []journal.Quantity {
	q := []journal.Quantity{
		boundedTime("answer_max", m.longest, m.limit, m.sent),
		measured("answer_max_raw", m.longestRaw.Seconds(), "s", m.sent),
		bounded("answers_late", float64(m.late+m.broken), "1", "<=", 0, m.sent),
		measured("failures", float64(m.failures), "1", m.sent),
	}
	if m.calls > 0 {
		q = append(q, boundedTime("call_max", m.longestCall, m.limit, m.calls),
			measured("calls_given_up", float64(m.held), "1", m.calls))
	}
	return q
}

func (m *deadlineMeasure) evidence() []Evidence { return append(slices.Clone(m.worst), m.worstCall...) }

func (m *deadlineMeasure) judge(f Finding, s span, need int) Finding {
	said := say("promised: every caller is answered within %v; seen in %v: %s at the longest over %d requests",
		m.within, s, brief(m.longest), m.sent)
	if m.calls > 0 {
		said += fmt.Sprintf(", and calls to %s held for %s at most", m.on, brief(m.longestCall))
	}
	switch {
	case m.broken > 0:
		return f.violated("%s; %d waited for more than twice the promise, or until our own client gave up: give the call "+
			"to %s a timeout", said, m.broken, cmp.Or(m.on, "the dependency"))
	case m.callBroken > 0:
		return f.violated("%s; %d calls stayed open for more than twice the promise: end them with their caller's context",
			said, m.callBroken)
	case m.sent < need:
		return f.unknown("only %d requests that use %s were sent in %v, and %d are needed to judge the deadline",
			m.sent, cmp.Or(m.on, "the dependency"), s, need)
	case share(m.dropped, m.sent+m.dropped) > dropsBearable:
		return f.unknown("%s, but %d of %d hits could not be sent: the load fell short of its plan", said, m.dropped,
			m.sent+m.dropped)
	case m.calls == 0 && m.failures == 0:
		return f.unknown("%s; but none of them failed and no call at %s was seen, so the fault was not met", said,
			cmp.Or(m.on, "the dependency"))
	case m.hung && m.troubled == 0 && m.failures == 0:
		return f.unknown("%s; but none of them failed and none of the %d calls hung, so the fault was not met", said, m.calls)
	case m.answered < need:
		return f.unknown("%s; but only %d of them were answered (%v), and %d are needed to judge the deadline", said,
			m.answered, m.answers, need)
	case m.cutShort > 0:
		return f.unknown("%s; but our own client gave up on %d of them before that: give the traffic a timeout of more than "+
			"%v", said, m.cutShort, m.limit)
	case m.short != "":
		return f.unknown("%s; but %s", said, m.short)
	case m.late+m.callLate > 0:
		return f.unknown("%s; %d answers and %d calls took longer than that, but less than twice as long: too close to "+
			"tell from this machine's noise", said, m.late, m.callLate)
	}
	if len(m.answers) > 0 {
		f.Remark = fmt.Sprintf("some failed otherwise than with 502, 503 or 504 (%v), so callers cannot tell whose fault "+
			"it was", m.answers)
	}
	return f.held("%s", said)
}
