package detect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// replayWithin is how soon net/http repeats a request whose reused connection
// died unanswered (110 to 170 µs measured; detectors.md F6).
const replayWithin = 2 * time.Millisecond

// tieCovers is the share of calls that must carry a mark for it to tie them.
const tieCovers = 0.9

// arrival is one call at a stub.
type arrival struct {
	at   journal.Instant
	on   string
	call journal.Call
}

// end is when the call was over at the stub: answered, hung up on, or last seen.
func (a arrival) end() journal.Instant {
	return a.at.Add(max(a.call.Answered, a.call.HungUpAfter))
}

// answered says that a whole answer was handed over.
func (a arrival) answered() bool { return a.call.Status != 0 && a.call.Answered > 0 && !a.call.HungUp }

// failed says that the caller had a reason to try again.
func (a arrival) failed() bool {
	s := a.call.Status
	return !a.answered() || s >= 500 || s == 429 || s == 408
}

// evidence points at the call.
func (a arrival) evidence(format string, args ...any) Evidence {
	return Evidence{
		At: a.at, Kind: a.call.Kind(), On: a.on,
		Excerpt: fmt.Sprintf("%s %s: ", a.call.Method, a.call.Path) + say(format, args...),
	}
}

// chain is one logical call to a dependency: its attempts in the order in which
// they arrived.
type chain []arrival

// gaveUp says that the last attempt failed and that none has followed for so long.
func (c chain) gaveUp(seenUntil journal.Instant, wait time.Duration) bool {
	last := c[len(c)-1]
	return last.failed() && seenUntil >= last.end().Add(wait)
}

// longestWait is the longest wait between two attempts of one call.
func longestWait(chains []chain) time.Duration {
	var longest time.Duration
	for _, c := range chains {
		for i := 1; i < len(c); i++ {
			longest = max(longest, c[i].at.Sub(c[i-1].end()))
		}
	}
	return longest
}

// tie is a way to tell which calls are attempts of one logical call.
type tie struct {
	name string // for reasons
	mark func(run string, c journal.Call) string
	// weak marks are no identities by themselves: they tie only where they were
	// seen to differ from call to call while nothing was broken.
	weak bool
	// sure marks are ours: where a call carries one, the service passed it on.
	sure bool
	// ofHit marks belong to one request of a client's: the same for all calls that
	// are made for it, and for no others.
	ofHit bool
	// apart also tells calls by their query and their body: one request makes
	// several calls of the same sort.
	apart bool
	parts []tie // of a mixture, in the order in which they are looked for
}

// tellsHit says that a call's mark belongs to one request of a client's.
func (t tie) tellsHit(run string, c journal.Call) bool {
	for _, part := range t.parts {
		if part.mark(run, c) != "" {
			return part.ofHit
		}
	}
	return t.ofHit
}

// byRequestID ties by the id that the load sends with every hit; ids that the
// service makes up itself may differ from attempt to attempt.
var byRequestID = tie{name: "the request id", sure: true, ofHit: true, mark: func(run string, c journal.Call) string {
	if run == "" || !strings.HasPrefix(c.RequestID, run+"-") {
		return ""
	}
	return c.RequestID
}}

var byTrace = tie{name: "the trace id", ofHit: true, mark: func(_ string, c journal.Call) string {
	context, ok := c.TraceContext("")
	if !ok {
		return ""
	}
	return string(context.Trace[:])
}}

var byKey = tie{name: "the idempotency key", mark: func(_ string, c journal.Call) string {
	return c.IdempotencyKey
}}

var byBody = tie{name: "the body", weak: true, mark: func(_ string, c journal.Call) string {
	if c.BodyBytes == 0 || !c.BodyRead {
		return ""
	}
	return c.BodyHash
}}

var byPath = tie{name: "the path", weak: true, mark: func(_ string, c journal.Call) string { return c.Path }}

// ties in the order in which they are trusted.
var ties = []tie{byRequestID, byTrace, byKey, byBody, byPath}

// callsIn are the calls at one dependency, sorted by arrival, with the chains
// of those that began in a span.
type callsIn struct {
	tied   string // what tied them, for reasons; empty when nothing did
	by     tie
	chains []chain
	// again are those whose request was sent more than once; they are not among
	// chains.
	again []sentAgain
	// replays is how many arrivals were dropped as the transport's own.
	replays int
	// calls is how many arrived in the span, asked how often requests of routes
	// that use the dependency and were due in it were sent, answered how many of
	// them somebody was there to work on; calm is the ratio of calls and asked
	// before the first step. Zero: not known.
	calls, asked, answered int
	calm                   float64
	until                  journal.Instant // the last arrival in the whole journal
	header                 string          // in which the service would pass our request id on
}

// callsOn collects the chains at the named dependency.
func callsOn(j journal.Journal, on string, s span, order []tie) callsIn {
	all := arrivals(j, on)
	out := callsIn{header: requestIDHeader(j.Header(), on)}
	out.asked, out.answered = askedOf(j, on, s)
	for _, a := range all {
		out.until = max(out.until, a.at)
		if s.contains(a.at) {
			out.calls++
		}
	}
	calm := calmCalls(j, all)
	if n := calmAsked(j, on); n > 0 {
		out.calm = float64(len(calm)) / float64(n)
	}
	out.tieUp(j.Header().Run, order, all, calm, s)
	out.setAside(j)
	return out
}

// tieUp ties the calls by the first mark that can be used, else by several.
func (c *callsIn) tieUp(run string, order []tie, all, calm []arrival, s span) {
	for _, t := range order {
		if c.take(run, t, all, calm, s) {
			return
		}
	}
	if t, ok := mixture(run, order, all, calm, s); ok {
		c.take(run, t, all, calm, s)
	}
}

// take ties the calls by a mark; false when it cannot be used here.
func (c *callsIn) take(run string, t tie, all, calm []arrival, s span) bool {
	if t.several(run, calm) {
		t.apart = true
		if t.several(run, calm) {
			return false
		}
	}
	chains, replays, ok := t.chains(run, all, s)
	if !ok || !t.sure && (!t.differs(run, calm) || c.contradicts(chains)) {
		return false
	}
	c.tied, c.by, c.chains, c.replays = t.name, t, chains, replays
	return true
}

// several says that one request makes several calls of the same sort, by the
// calls that were answered while nothing was broken: more than a tenth of the
// groups had more than one. When such calls fail they are no attempts of each
// other.
func (t tie) several(run string, calm []arrival) bool {
	answered := map[string]int{}
	for _, a := range calm {
		if !a.failed() && t.mark(run, a.call) != "" {
			answered[t.group(run, a)]++
		}
	}
	more := 0
	for _, n := range answered {
		more += one(n > 1)
	}
	return len(answered) >= 10 && more*10 > len(answered)
}

// mixture is a tie of several: each call goes by the first mark that it carries,
// of those that tell the calls apart which carry them. It is for services whose
// clients differ in what they send.
func mixture(run string, order []tie, all, calm []arrival, s span) (tie, bool) {
	rest, _ := split(all, func(a arrival) bool { return s.contains(a.at) })
	total := len(rest)
	var used []tie
	var names []string
	for _, t := range order {
		marked := func(a arrival) bool { return t.mark(run, a.call) != "" }
		with, without := split(rest, marked)
		calmWith, calmWithout := split(calm, marked)
		if len(with) == 0 || !t.sure && !t.differs(run, calmWith) {
			continue
		}
		used = append(used, t)
		names = append(names, say("%s (%d of %d calls)", t.name, len(with), total))
		rest, calm = without, calmWithout
	}
	mark := func(run string, c journal.Call) string {
		for _, t := range used {
			if m := t.mark(run, c); m != "" {
				return t.name + " " + m
			}
		}
		return ""
	}
	return tie{name: strings.Join(names, " and "), mark: mark, parts: used}, len(used) > 1
}

// split are the calls with something and those without it.
func split(all []arrival, has func(arrival) bool) (with, without []arrival) {
	for _, a := range all {
		if has(a) {
			with = append(with, a)
		} else {
			without = append(without, a)
		}
	}
	return with, without
}

// requestIDHeader is the header in which the service passes a request's id on to
// a dependency.
func requestIDHeader(h journal.Header, on string) string {
	for _, d := range h.Dependencies {
		if d.Name == on {
			return cmp.Or(d.RequestID, journal.RequestIDHeader)
		}
	}
	return journal.RequestIDHeader
}

// arrivals are all calls at a dependency in the order of their arrival.
func arrivals(j journal.Journal, on string) []arrival {
	var out []arrival
	for e, c := range journal.Of[journal.Call](j) {
		if on == "" || e.On == on {
			out = append(out, arrival{e.At, e.On, c})
		}
	}
	slices.SortStableFunc(out, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	return out
}

// calmCalls are those that arrived before the first step began.
func calmCalls(j journal.Journal, all []arrival) []arrival {
	s, err := steadySpan(j)
	if err != nil {
		return nil
	}
	calm, _ := split(all, func(a arrival) bool { return s.contains(a.at) })
	return calm
}

func calmAsked(j journal.Journal, on string) int {
	s, err := steadySpan(j)
	if err != nil {
		return 0
	}
	asked, _ := askedOf(j, on, s)
	return asked
}

// usersOf are the routes that the owner says use a dependency.
func usersOf(h journal.Header, on string) []string {
	var out []string
	for _, r := range h.Routes {
		if slices.Contains(r.Uses, on) {
			out = append(out, r.Name)
		}
	}
	return out
}

// askedOf counts how often requests were sent to routes that use the dependency,
// and the requests that somebody was there to work on.
func askedOf(j journal.Journal, on string, s span) (asked, answered int) {
	routes := usersOf(j.Header(), on)
	if len(routes) == 0 {
		return 0, 0
	}
	for r := range s.requests(j) {
		if !r.Dropped && slices.Contains(routes, r.Route) {
			asked += max(r.Tries, 1) // those that we hung up on have called the dependency, too
			answered += one(waitedOn(r))
		}
	}
	return asked, answered
}

// amplification is how many calls one request causes, relative to the calm
// before the first step where that is known; zero when it is not known.
func (c callsIn) amplification() float64 {
	if c.asked == 0 {
		return 0
	}
	return float64(c.calls) / float64(c.asked) / cmp.Or(c.calm, 1)
}

// contradicts says that chains are so short that they cannot account for the
// calls that requests caused: what tied them differs from attempt to attempt.
func (c callsIn) contradicts(chains []chain) bool {
	if len(chains) == 0 {
		return c.calls > 0
	}
	sum := 0
	for _, ch := range chains {
		sum += len(ch)
	}
	return c.amplification() > 1.5*float64(sum)/float64(len(chains))
}

// differs says whether the marks tell logical calls apart, by the calls that
// were answered while nothing was broken: a weak mark must hardly ever come
// twice; a strong one only must not be the same all the time, as one request
// may well make several calls. Without such calls a strong mark is believed and
// a weak one is not.
func (t tie) differs(run string, calm []arrival) bool {
	marks := map[string]bool{}
	n := 0
	for _, a := range calm {
		if a.failed() {
			continue
		}
		n++
		marks[t.mark(run, a.call)] = true
	}
	if n < 10 {
		return !t.weak
	}
	if t.weak {
		return len(marks) >= n*9/10
	}
	return len(marks) > n/4
}

// group names the logical call: the mark, with what a retry never changes.
func (t tie) group(run string, a arrival) string {
	parts := []string{a.on, t.mark(run, a.call), a.call.Method, a.call.Path}
	if t.apart {
		parts = append(parts, a.call.QueryHash, a.call.BodyHash)
	}
	return strings.Join(parts, "\x00")
}

// chains groups the calls; ok is false when too few of the span's carry the
// mark. A call after one that was answered well begins a new logical call.
func (t tie) chains(run string, all []arrival, s span) (chains []chain, replays int, ok bool) {
	open := map[string]int{} // group to its index in list
	var list []chain
	marked, inSpan := 0, 0
	for _, a := range all {
		in := s.contains(a.at)
		if in {
			inSpan++
		}
		if t.mark(run, a.call) == "" {
			continue
		}
		if in {
			marked++
		}
		g := t.group(run, a)
		i, known := open[g]
		if !known || !list[i][len(list[i])-1].failed() {
			open[g] = len(list)
			list = append(list, chain{a})
			continue
		}
		c := list[i]
		if isReplay(c[len(c)-1], a) {
			c[len(c)-1] = a
			replays++
			continue
		}
		list[i] = append(c, a)
	}
	if float64(marked) < tieCovers*float64(inSpan) || marked == 0 {
		return nil, 0, false
	}
	return slices.DeleteFunc(list, func(c chain) bool { return !s.contains(c[0].at) }), replays, true
}

// isReplay says that the second arrival is the transport's own repetition of
// the first, whose reused connection died unanswered. It repeats only safe
// methods, and requests with an Idempotency-Key (detectors.md F6).
func isReplay(first, second arrival) bool {
	c, d := first.call, second.call
	repeatable := slices.Contains([]string{"GET", "HEAD", "OPTIONS", "TRACE"}, c.Method) ||
		c.IdempotencyKey != "" && c.IdempotencyKey == d.IdempotencyKey
	return repeatable && c.Status == 0 && c.Nth > 1 && second.at.Sub(first.end()) < replayWithin
}

// failing are the chains whose first attempt failed: the logical calls that the
// fault met.
func failing(chains []chain) []chain {
	return slices.DeleteFunc(slices.Clone(chains), func(c chain) bool { return !c[0].failed() })
}

// httpTarget is the http dependency a detector of retries judges: the one it is
// given, the experiment's target, a step's target, or the only one there is.
func httpTarget(h journal.Header, on string) (string, error) {
	var all []string
	for _, d := range h.Dependencies {
		if d.Kind == "http" {
			all = append(all, d.Name)
		}
	}
	candidates := []string{on}
	if on == "" {
		candidates = []string{h.Target}
		for _, s := range h.Method {
			candidates = append(candidates, s.Target)
		}
	}
	for _, c := range candidates {
		if slices.Contains(all, c) {
			return c, nil
		}
	}
	switch {
	case on != "":
		return "", fmt.Errorf("%q is no http dependency of the subject", on)
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0:
		return "", fmt.Errorf("the subject has no http dependency, so its calls cannot be seen")
	}
	return "", fmt.Errorf("the experiment names none of the http dependencies %s: set on", strings.Join(all, ", "))
}

// untied is the reason for an unknown finding where nothing ties attempts.
func (c callsIn) untied(on string) string {
	if c.calls == 0 {
		return fmt.Sprintf("no call arrived at %s", on)
	}
	if n := len(c.again); n > 0 {
		return say("all %d logical calls at %s were made for requests that may have been sent up to %d times each, "+
			"so that the tries of a client cannot be told from the service's own: send a load whose clients do not try again, "+
			"with ids that the service passes on in %s", n, on, mostSent(c.again), c.header)
	}
	text := say("the %d calls at %s cannot be tied together: they carry neither our request id, nor a trace id, "+
		"an idempotency key, or a body or path of their own, which tells one call of a request from another; have the "+
		"service pass %s on", c.calls, on, c.header)
	if a := c.amplification(); a > 0 {
		text += fmt.Sprintf(" (amplification %.2f calls a request)", a)
	}
	return text
}
