package detect

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Cancellation judges whether work ends when the caller who asked for it hangs
// up (detectors.md D03). It needs requests that we hung up on while their call
// to an http dependency was held open, or their statement in the database.
//
// It holds when at least 18 of 20 were given up in time, and is violated when
// at most 10 of 20 were; in between it is unknown. Where fewer had work under
// way, because work that goes on fills the service's pool or its places, it is
// violated when at least 10 went on: the others could not change that any
// more. Requests whose handler does not read their body are left out: net/http
// cannot notice their caller's leaving. A good service takes 1 to 5 ms; when
// 0.5 % of samples are late by chance, the false alarm rate is below 2 in
// 10,000.
type Cancellation struct {
	// Within is how soon after the caller hung up. Zero: the promise
	// cancels_within.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
	// On is the dependency whose work must end. Empty: the experiment's target.
	On string `yaml:"on" json:"on,omitempty"`
	// Attack restricts it to the requests of one step. Empty: all that we hung
	// up on.
	Attack string `yaml:"attack" json:"attack,omitempty"`
	// MinSamples is how many requests must have had work under way; half as many
	// whose work went on are enough for a violation. Default 20.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "cancellation", ID: "D03", Checklist: []string{"3.2", "4.3"}, Class: Timing,
	Summary: "work ends when its caller hangs up",
}, func() Detector { return &Cancellation{MinSamples: 20} })

// Shares of D03.
const (
	cancelledGood = 0.9
	cancelledBad  = 0.5
)

// Detect judges the journal.
func (d *Cancellation) Detect(j journal.Journal) Finding {
	f := finding("cancellation")
	h := j.Header()
	w, unread := d.canceled(j)
	switch {
	case len(w.left) == 0 && unread > 0:
		return f.notApplicable("the handlers of all %d requests that were hung up on do not read the request's body, so "+
			"net/http cannot notice", unread)
	case len(w.left) == 0:
		return f.unknown("we hung up on no request, so nothing could be cancelled")
	}
	on := target(h, d.On)
	w.early = clockError(j) + noiseMost
	w.within = cmp.Or(d.Within, h.Promises.CancelsWithin) + clockError(j)
	if err := w.find(j, on); err != nil {
		return f.unknown("whether work for callers who hung up ended is not known: %v", err)
	}
	f.Quantities = w.quantities()
	f.Evidence = w.evidence()
	return w.judge(f, on, max(1, d.MinSamples))
}

// canceled are the requests that we hung up on, without those whose handler
// cannot notice, of which the number comes second.
func (d *Cancellation) canceled(j journal.Journal) (w work, unread int) {
	deaf := map[string]bool{}
	for _, r := range j.Header().Routes {
		deaf[r.Name] = r.UnreadBody
	}
	w.attacks = map[string]bool{}
	for r := range j.Requests(journal.Window{}) {
		switch {
		case r.Dropped:
		case !r.Canceled && !r.OK:
			w.refused = append(w.refused, r)
		case !r.Canceled || d.Attack != "" && r.Attack != d.Attack:
		case deaf[r.Route]:
			unread++
		default:
			w.left = append(w.left, r)
			w.attacks[r.Attack] = true
		}
	}
	w.refused = slices.DeleteFunc(w.refused, func(r journal.Request) bool { return !w.attacks[r.Attack] })
	slices.SortFunc(w.left, bySending)
	slices.SortFunc(w.refused, bySending)
	return w, unread
}

func bySending(a, b journal.Request) int { return cmp.Compare(a.Sent, b.Sent) }

// clockError is how far instants of two sources may be apart beyond what they
// say.
func clockError(j journal.Journal) time.Duration {
	var worst time.Duration
	for _, c := range journal.Of[journal.Clock](j) {
		worst = max(worst, c.Error)
	}
	return worst
}

// ended is how the work for one request ended.
type ended struct {
	after time.Duration // the request's end; may be negative by the clocks' error
	late  bool
	at    Evidence
}

// work is what was under way for the requests that we hung up on.
type work struct {
	left    []journal.Request // by their sending
	attacks map[string]bool   // that they belong to
	// refused are the requests of the same attacks that were answered with an
	// error before we hung up, by their sending: a service that is full does so.
	refused []journal.Request
	within  time.Duration // with the clocks' error
	// early is how much sooner than its caller left work may seem to end that
	// ended for it: the clocks' error, and our own lateness.
	early  time.Duration
	seenBy string // "at payments, by the request id"
	ends   []ended
}

// find looks for the requests' work at the stub or in the database.
func (w *work) find(j journal.Journal, on string) error {
	kind := ""
	for _, dep := range j.Header().Dependencies {
		if dep.Name == on {
			kind = dep.Kind
		}
	}
	switch kind {
	case "http":
		return w.atStub(j, on)
	case "postgres":
		return w.inDatabase(j, on)
	case "":
		return fmt.Errorf("the experiment names no dependency whose work could be watched: set on")
	}
	return fmt.Errorf("work at a dependency of kind %s cannot be watched", kind)
}

// alone says whether no other request used the dependency while we hung up, so
// that work can be told by its time.
func (w *work) alone(j journal.Journal, on string) error {
	win := journal.Window{From: w.left[0].Sent.Add(-time.Second), To: w.left[len(w.left)-1].Done.Add(time.Second)}
	routes := usersOf(j.Header(), on)
	for r := range j.Requests(win) {
		ours := r.Canceled || r.Dropped || !r.OK && w.attacks[r.Attack]
		if !ours && (len(routes) == 0 || slices.Contains(routes, r.Route)) {
			return fmt.Errorf("other requests used %s at the same time, and nothing ties its work to a request: "+
				"hang up without other load, or have the service pass %s on", on, requestIDHeader(j.Header(), on))
		}
	}
	return nil
}

// owner is the request that work begun at an instant belongs to, by time: the
// last one sent before; negative when there is none, or it was refused.
func (w *work) owner(t journal.Instant) int {
	i, r := sentBefore(w.left, t), sentBefore(w.refused, t)
	if i >= 0 && r >= 0 && w.refused[r].Sent > w.left[i].Sent {
		return -1
	}
	return i
}

// sentBefore is the last of some requests, in the order of their sending, that
// was sent by an instant; negative when none was.
func sentBefore(requests []journal.Request, t journal.Instant) int {
	n, _ := slices.BinarySearchFunc(requests, t, func(r journal.Request, t journal.Instant) int {
		if r.Sent <= t {
			return -1
		}
		return 1
	})
	return n - 1
}

// take keeps the longest work of each request.
func (w *work) take(longest map[int]ended, i int, e ended) {
	if old, ok := longest[i]; !ok || e.after > old.after {
		longest[i] = e
	}
}

func (w *work) keep(longest map[int]ended) {
	for i := range w.left {
		if e, ok := longest[i]; ok {
			w.ends = append(w.ends, e)
		}
	}
}

func (w *work) atStub(j journal.Journal, on string) error {
	run := j.Header().Run
	byID := map[string]int{}
	for i, r := range w.left {
		byID[r.ID(run)] = i
	}
	calls := arrivals(j, on)
	tied := slices.ContainsFunc(calls, func(a arrival) bool { _, ok := byID[a.call.RequestID]; return ok })
	w.seenBy = "tied by the request id"
	if !tied {
		w.seenBy = "told by their time"
		if err := w.alone(j, on); err != nil {
			return err
		}
	}
	longest := map[int]ended{}
	for _, a := range calls {
		i, ok := byID[a.call.RequestID]
		if !tied {
			i = w.owner(a.at)
			ok = i >= 0 && (i+1 < len(w.left) || a.at < w.left[i].Done.Add(10*time.Second))
		}
		if !ok {
			continue
		}
		if e, exercised := w.callEnd(a, w.left[i]); exercised {
			w.take(longest, i, e)
		}
	}
	w.keep(longest)
	return nil
}

// callEnd is how a call ended after its request did; false when the call was
// over before, or the stub or the recording ended it too soon to tell.
func (w *work) callEnd(a arrival, r journal.Request) (ended, bool) {
	end := a.at.Add(max(a.call.HungUpAfter, a.call.Answered, a.call.Age))
	// An attempt that only began after its caller had left is late by that.
	end = max(end, a.at)
	e := ended{after: end.Sub(r.Done)}
	e.late = e.after > w.within
	e.at = a.evidence("its caller hung up at %v; over %s after that", r.Done, brief(e.after))
	if a.call.HungUp {
		return e, e.after > -w.early // else it ended of its own accord
	}
	return e, e.late
}

// statement is one statement of the service as samples of pg_stat_activity
// showed it.
type statement struct {
	pid         int
	begun, last journal.Instant
	gone        journal.Instant // the first sample without it; zero while there is none
}

// inDatabase follows the service's active statements through the samples of
// pg_stat_activity; one ended at the last sample that showed it, or up to one
// poll later.
func (w *work) inDatabase(j journal.Journal, on string) error {
	w.seenBy = "told by their time in pg_stat_activity"
	if err := w.alone(j, on); err != nil {
		return err
	}
	statements, poll, err := followStatements(j, on)
	if err != nil {
		return err
	}
	if poll > w.within/2 {
		return fmt.Errorf("pg_stat_activity of %s was sampled every %s only, where at most %s is needed", on, brief(poll),
			brief(w.within/2))
	}
	longest := map[int]ended{}
	for _, s := range statements {
		i := w.owner(s.begun)
		if i < 0 || s.last < w.left[i].Done.Add(-2*poll) || s.gone != 0 && s.gone < w.left[i].Done.Add(-w.early) {
			continue // it ended of its own accord
		}
		e := ended{after: s.last.Sub(w.left[i].Done)}
		e.late = e.after > w.within
		e.at = Evidence{
			At: s.last, Kind: journal.Activity{}.Kind(), On: on,
			Excerpt: fmt.Sprintf("backend %d still ran its statement %s after its caller had hung up", s.pid, brief(e.after)),
		}
		w.take(longest, i, e)
	}
	w.keep(longest)
	return nil
}

// followStatements lists the active statements and the median time between
// samples.
func followStatements(j journal.Journal, on string) ([]*statement, time.Duration, error) {
	// Two samples of one statement differ by less; where one was seen late, the
	// statement is at least as old as the time since the one before.
	const same = journal.Instant(20 * time.Millisecond)
	open := map[int]*statement{}
	var all []*statement
	var between []float64
	var before journal.Instant
	for e, a := range journal.Of[journal.Activity](j) {
		if e.On != on || a.Err != "" {
			continue
		}
		if before > 0 {
			between = append(between, e.At.Sub(before).Seconds())
		}
		before = e.At
		for _, b := range a.Backends {
			if !strings.EqualFold(b.State, "active") {
				continue
			}
			begun := e.At.Add(-b.QueryAge)
			s := open[b.PID]
			if s == nil || begun-s.begun > same && b.QueryAge < e.At.Sub(s.last) {
				s = &statement{pid: b.PID, begun: begun}
				open[b.PID] = s
				all = append(all, s)
			}
			s.begun, s.last = min(s.begun, begun), e.At
		}
		overBy(open, e.At)
	}
	if len(between) == 0 {
		return nil, 0, fmt.Errorf("there are no samples of pg_stat_activity of %s", on)
	}
	return all, time.Duration(quantiles(between, 0.5)[0] * float64(time.Second)), nil
}

// overBy marks the statements that the sample of an instant does not show, and
// forgets them.
func overBy(open map[int]*statement, at journal.Instant) {
	for pid, s := range open {
		if s.last < at {
			s.gone = at
			delete(open, pid)
		}
	}
}

func (w *work) late() int {
	n := 0
	for _, e := range w.ends {
		n += one(e.late)
	}
	return n
}

func (w *work) quantities() []journal.Quantity {
	n := len(w.ends)
	var worst time.Duration = math.MinInt64
	for _, e := range w.ends {
		worst = max(worst, e.after)
	}
	q := []journal.Quantity{
		bounded("cancelled_ratio", share(n-w.late(), n), "1", ">=", cancelledGood, n),
		measured("hung_up_on", float64(len(w.left)), "1", 0),
	}
	if len(w.refused) > 0 {
		q = append(q, measured("refused_before", float64(len(w.refused)), "1", 0))
	}
	if n > 0 {
		q = append(q, boundedTime("cancel_max", worst, w.within, n))
	}
	return q
}

func (w *work) evidence() []Evidence {
	sorted := slices.SortedStableFunc(slices.Values(w.ends), func(a, b ended) int { return cmp.Compare(b.after, a.after) })
	var out []Evidence
	for _, e := range sorted[:min(len(sorted), evidenceMost)] {
		out = append(out, e.at)
	}
	return out
}

func (w *work) judge(f Finding, on string, need int) Finding {
	n, late := len(w.ends), w.late()
	said := say("promised: work at %s ends within %s of its caller's hanging up; seen: it did for %d of %d "+
		"requests that we hung up on (%s)", on, brief(w.within), n-late, n, w.seenBy)
	switch {
	case n < need && float64(need-late) <= cancelledBad*float64(need):
		return f.violated("%s; only so many had work under way, as work that goes on leaves no room for more; pass the "+
			"request's context to every call and statement", said)
	case n < need:
		return f.unknown("only %d of the %d requests that we hung up on had work under way at %s, and %d are needed",
			n, len(w.left), on, need)
	case float64(n-late) >= cancelledGood*float64(n):
		return f.held("%s", said)
	case float64(n-late) <= cancelledBad*float64(n):
		return f.violated("%s; pass the request's context to every call and statement", said)
	}
	return f.unknown("%s, which is neither nearly all nor at most half", said)
}
