package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// brokenMade has 50 requests whose traceparent was not valid, each of which
// calls payments once; header gives the call's traceparent.
func brokenMade(header func(n int, sent journal.TraceContext) string) *made {
	m := newMade()
	m.header.Target, m.header.Rate = "payments", -1
	m.at(1, "odd", journal.Attack{
		Began: true, BrokenTrace: true, From: secs(1), For: 5 * time.Second, Timeout: time.Second,
	})
	for n := range 50 {
		at := 1 + float64(n)/10
		m.hit("odd", "create", at, 0.05, 201).Seq = uint64(n)
		m.at(at+0.01, "payments", journal.Call{
			Method: "POST", Path: "/charge", RequestID: journal.RequestID("t", "odd", uint64(n)), Status: 201, BodyRead: true,
			Traceparent: header(n, journal.Trace("t", "odd", uint64(n))), Answered: time.Millisecond, Conn: 1,
		})
	}
	return m
}

func TestBrokenTraces(t *testing.T) {
	fresh := func(n int, _ journal.TraceContext) string { return journal.Trace("own", "x", uint64(n)).Traceparent() }
	goesOn := func(_ int, sent journal.TraceContext) string {
		sent.Span[0] ^= 1
		return sent.Traceparent()
	}
	unlabelled := func(m *made) {
		replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
			c.RequestID = ""
			return c
		})
	}
	nothing := func(*made) {}
	tests := []struct {
		name    string
		header  func(int, journal.TraceContext) string
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"begun anew", fresh, nothing, Held, "50 calls for requests with a traceparent that is not valid"},
		{"goes on", goesOn, nothing, Violated, "50 go on with the trace id in it"},
		{"goes on, without request ids", goesOn, unlabelled, Violated, "50 go on with the trace id in it"},
		{
			"passed on", func(int, journal.TraceContext) string { return "not a traceparent" }, nothing, Violated,
			"50 carry none that is valid themselves",
		},
		{"none", func(int, journal.TraceContext) string { return "" }, nothing, Violated, "50 carry none"},
		{
			"one trace for all", func(int, journal.TraceContext) string { return journal.Trace("own", "x", 1).Traceparent() },
			nothing, Violated, "49 share a trace with another request",
		},
		{"begun anew in b3", fresh, inFormat(journal.TraceB3), Held, "50 calls for requests with a b3 that is not valid"},
		{"goes on in b3", goesOn, inFormat(journal.TraceB3), Violated, "50 go on with the trace id in it"},
		{"49 calls", fresh, func(m *made) { m.entries = m.entries[:50] }, Unknown, "49 calls for requests"},
		{"beside other load", goesOn, func(m *made) {
			unlabelled(m)
			m.header.Rate = 10
		}, Unknown, "0 calls for requests"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := brokenMade(tt.header)
			tt.edit(m)
			wants(t, judged(t, "trace_propagation", m), tt.outcome, tt.reason)
		})
	}
}
