package detect

import (
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// TracePropagation asks whether the trace that a caller began goes on at the
// HTTP dependencies (D85): the load sends a trace context with every hit, in the
// format that traffic.trace names (W3C's traceparent, B3 or Jaeger's), and a call
// made for it must carry the same trace id with a span id of its own, which is
// neither the caller's nor that of another attempt.
//
// Every call with one of the load's request ids must do so, and Share of all
// calls that arrived after the load's first hit (the rest may be work that the
// service does of its own accord). A span id seen twice counts where the
// earlier attempt was answered: net/http repeats a request by itself, headers
// and all, only when its connection died. It needs AtLeast calls. A call may carry
// its trace in any of the formats; the one that was sent goes first, then W3C's,
// B3 and Jaeger's.
//
// Of an attack whose headers were not valid (broken_trace), every call must
// carry a valid one of a trace that is new: not that of the broken header, nor
// that of another request. Its calls are known by their request id, or by their
// time where the service passes no id on and nothing else is sent.
// Sources: detectors.md D85 (n = 50); W3C Trace Context, section 3.2;
// openzipkin/b3-propagation; Jaeger's client libraries, propagation format.
type TracePropagation struct {
	// On is the HTTP dependency. Empty: the run's target where that is one, else
	// all of them.
	On string `json:"on,omitempty" yaml:"on"`
	// AtLeast is how many calls are needed. Default 50.
	AtLeast int `json:"at_least,omitempty" yaml:"at_least"`
	// Share is the least share of all calls that must belong to a trace of the
	// load's. Default 0.9.
	Share float64 `json:"share,omitempty" yaml:"share"`
}

var _ = register(Info{
	Kind: "trace_propagation", ID: "D85", Checklist: []string{"7.9"}, Class: Timing,
	Summary: "calls to HTTP dependencies go on with their caller's trace, each attempt with a span of its own",
}, func() Detector { return &TracePropagation{AtLeast: 50, Share: 0.9} })

// traced is what became of the calls of one dependency.
type traced struct {
	format                             journal.TraceFormat
	calls, ours, attempts              int // attempts: calls after the first of their request
	without, other, unchanged, doubled int
	elsewhere                          int // calls that left it with a header of another format
	example                            map[string]Evidence
}

// Detect judges every HTTP dependency that was called.
func (p *TracePropagation) Detect(j journal.Journal) Finding {
	d := open("trace_propagation")
	from, ok := firstSent(j)
	if !ok {
		return d.unknown("no request was sent, so no trace was begun")
	}
	on := p.dependencies(j.Header())
	if len(on) == 0 {
		return d.notApplicable("the service has no HTTP dependency, so traces have nowhere to go")
	}
	all := map[string][]arrival{}
	for _, name := range on {
		all[name] = slices.DeleteFunc(arrivals(j, name), func(a arrival) bool { return a.at < from })
	}
	broken := brokenAttacks(j)
	for _, name := range on {
		if len(broken) > 0 {
			var theirs []arrival
			theirs, all[name] = broken.split(j.Header(), all[name])
			p.begunAnew(d, j, name, broken, theirs)
		}
	}
	sent := sentTraces(j, all)
	for _, name := range on {
		if len(broken) > 0 && len(all[name]) == 0 {
			continue // all calls were for requests with broken headers
		}
		p.judge(d, name, follow(j.Header(), all[name], sent))
	}
	if samplesOf(d.Quantities, "traced_share") == "0" {
		return d.close("%s calls for requests with a %s that is not valid each belong to a new trace",
			samplesOf(d.Quantities, "traces_not_new"), j.Header().TraceFormat.Header())
	}
	return d.close("%s calls belong to their callers' traces, each attempt with a span of its own",
		samplesOf(d.Quantities, "traced_share"))
}

func (p *TracePropagation) dependencies(h journal.Header) []string {
	var all []string
	for _, dep := range h.Dependencies {
		if dep.Kind == "http" && (p.On == "" || p.On == dep.Name) {
			all = append(all, dep.Name)
		}
	}
	if p.On == "" && slices.Contains(all, h.Target) {
		return []string{h.Target}
	}
	return all
}

// sentTraces are the contexts that the load sent and that some call belongs to,
// by their trace id; only those, so that memory does not grow with the load.
func sentTraces(j journal.Journal, all map[string][]arrival) map[[16]byte]journal.TraceContext {
	wanted := map[[16]byte]bool{}
	for _, list := range all {
		for _, a := range list {
			if c, ok := a.call.TraceContext(j.Header().TraceFormat); ok {
				wanted[c.Trace] = true
			}
		}
	}
	sent := map[[16]byte]journal.TraceContext{}
	h := j.Header()
	for r := range j.Requests(journal.Window{}) {
		if c := h.HitTrace(r.Attack, r.Seq); !r.Dropped && wanted[c.Trace] {
			sent[c.Trace] = c
		}
	}
	return sent
}

// follow counts what the calls of one dependency carry.
func follow(h journal.Header, calls []arrival, sent map[[16]byte]journal.TraceContext) traced {
	t := traced{format: h.TraceFormat, calls: len(calls), example: map[string]Evidence{}}
	seen, spans := map[string]bool{}, map[journal.TraceContext]bool{}
	keep := func(what string, a arrival) {
		if t.example[what].Kind == "" {
			t.example[what] = a.evidence("%s", what+" "+a.call.TraceText(t.format))
		}
	}
	for _, a := range calls {
		id := byRequestID.mark(h.Run, a.call)
		if id != "" && seen[id] {
			t.attempts++
		}
		seen[id] = true
		c, valid := a.call.TraceContext(t.format)
		caller, ours := sent[c.Trace]
		t.elsewhere += one(valid && !ours && id != "" && a.call.TraceText(t.format) == "")
		switch {
		case ours && valid:
			t.ours++
		case id == "":
		case a.call.TraceText(t.format) == "":
			t.without++
			keep("no "+t.format.Header(), a)
		default:
			t.other++
			keep("another trace", a)
		}
		switch {
		case !ours:
		case c.Span == caller.Span:
			t.unchanged++
			keep("the caller's own span", a)
		case spans[c]:
			t.doubled++
			keep("a span seen before", a)
		}
		spans[c] = spans[c] || a.answered()
	}
	return t
}

func (p *TracePropagation) judge(d *docket, name string, t traced) {
	header := t.format.Header()
	for _, what := range []string{"no " + header, "another trace", "the caller's own span", "a span seen before"} {
		d.point(t.example[what])
	}
	share := ratio(t.ours, t.calls)
	least := orDefault(p.Share, 0.9)
	d.add(bounded("traced_share", share, "1", ">=", least, t.calls),
		bounded("spans_not_new", float64(t.unchanged+t.doubled), "1", "==", 0, t.calls),
		measured("calls_again", float64(t.attempts), "1", t.calls))
	if t.calls < max(p.AtLeast, 1) {
		d.doubt("%s got %d calls, and %d are needed to judge traces", name, t.calls, p.AtLeast)
		return
	}
	advice := "pass the request's context to the client and let it write the " + header + " header of every attempt"
	if t.elsewhere > 0 {
		advice += say("; %d carry a trace in another format, which traffic.trace may name", t.elsewhere)
	}
	switch {
	case t.without+t.other > 0:
		d.against("%d of %d calls to %s left their caller's trace although they carry its request id: %s; %s",
			t.without+t.other, t.calls, name, lostTraces(t), advice)
	case share < least:
		d.against("%s of %d calls to %s belong to a trace of their callers, who sent a %s header with every request; at "+
			"least %s should: %s", pctSeen(share), t.calls, name, header, pct(least), advice)
	}
	if t.unchanged > 0 {
		d.against("%d of %d calls to %s carry the caller's own span id: the header was passed on as it came, so the call "+
			"cannot be told from its caller; give each attempt a span id of its own", t.unchanged, t.calls, name)
	}
	if t.doubled > 0 {
		d.against("%d of %d calls to %s carry the span id of an attempt before them that was answered: give each attempt a "+
			"span id of its own", t.doubled, t.calls, name)
	}
	if share < 1 && share >= least && t.without+t.other == 0 {
		d.note("%d of %d calls to %s belong to no request of the load's", t.calls-t.ours, t.calls, name)
	}
	if t.attempts == 0 {
		d.note("no second call of a request was seen at %s, so whether retries go on with the trace was not", name)
	}
}

func lostTraces(t traced) string {
	switch {
	case t.other == 0:
		return say("%d had no %s", t.without, t.format.Header())
	case t.without == 0:
		return say("%d were of another trace", t.other)
	}
	return say("%d had no %s and %d were of another trace", t.without, t.format.Header(), t.other)
}
