package detect

import (
	"cmp"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// RateLimit judges whether one caller gets what was agreed, and no more
// (detectors.md D32): of one who asks for several times the promised rate_limit
// about so much is taken, beside rate_burst, and the rest refused with 429 and
// Retry-After; another caller, who asks seldom, is never refused; and addresses
// in X-Forwarded-For, which a caller can make up, do not raise what is taken.
//
// It judges three attacks on one replica, of the same length: the flood, the
// neighbour's, and the flood again with another address in each hit.
type RateLimit struct {
	// Flood names the step in which one caller asks for more than was agreed.
	// Default flood.
	Flood string `yaml:"flood" json:"flood,omitempty"`
	// Neighbour names the step in which another caller asks meanwhile. Default
	// neighbour.
	Neighbour string `yaml:"neighbour" json:"neighbour,omitempty"`
	// Disguised names the step in which the one caller asks again, from
	// addresses that it makes up. Default disguised.
	Disguised string `yaml:"disguised" json:"disguised,omitempty"`
	// Tolerance is by which share what is taken may differ from what was agreed,
	// and what is taken in disguise exceed what is taken without. Default 0.2.
	Tolerance float64 `yaml:"tolerance" json:"tolerance,omitempty"`
	// AtLeast is how many answers the neighbour must have got. Default 8.
	AtLeast int `yaml:"at_least" json:"at_least,omitempty"`
}

var _ = register(Info{
	Kind: "rate_limit", ID: "D32", Checklist: []string{"6.2"}, Class: Rate,
	Summary: "one caller gets no more than agreed, another notices nothing of it, and a made-up address does not help",
}, func() Detector {
	return &RateLimit{Flood: "flood", Neighbour: "neighbour", Disguised: "disguised", Tolerance: 0.2, AtLeast: 8}
})

const (
	// floodsFor is how many times what was agreed a flood must have asked for, so
	// that one who takes all of it is told from one who takes a little more.
	floodsFor = 1.5
	// otherwiseBearable is the share of a flood that may be answered with
	// something that is neither a success nor a 429.
	otherwiseBearable = 0.02
)

// askedBy is what became of one attack's hits.
type askedBy struct {
	sent, accepted, refused int
	bare                    int   // of the refused: without Retry-After
	otherwise               tally // 5xx, or no answer
	length                  time.Duration
	window                  journal.Window
	replica                 string // to which it was sent; empty: through the balancer
	firstRefused            Evidence
}

// Detect judges the three attacks.
func (p *RateLimit) Detect(j journal.Journal) Finding {
	d := open("rate_limit")
	h := j.Header()
	if h.Promises.RateLimit <= 0 {
		return d.notApplicable("the promises do not say how often one caller may ask (looked for: rate_limit, and who is " +
			"told apart by what, in traffic.callers)")
	}
	flood, ok := askedIn(j, cmp.Or(p.Flood, "flood"))
	if !ok {
		return d.unknown("no attack called %q was made, so the promised limit of %d/s was not tried", p.Flood,
			h.Promises.RateLimit)
	}
	replicas := 1
	if flood.replica == "" {
		replicas = len(h.Replicas)
	}
	p.taken(d, h.Promises, flood, replicas)
	p.neighbour(d, j, flood)
	p.disguised(d, j, flood)
	return d.close("promised: %d requests a second of one caller are taken, and %d at once; seen: of %d in %s %d were, "+
		"the others were refused with 429 and Retry-After, no other caller was, and made-up addresses did not help",
		h.Promises.RateLimit, burstOf(h.Promises), flood.sent, brief(flood.length), flood.accepted)
}

// burstOf is what may come at once.
func burstOf(p journal.Promises) int { return cmp.Or(p.RateBurst, p.RateLimit) }

// askedIn counts an attack's hits; false when there was none.
func askedIn(j journal.Journal, attack string) (c askedBy, ok bool) {
	c.otherwise = tally{}
	for e, a := range journal.Of[journal.Attack](j) {
		if e.On == attack && !a.Began {
			c.length, ok = a.For, true
			c.window = journal.Window{From: a.From, To: a.From.Add(a.For)}
		}
	}
	for r := range j.Requests(journal.Window{}) {
		if r.Attack != attack || r.Dropped || r.Canceled {
			continue
		}
		c.sent++
		switch {
		case r.Code == 429:
			c.refused++
			if !r.RetryAfter {
				c.bare++
			}
			if c.firstRefused.Kind == "" {
				c.firstRefused = requestEvidence(j.Header().Run, r)
			}
		case r.Code == 0, r.Code >= 500:
			c.otherwise[answer(r)]++
		default:
			c.accepted++
		}
	}
	c.replica = attackedBy(j.Header(), attack)
	return c, ok
}

// others is how many of an attack's hits ended otherwise.
func (c askedBy) others() int { return c.sent - c.accepted - c.refused }

// taken holds what was taken of the flood to what was agreed.
func (p *RateLimit) taken(d *docket, promises journal.Promises, c askedBy, replicas int) {
	agreed := float64(promises.RateLimit)*c.length.Seconds() + float64(burstOf(promises))
	most, least := (1+p.Tolerance)*agreed, (1-p.Tolerance)*agreed
	d.add(measured("flood_offered", float64(c.sent), "1", c.sent),
		bounded("flood_accepted", float64(c.accepted), "1", "<=", most, c.sent),
		measured("flood_refused", float64(c.refused), "1", c.sent),
		bounded("refused_without_retry_after", float64(c.bare), "1", "==", 0, c.refused))
	d.point(c.firstRefused)
	said := say("promised: %d requests a second of one caller, and %d at once; seen: %d of %d in %s were taken, "+
		"where %.0f were agreed", promises.RateLimit, burstOf(promises), c.accepted, c.sent, brief(c.length), agreed)
	switch {
	case float64(c.sent) < floodsFor*agreed:
		d.doubt("%d requests in %s are too few to try a limit that lets %.0f pass", c.sent, brief(c.length), agreed)
	case float64(c.accepted) > most && float64(c.accepted) <= most*float64(replicas):
		d.doubt("%s; but the flood went to %d replicas, each of which may have a limit of its own: send it to one", said,
			replicas)
	case float64(c.accepted) > most:
		d.against("%s: hold each caller to a limit of its own", said)
	case share(c.others(), c.sent) > otherwiseBearable && c.refused == 0:
		d.against("%s; the others ended with %v, and none with 429, which tells a caller whose fault it is",
			said, c.otherwise)
	case share(c.others(), c.sent) > otherwiseBearable:
		d.doubt("%d of %d requests of the flood ended otherwise than taken or refused (%v)", c.others(), c.sent,
			c.otherwise)
	case float64(c.accepted) < least:
		d.against("%s: callers get less than they were promised", said)
	}
	if c.bare > 0 {
		d.against("%d of %d refusals carried no Retry-After: tell callers when to come back", c.bare, c.refused)
	}
}

// neighbour asks that a caller who asks seldom is never refused.
func (p *RateLimit) neighbour(d *docket, j journal.Journal, flood askedBy) {
	name := cmp.Or(p.Neighbour, "neighbour")
	c, _ := askedIn(j, name)
	beside := 0 // the flood, at the same replica
	for r := range j.Requests(flood.window) {
		beside += one(r.Attack == name && c.replica == flood.replica && !r.Dropped && !r.Canceled && r.Code != 0 &&
			r.Code != 429 && r.Code < 500)
	}
	d.add(bounded("neighbour_refused", float64(c.refused), "1", "==", 0, c.sent))
	switch {
	case c.refused > 0:
		d.point(c.firstRefused)
		d.against("promised: the limit is each caller's own; seen: %d of %d requests of another caller, who asked seldom, "+
			"were refused while one flooded the service: key the limit by who asks", c.refused, c.sent)
	case beside < p.AtLeast:
		d.doubt("another caller got %d answers while the replica was flooded, in the attack %q, and %d are needed", beside,
			name, p.AtLeast)
	}
}

// disguised asks that made-up addresses do not raise what is taken.
func (p *RateLimit) disguised(d *docket, j journal.Journal, flood askedBy) {
	name := cmp.Or(p.Disguised, "disguised")
	c, ok := askedIn(j, name)
	most := (1 + p.Tolerance) * float64(flood.accepted)
	d.add(bounded("disguised_accepted", float64(c.accepted), "1", "<=", most, c.sent))
	switch {
	case share(flood.others(), flood.sent) > otherwiseBearable: // what to compare with is in doubt itself
	case float64(c.accepted) > most:
		d.against("promised: a caller is who it is, wherever it says it comes from; seen: %d of %d requests with ever "+
			"another X-Forwarded-For were taken, and %d without: do not key the limit by a header that callers can make up",
			c.accepted, c.sent, flood.accepted)
	case !ok || float64(c.sent) < 0.9*float64(flood.sent):
		d.doubt("the attack %q, with made-up addresses, sent %d requests, and %d were sent without", name, c.sent, flood.sent)
	case share(c.others(), c.sent) > otherwiseBearable:
		d.doubt("%d of %d requests with made-up addresses ended otherwise than taken or refused (%v)", c.others(), c.sent,
			c.otherwise)
	}
}
