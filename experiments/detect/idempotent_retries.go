package detect

import (
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// IdempotentRetries judges whether the service repeats a call that may already
// have had its effect (detectors.md D14): a POST or PATCH that the dependency
// read to its end, and then answered with 500, 502 or 504, too late, or not at
// all. Such a call must arrive once, or every time with one Idempotency-Key and
// one body. Repeating a call that was refused with 429 or 503 is a remark. One
// key for two logical calls is a violation too: the second would be taken for
// the first.
//
// Attempts are tied together by the request id, the trace id or a body of their
// own, never by the idempotency key, as a fresh key for each attempt is what is
// looked for.
type IdempotentRetries struct {
	// On is the http dependency. Empty: the experiment's target.
	On string `yaml:"on" json:"on,omitempty"`
	// During is the window in which logical calls begin: fault (default),
	// method, all or a step's name.
	During string `yaml:"during" json:"during,omitempty"`
	// MinSamples is how many logical calls must have been left in doubt for it
	// to hold. Default 30.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "idempotent_retries", ID: "D14", Checklist: []string{"3.4"}, Class: Safety,
	Summary: "only calls that can be repeated without harm are repeated",
}, func() Detector { return &IdempotentRetries{MinSamples: 30} })

// writeTies tie the attempts of a write.
var writeTies = []tie{byRequestID, byTrace, byBody}

// Detect judges the journal.
func (d *IdempotentRetries) Detect(j journal.Journal) Finding {
	f := finding("idempotent_retries")
	on, err := httpTarget(j.Header(), d.On)
	if err != nil {
		return f.notApplicable("repeated writes are not judged: %v", err)
	}
	s, err := resolve(j, d.During, DuringFault)
	if err != nil {
		return f.unknown("repeated writes are not known: %v", err)
	}
	if writes := countWrites(j, on); writes == 0 {
		return f.unknown("no POST or PATCH arrived at %s in the whole run, so no write could be repeated", on)
	}
	calls := callsOn(j, on, s, writeTies)
	if calls.tied == "" {
		return f.unknown("in %v %s", s, calls.untied(on))
	}
	return d.judge(f, repeatsOf(j.Header().Run, calls), calls, on, s)
}

func isWrite(method string) bool { return method == "POST" || method == "PATCH" }

func countWrites(j journal.Journal, on string) int {
	n := 0
	for e, c := range journal.Of[journal.Call](j) {
		if e.On == on && isWrite(c.Method) {
			n++
		}
	}
	return n
}

// repeats sorts the logical writes by what became of them.
type repeats struct {
	writes    int // logical writes seen
	inDoubt   int // that were left in doubt at least once
	unsafe    []chain
	refused   int // repeated after a refusal, without one key and body
	sharedKey []chain
}

// refusal says that the dependency answered without having done anything.
func (a arrival) refusal() bool {
	return a.answered() && (a.call.Status == 429 || a.call.Status == 503)
}

func repeatsOf(run string, c callsIn) repeats {
	var r repeats
	owner := map[string]string{} // idempotency key to the logical call that used it first
	for _, ch := range c.chains {
		read := slices.DeleteFunc(slices.Clone(ch), func(a arrival) bool { return !a.call.BodyRead })
		if len(read) == 0 || !isWrite(read[0].call.Method) {
			continue
		}
		r.writes++
		r.count(read)
		for _, a := range read {
			mark := c.by.mark(run, a.call)
			first, known := owner[a.call.IdempotencyKey]
			if a.call.IdempotencyKey == "" || known && first == mark {
				continue
			}
			if known {
				r.sharedKey = append(r.sharedKey, read)
				break
			}
			owner[a.call.IdempotencyKey] = mark
		}
	}
	return r
}

// count judges the arrivals of one logical write that were read to their end.
func (r *repeats) count(read chain) {
	doubt, refused := false, false
	for i, a := range read {
		repeated := i+1 < len(read)
		if a.refusal() {
			refused = refused || repeated
			continue
		}
		if a.failed() {
			r.inDoubt += one(!doubt)
			doubt = true
			if repeated && !sameWrite(read) {
				r.unsafe = append(r.unsafe, read)
				return
			}
		}
	}
	if refused && !sameWrite(read) {
		r.refused++
	}
}

// sameWrite says that all attempts carry one key and one body.
func sameWrite(c chain) bool {
	first := c[0].call
	return first.IdempotencyKey != "" && !slices.ContainsFunc(c, func(a arrival) bool {
		return a.call.IdempotencyKey != first.IdempotencyKey || a.call.BodyHash != first.BodyHash
	})
}

func (d *IdempotentRetries) judge(f Finding, r repeats, c callsIn, on string, s span) Finding {
	f.Quantities = []journal.Quantity{
		bounded("unsafe_repeats", float64(len(r.unsafe)), "1", "<=", 0, r.inDoubt),
		bounded("shared_keys", float64(len(r.sharedKey)), "1", "<=", 0, r.writes),
		measured("writes_in_doubt", float64(r.inDoubt), "1", r.writes),
		measured("refused_and_repeated", float64(r.refused), "1", r.writes),
		measured("transport_replays", float64(c.replays), "1", c.calls),
	}
	for _, ch := range append(slices.Clone(r.unsafe), r.sharedKey...) {
		for i, a := range ch {
			if len(f.Evidence) < evidenceMost {
				f.Evidence = append(f.Evidence, a.evidence("arrival %d of one logical call, read to its end, key %q, body %s",
					i+1, a.call.IdempotencyKey, a.call.BodyHash))
			}
		}
	}
	said := say("promised: a write whose fate is not known is repeated only with one Idempotency-Key and one "+
		"body; seen at %s in %v: %d of %d writes left in doubt were sent again otherwise (tied by %s)",
		on, s, len(r.unsafe), r.inDoubt, c.tied)
	switch {
	case len(r.unsafe) > 0:
		return f.violated("%s; draw the key before the first attempt and send it with each, or do not repeat", said)
	case len(r.sharedKey) > 0:
		return f.violated("promised: every logical write has an Idempotency-Key of its own; seen at %s in %v: %d of %d "+
			"writes came with the key of another (tied by %s)", on, s, len(r.sharedKey), r.writes, c.tied)
	case r.inDoubt < d.MinSamples:
		return f.unknown("%s; %d writes in doubt are needed: let %s reset, hang or answer 500 after reading the request",
			said, d.MinSamples, on)
	case r.refused > 0:
		f.Remark = say("%d writes that were refused with 429 or 503 were repeated without one key; that is safe "+
			"only where a refusal never has an effect", r.refused)
	}
	return f.held("%s", said)
}
