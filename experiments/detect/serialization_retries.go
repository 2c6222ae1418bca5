package detect

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// SerializationRetries asks whether transactions that the database could not
// serialise are repeated as they should be (D45). Refusals with 40001 and 40P01
// of which so many in a row are followed by one that is let through must end in
// success, at statements and at COMMIT, with one attempt more than refusals.
// Refusals without end are given up after MaxAttempts at most, within the
// promise answers_within, with 409, 429 or 503. What another code refuses
// (23505) is not repeated.
//
// It needs refuse_writes steps with writes that come one after the other, so
// that the attempts the database counted belong to one request; those of
// requests that overlap are not judged, and neither is how one ended that was
// still under way when its step's refusals did. How attempts are spaced is measured and
// only remarked on: waits of some milliseconds are too short to tell jitter
// from a machine's noise.
type SerializationRetries struct {
	// MaxAttempts bounds the attempts at what is refused for ever. Default 5.
	MaxAttempts int `json:"max_attempts,omitempty" yaml:"max_attempts"`
	// MinSamples is how many requests must have been refused and let through in
	// each step. Default 10.
	MinSamples int `json:"min_samples,omitempty" yaml:"min_samples"`
	// AnswersWithin bounds the answers to what is refused for ever. Zero: the
	// promise answers_within; half a second is allowed on top.
	AnswersWithin time.Duration `json:"answers_within,omitempty" yaml:"answers_within"`
}

var _ = register(Info{
	Kind: "serialization_retries", ID: "D45", Checklist: []string{"4.6"}, Class: Timing,
	Summary: "serialization failures and deadlocks are repeated, the whole transaction, a few times",
}, func() Detector { return &SerializationRetries{MaxAttempts: 5, MinSamples: 10} })

// tried is a request with the attempts that the database counted while it was
// under way.
type tried struct {
	journal.Request
	attempts []countedAttempt
}

type countedAttempt struct {
	journal.Attempt
	at journal.Instant
}

// Detect judges every step that refused writes.
func (s *SerializationRetries) Detect(j journal.Journal) Finding {
	d := open("serialization_retries")
	judged := 0
	for _, step := range j.Steps() {
		w, ok := carriedOut(step)
		if step.Action != "refuse_writes" && step.Action != "deadlock" {
			continue
		}
		if !ok || w.To == 0 {
			d.doubt("step %q was not carried out to its end%s", step.Name, because(step))
			continue
		}
		judged++
		s.step(d, j, faultStep{step, w})
	}
	if judged == 0 && len(d.doubts) == 0 {
		return d.unknown("the method has no refuse_writes step, so the database asked for nothing to be repeated")
	}
	repeated := samplesOf(d.Quantities, "requests_repeated")
	if repeated == "0" && len(d.doubts) == 0 {
		d.doubt("no step let through what it had refused, so nothing was there to be repeated")
	}
	givenUp := ""
	if samplesOf(d.Quantities, "attempts_for_ever_max") != "0" {
		givenUp = "; what was refused for ever was given up"
	}
	return d.close("%s requests whose transactions were refused were repeated and succeeded, with %s attempts at most%s",
		repeated, valueOf(d.Quantities, "attempts_max"), givenUp)
}

func (s *SerializationRetries) step(d *docket, j journal.Journal, step faultStep) {
	all, overlapping := triedIn(j, step)
	if overlapping > 0 {
		d.note("%d requests of %s overlapped and were not judged", overlapping, step.Name)
	}
	var refused []tried
	cut := 0
	for _, t := range all {
		i := slices.IndexFunc(t.attempts, func(a countedAttempt) bool { return a.Code != "" })
		if i < 0 {
			continue
		}
		t.attempts = t.attempts[i:] // what was let through before is another write's
		if t.attempts[0].Refuse > 0 && t.Done > step.window.To {
			cut++
			continue
		}
		refused = append(refused, t)
	}
	if cut > 0 {
		d.note("%d requests of %s were still under way when it ended, and were not judged", cut, step.Name)
	}
	least := orDefault(s.MinSamples, 10)
	if step.Action == "deadlock" {
		least = 1
	}
	if len(refused) < least {
		d.doubt("only %d requests of %s were refused by the database, and %d are needed", len(refused), step.Name, least)
	}
	if len(refused) == 0 {
		return
	}
	switch a := refused[0].attempts[0]; {
	case !serialization(a.Code):
		s.control(d, j, step, refused)
	case a.Refuse == 0:
		s.permanent(d, j, step, refused)
	default:
		s.transient(d, j, step, refused)
	}
}

// clockSlack is how far an attempt's instant, counted on the database's clock,
// may be off (measured: a millisecond).
const clockSlack = 5 * time.Millisecond

// serialization reports whether an SQLSTATE asks for the transaction to be
// repeated.
func serialization(code string) bool { return code == "40001" || code == "40P01" }

// triedIn are the writes of the step's attacks that met the trigger, with their
// attempts; those that overlap with another write are only counted. An attempt
// is of the write that was sent last before it.
func triedIn(j journal.Journal, step faultStep) (all []tried, overlapping int) {
	attempts := attemptsIn(j, step)
	near := writesNear(j, step, attempts)
	for _, a := range attempts {
		i, found := slices.BinarySearchFunc(
			near,
			a.at.Add(clockSlack),
			func(t tried, at journal.Instant) int { return int(t.Sent - at) },
		)
		if !found {
			i-- // the last that was sent before
		}
		if i >= 0 {
			near[i].attempts = append(near[i].attempts, a)
		}
	}
	for i, t := range near {
		beside := i > 0 && near[i-1].Done > t.Sent || i+1 < len(near) && near[i+1].Sent < t.Done
		switch {
		case len(t.attempts) == 0:
		case beside:
			overlapping++
		default:
			all = append(all, t)
		}
	}
	return all, overlapping
}

// attemptsIn are the attempts that the database counted during a step.
func attemptsIn(j journal.Journal, step faultStep) (all []countedAttempt) {
	for e, a := range journal.Of[journal.Attempt](j) {
		if e.On == step.Target && step.window.Contains(e.At) {
			all = append(all, countedAttempt{a, e.At})
		}
	}
	return all
}

// writesNear are, in the order of their sending, the writes that the attempts
// can be of, and those sent just before and just after each of them.
func writesNear(j journal.Journal, step faultStep, attempts []countedAttempt) (near []tried) {
	writes := map[string]bool{}
	for _, r := range j.Header().Routes {
		writes[r.Name] = r.Write
	}
	until := make([]journal.Instant, len(attempts))
	for i, a := range attempts {
		until[i] = a.at.Add(clockSlack)
	}
	slices.Sort(until)
	between := make([]sentBetween, len(until)+1)
	for r := range hits(j, span{windows: []journal.Window{step.window}}, anyAttack, nil) {
		if !r.Dropped && writes[r.Route] {
			i, _ := slices.BinarySearch(until, r.Sent)
			between[i].add(r)
		}
	}
	for _, b := range between {
		for _, r := range b.ends() {
			near = append(near, tried{Request: r})
		}
	}
	return near
}

// sentBetween are the writes that were sent after one attempt and before the
// next: the first, and the last two.
type sentBetween struct {
	n                   int
	first, before, last journal.Request
}

func (b *sentBetween) add(r journal.Request) {
	if b.n == 0 || r.Sent < b.first.Sent {
		b.first = r
	}
	switch {
	case b.n == 0:
		b.last = r
	case r.Sent >= b.last.Sent:
		b.before, b.last = b.last, r
	case b.n == 1 || r.Sent >= b.before.Sent:
		b.before = r
	}
	b.n++
}

// ends are those that are kept, in the order of their sending.
func (b *sentBetween) ends() []journal.Request {
	return []journal.Request{b.first, b.before, b.last}[max(0, 3-b.n):]
}

// where says when a step refused.
func where(t tried) string {
	if t.attempts[0].Commit {
		return "at COMMIT"
	}
	return "at a statement"
}

// codes are what a request's attempts were refused with.
func (t tried) codes() string {
	var all []string
	for _, a := range t.attempts {
		all = append(all, orDefault(a.Code, "let through"))
	}
	return strings.Join(all, ", ")
}

func (t tried) evidence(run string) Evidence {
	return Evidence{
		At:      t.Sent,
		Kind:    "request",
		On:      t.ID(run),
		Excerpt: "attempts: " + t.codes() + "; " + answer(t.Request),
	}
}

// transient wants every refused request repeated until it was let through.
func (s *SerializationRetries) transient(d *docket, j journal.Journal, step faultStep, refused []tried) {
	most, good := 0, 0
	var bad []tried
	for _, t := range refused {
		most = max(most, len(t.attempts))
		last := t.attempts[len(t.attempts)-1]
		if t.OK && last.Code == "" && len(t.attempts) <= last.Refuse+1 {
			good++
			continue
		}
		bad = append(bad, t)
	}
	d.add(measured("requests_repeated", float64(good), "1", len(refused)),
		bounded("attempts_max", float64(most), "1", "<=", float64(refused[0].attempts[0].Refuse+1), len(refused)))
	if len(bad) > 0 {
		t := bad[0]
		d.point(t.evidence(j.Header().Run))
		d.against("promised to repeat what the database asks for; of %d requests that it refused %s in %s, %d were not "+
			"repeated to their end (the first: %s; it ended with %s): repeat the whole transaction, COMMIT included, on 40001 "+
			"and 40P01", len(refused), where(t), step.Name, len(bad), t.codes(), answer(t.Request))
	}
	s.spacing(d, refused)
}

// spacing remarks on the waits between attempts.
func (s *SerializationRetries) spacing(d *docket, refused []tried) {
	var gaps []float64
	for _, t := range refused {
		for i := 1; i < len(t.attempts); i++ {
			gaps = append(gaps, t.attempts[i].at.Sub(t.attempts[i-1].at).Seconds())
		}
	}
	if len(gaps) < 20 {
		return
	}
	q := quantiles(gaps, 0.1, 0.5)
	d.add(measured("gap_p50", q[1], "s", len(gaps)), measured("gap_spread", q[1]-q[0], "s", len(gaps)))
	switch {
	case q[1] < immediately.Seconds():
		d.note("attempts follow each other at once (%s at the median); wait a little, at random", briefSeconds(q[1]))
	case q[1]-q[0] < 0.05*q[1]:
		d.note("the waits between attempts hardly differ (%s at the median); draw them at random", briefSeconds(q[1]))
	}
}

// immediately is a median gap in which nobody waited: a round trip and a
// transaction take that long.
const immediately = 2 * time.Millisecond

// givenUpWith are the answers that tell a caller to try again, or to think again.
var givenUpWith = []int{http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable}

// permanent wants few attempts, an answer in time, and one that says so.
func (s *SerializationRetries) permanent(d *docket, j journal.Journal, step faultStep, refused []tried) {
	bound := orDefault(s.AnswersWithin, j.Header().Promises.AnswersWithin) + answerSlack
	limit := orDefault(s.MaxAttempts, 5)
	most, longest := refused[0], refused[0]
	wrong := tally{}
	for _, t := range refused {
		if len(t.attempts) > len(most.attempts) {
			most = t
		}
		if t.RawLatency() > longest.RawLatency() {
			longest = t
		}
		if t.Done <= step.window.To && !slices.Contains(givenUpWith, t.Code) {
			if len(wrong) == 0 {
				d.point(t.evidence(j.Header().Run))
			}
			wrong[answer(t.Request)]++
		}
	}
	d.add(bounded("attempts_for_ever_max", float64(len(most.attempts)), "1", "<=", float64(limit), len(refused)),
		boundedTime("answer_max", longest.RawLatency(), bound, len(refused)))
	if len(most.attempts) > limit {
		d.point(most.evidence(j.Header().Run))
		d.against("promised at most %d attempts; a request that the database refused again and again in %s made %d: bound "+
			"the attempts", limit, step.Name, len(most.attempts))
	}
	if longest.RawLatency() > bound {
		d.point(longest.evidence(j.Header().Run))
		d.against("promised an answer within %v; a request that was refused for ever in %s took %v", bound, step.Name,
			brief(longest.RawLatency()))
	}
	if len(wrong) > 0 {
		d.against("promised 409 or 503 when the database refuses for ever; in %s requests ended with %s", step.Name, wrong)
	}
}

// control wants one attempt at what repeating cannot help.
func (s *SerializationRetries) control(d *docket, j journal.Journal, step faultStep, refused []tried) {
	most := refused[0]
	for _, t := range refused {
		if len(t.attempts) > len(most.attempts) {
			most = t
		}
	}
	d.add(bounded("attempts_in_vain_max", float64(len(most.attempts)), "1", "<=", 1, len(refused)))
	if len(most.attempts) > 1 {
		d.point(most.evidence(j.Header().Run))
		d.against("promised to repeat only what may succeed; a request that was refused with %s in %s was tried %d times: "+
			"repeat on 40001 and 40P01 alone", most.attempts[0].Code, step.Name, len(most.attempts))
	}
}
