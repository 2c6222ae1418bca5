package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// floodMade is a limit of 20 a second and 20 at once: of a flood of 100 a second
// over 10 s so many are taken, and of the same in disguise; the neighbour asks
// once a second.
func floodMade(taken, disguised int) *made {
	m := newMade()
	m.header.Promises.RateLimit, m.header.Promises.RateBurst, m.header.Rate = 20, 20, 0
	for _, a := range []struct {
		name     string
		from, to float64
		rate     float64
		taken    int
	}{{"flood", 1, 11, 100, taken}, {"neighbour", 1, 24, 1, 1000}, {"disguised", 14, 24, 100, disguised}} {
		m.step(a.name, "attack", "operation", "replica-1", a.from, a.to)
		length := secs(a.to - a.from).Duration()
		n := int((a.to - a.from) * a.rate)
		m.at(a.from, a.name, journal.Attack{Began: true, From: secs(a.from), For: length, Planned: uint64(n)})
		m.at(a.to, a.name, journal.Attack{From: secs(a.from), For: length, Planned: uint64(n), Sent: uint64(n)})
		for i := range n {
			code := 200
			if i*a.taken/n == (i+1)*a.taken/n && a.taken < n {
				code = 429
			}
			m.hit(a.name, "get", a.from+float64(i)/a.rate, 0.002, code).RetryAfter = code == 429
		}
	}
	return m
}

func TestRateLimit(t *testing.T) {
	edit := func(attack string, every int, f func(*journal.Request)) func(*made) {
		return func(m *made) {
			n := 0
			m.change(func(r *journal.Request) {
				if r.Attack != attack {
					return
				}
				if n++; n%every == 0 {
					f(r)
				}
			})
		}
	}
	refusal := func(r *journal.Request) { r.Code, r.OK, r.RetryAfter = 429, false, true }
	unavailable := func(r *journal.Request) { r.Code, r.OK = 503, false }
	for _, tt := range []struct {
		name             string
		taken, disguised int
		edit             func(*made)
		want             Outcome
		reason           string
	}{
		{"as agreed", 220, 220, nil, Held, "of 1000 in 10s 220 were"},
		{"a fifth more", 264, 264, nil, Held, ""},
		{"more than that", 265, 265, nil, Violated, "265 of 1000 in 10s were taken, where 220 were agreed"},
		{"a fifth less", 176, 176, nil, Held, ""},
		{"less than that", 175, 175, nil, Violated, "callers get less than they were promised"},
		{"no limit", 1000, 1000, nil, Violated, "hold each caller to a limit of its own"},
		{"in disguise a fifth more", 200, 240, nil, Held, ""},
		{"in disguise all", 220, 1000, nil, Violated, "do not key the limit by a header"},
		{"neighbour refused", 220, 220, edit("neighbour", 20, refusal), Violated, "1 of 23 requests of another caller"},
		{"neighbour broken", 220, 220, edit("neighbour", 1, unavailable), Unknown, "another caller got 0 answers while"},
		{"bare refusals", 220, 220, func(m *made) {
			m.change(func(r *journal.Request) { r.RetryAfter = false })
		}, Violated, "780 of 780 refusals carried no Retry-After"},
		{"refused with 503", 220, 220, func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Code == 429 {
					r.Code = 503
				}
			})
		}, Violated, "none with 429"},
		{"overloaded", 220, 220, edit("flood", 20, unavailable), Unknown, "ended otherwise than taken or refused"},
		{
			"disguise overloaded", 220, 220, edit("disguised", 20, unavailable), Unknown,
			"with made-up addresses ended otherwise",
		},
		{"neighbour came later", 220, 220, edit("neighbour", 1, func(r *journal.Request) {
			r.Due, r.Sent, r.Done = r.Due+secs(12), r.Sent+secs(12), r.Done+secs(12)
		}), Unknown, "another caller got 0 answers while"},
		{"neighbour of another replica", 220, 220, func(m *made) {
			m.header.Method[1].Target = "replica-2"
		}, Unknown, "another caller got 0 answers while"},
		{"flood of both replicas", 440, 440, func(m *made) {
			m.header.Method[0].Target, m.header.Method[1].Target = "", ""
		}, Unknown, "went to 2 replicas"},
		{"no flood", 220, 220, func(m *made) {
			m.entries, m.requests = nil, nil
		}, Unknown, `no attack called "flood"`},
		{"limit too high for it", 700, 700, func(m *made) {
			m.header.Promises.RateLimit = 70
		}, Unknown, "are too few to try"},
		{"no disguise", 220, 220, edit("disguised", 1, func(r *journal.Request) {
			r.Dropped = true
		}), Unknown, "sent 0 requests"},
		{"burst not said", 220, 220, func(m *made) { m.header.Promises.RateBurst = 0 }, Held, "and 20 at once"},
		{"not promised", 220, 220, func(m *made) { m.header.Promises.RateLimit = 0 }, NotApplicable, "traffic.callers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := floodMade(tt.taken, tt.disguised)
			if tt.edit != nil {
				tt.edit(m)
			}
			wants(t, judged(t, "rate_limit", m), tt.want, tt.reason)
		})
	}
}

func floodAs(taken, disguised int, edit func(*journal.Request)) func() journal.Journal {
	return func() journal.Journal {
		m := floodMade(taken, disguised)
		if edit != nil {
			m.change(edit)
		}
		return m.memory()
	}
}

var (
	_ = madeUpAs("rate_limit/held-each-caller", floodAs(219, 219, nil))
	_ = madeUpAs("rate_limit/violated-one-for-all", floodAs(198, 198, func(r *journal.Request) {
		if r.Attack == "neighbour" && r.Due.Duration() < 11*time.Second {
			r.Code, r.OK, r.RetryAfter = 429, false, true
		}
	}))
	_ = madeUpAs("rate_limit/violated-by-address", floodAs(219, 1000, nil))
	_ = madeUpAs("rate_limit/unknown-overloaded", floodAs(219, 219, func(r *journal.Request) {
		if r.Attack == "flood" && r.Seq%4 == 0 {
			r.Code, r.OK, r.RetryAfter = 503, false, false
		}
	}))
)
