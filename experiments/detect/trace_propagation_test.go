package detect

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// tracedMade has a request every 100 ms, each of which calls payments twice: a
// failed attempt and a second one. header gives the attempt's traceparent.
func tracedMade(requests int, header func(n, attempt int, sent journal.TraceContext) string) *made {
	m := newMade()
	m.header.Target = "payments"
	for n := range requests {
		at := 1 + float64(n)/10
		m.hit("load", "create", at, 0.05, 201)
		sent := journal.Trace("t", "load", uint64(n))
		for attempt := range 2 {
			m.at(at+0.01+0.02*float64(attempt), "payments", journal.Call{
				Method: "POST", Path: "/charge", RequestID: journal.RequestID("t", "load", uint64(n)),
				Traceparent: header(n, attempt, sent), Status: 503, BodyRead: true, Answered: time.Millisecond, Conn: 1,
			})
		}
	}
	return m
}

// goneOn is a service that goes on with its caller's trace.
func goneOn(_, attempt int, sent journal.TraceContext) string {
	sent.Span[0] ^= byte(attempt + 1)
	return sent.Traceparent()
}

func TestTracePropagation(t *testing.T) {
	unlabelled := func(n int) func(*made) { // the first n calls carry no request id
		return func(m *made) {
			replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
				if n--; n >= 0 {
					c.RequestID, c.Traceparent = "", ""
				}
				return c
			})
		}
	}
	nothing := func(*made) {}
	tests := []struct {
		name     string
		requests int
		header   func(n, attempt int, sent journal.TraceContext) string
		edit     func(*made)
		outcome  Outcome
		reason   string
	}{
		{"same trace, new spans", 25, goneOn, nothing, Held, "50 calls belong to their callers' traces"},
		{"49 calls", 25, goneOn, func(m *made) {
			m.entries = m.entries[1:]
		}, Unknown, "payments got 49 calls, and 50 are needed"},
		{
			"no header", 25, func(int, int, journal.TraceContext) string { return "" }, nothing, Violated,
			"50 of 50 calls to payments left their caller's trace although they carry its request id: 50 had no traceparent",
		},
		{"one retry without", 25, func(n, attempt int, sent journal.TraceContext) string {
			if n == 7 && attempt == 1 {
				return ""
			}
			return goneOn(n, attempt, sent)
		}, nothing, Violated, "1 of 50 calls to payments left their caller's trace"},
		{"a trace of its own", 25, func(n, attempt int, _ journal.TraceContext) string {
			return journal.Trace("other", "load", uint64(10*n+attempt)).Traceparent()
		}, nothing, Violated, "50 were of another trace"},
		{"no header, no request id", 25, goneOn, unlabelled(50), Violated, "0 % of 50 calls to payments belong to a trace"},
		{"a tenth of its own accord", 25, goneOn, unlabelled(5), Held, "5 of 50 calls to payments belong to no request"},
		{"more than a tenth", 25, goneOn, unlabelled(6), Violated, "88 % of 50 calls to payments belong to a trace"},
		{
			"passed on as it came", 25, func(_, _ int, sent journal.TraceContext) string { return sent.Traceparent() },
			nothing, Violated, "carry the caller's own span id",
		},
		{
			"one span for all attempts", 25, func(n, _ int, sent journal.TraceContext) string { return goneOn(n, 0, sent) },
			nothing, Violated, "25 of 50 calls to payments carry the span id of an attempt before them",
		},
		{
			"repeated by the transport", 25, func(n, _ int, sent journal.TraceContext) string { return goneOn(n, 0, sent) },
			func(m *made) {
				replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
					c.Status, c.Answered, c.HungUp = 0, 0, true
					return c
				})
			}, Held, "",
		},
		{"upper case is no traceparent", 25, func(int, int, journal.TraceContext) string {
			return "00-ABCDEFABCDEFABCDEFABCDEFABCDEFAB-ABCDEFABCDEFABCD-01"
		}, nothing, Violated, "were of another trace"},
		{"no retries", 50, goneOn, func(m *made) {
			m.entries = deleteOdd(m.entries)
		}, Held, "no second call of a request was seen at payments"},
		{"before the load", 25, goneOn, func(m *made) {
			m.at(0.5, "payments", journal.Call{Method: "POST", Path: "/charge", RequestID: "t-setup-1"})
		}, Held, ""},
		{"no HTTP dependency", 25, goneOn, func(m *made) {
			m.header.Dependencies = m.header.Dependencies[:1]
		}, NotApplicable, "no HTTP dependency"},
		{"nothing sent", 25, goneOn, func(m *made) { m.requests = nil }, Unknown, "no request was sent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := tracedMade(tt.requests, tt.header)
			tt.edit(m)
			wants(t, judged(t, "trace_propagation", m), tt.outcome, tt.reason)
		})
	}
}

// inFormat is a run whose load and service write traces in a format.
func inFormat(f journal.TraceFormat) func(*made) {
	return func(m *made) {
		m.header.TraceFormat = f
		replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
			context, ok := journal.ParseTraceparent(c.Traceparent)
			if !ok {
				return c
			}
			clear(context.Trace[:8]) // as it was sent
			trace, span := f.Digits(context)
			h := http.Header{}
			f.Set(h, trace, span)
			c.TakeTrace(h.Get)
			return c
		})
	}
}

func TestTracePropagationInOtherFormats(t *testing.T) {
	for f, header := range map[journal.TraceFormat]string{
		journal.TraceB3: "b3", journal.TraceB3Multi: "X-B3-TraceId", journal.TraceJaeger: "uber-trace-id",
	} {
		for _, tt := range []struct {
			name    string
			header  func(n, attempt int, sent journal.TraceContext) string
			edit    func(*made)
			outcome Outcome
			reason  string
		}{
			{"gone on", goneOn, func(*made) {}, Held, "50 calls belong to their callers' traces"},
			{"none", func(int, int, journal.TraceContext) string { return "" }, func(*made) {}, Violated, "50 had no " + header},
			{
				"as it came", func(_, _ int, sent journal.TraceContext) string { return sent.Traceparent() }, func(*made) {},
				Violated, "carry the caller's own span id",
			},
			{"another", func(n, attempt int, _ journal.TraceContext) string {
				return journal.Trace("other", "load", uint64(10*n+attempt)).Traceparent()
			}, func(*made) {}, Violated, "50 were of another trace; pass"},
			{"with 128 bits", goneOn, func(m *made) {
				replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
					if c.B3 != "" {
						c.B3 = strings.Repeat("0", 16) + c.B3
					}
					return c
				})
			}, Held, ""},
			{"sent in W3C's, read in this", func(n, attempt int, _ journal.TraceContext) string {
				return journal.Trace("other", "load", uint64(10*n+attempt)).Traceparent()
			}, func(m *made) { m.header.TraceFormat = "" }, Violated, "50 carry a trace in another format"},
		} {
			t.Run(string(f)+" "+tt.name, func(t *testing.T) {
				m := tracedMade(25, tt.header)
				inFormat(f)(m)
				tt.edit(m)
				wants(t, judged(t, "trace_propagation", m), tt.outcome, tt.reason)
			})
		}
	}
}

func deleteOdd(entries []journal.Entry) []journal.Entry {
	var kept []journal.Entry
	for i, e := range entries {
		if i%2 == 0 {
			kept = append(kept, e)
		}
	}
	return kept
}

var (
	_ = madeUpAs("trace_propagation/held-gone-on", makes(func() *made { return tracedMade(30, goneOn) }))
	_ = madeUpAs("trace_propagation/violated-begun-anew", makes(func() *made {
		return tracedMade(30, func(n, attempt int, _ journal.TraceContext) string {
			return journal.Trace("other", "load", uint64(10*n+attempt)).Traceparent()
		})
	}))
	_ = madeUpAs("trace_propagation/unknown-few-calls", makes(func() *made { return tracedMade(10, goneOn) }))
)
