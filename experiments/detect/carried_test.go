package detect

import (
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestCarried(t *testing.T) {
	hit := journal.Request{Attack: "load", Seq: 7}
	trace := journal.Trace("r1", "load", 7).Traceparent()
	digits, span := journal.TraceB3.Digits(journal.TraceB3.Trace("r1", "load", 7))
	b3, own := digits+"-"+span+"-1", journal.Trace("own", "x", 1).Traceparent()
	tests := []struct {
		name        string
		call        journal.Call
		id, byTrace bool
		format      journal.TraceFormat
	}{
		{"our id", journal.Call{RequestID: hit.ID("r1")}, true, false, ""},
		{"our id and our trace", journal.Call{RequestID: hit.ID("r1"), Traceparent: trace}, true, false, ""},
		{"our trace and an id of its own", journal.Call{RequestID: "abc", Traceparent: trace}, false, true, ""},
		{"another hit's id", journal.Call{RequestID: "r1-load-8"}, false, false, ""},
		{"another run's id", journal.Call{RequestID: "r2-load-7"}, false, false, ""},
		{"no trace", journal.Call{Traceparent: "00-zz-zz-01"}, false, false, ""},
		{"our trace in b3", journal.Call{B3: b3}, false, true, journal.TraceB3},
		{"our trace in b3, by who was sent W3C's", journal.Call{B3: b3}, false, false, ""},
		{"our trace in b3, with zeros", journal.Call{B3: strings.Repeat("0", 16) + b3}, false, true, journal.TraceB3},
		{"a traceparent of its own", journal.Call{Traceparent: own, B3: b3}, false, true, journal.TraceB3Multi},
		{"nothing", journal.Call{}, false, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCarried[int](journal.Header{Run: "r1", TraceFormat: tt.format})
			if v := c.by(tt.call); v != nil {
				*v = 1
			}
			id, byTrace := c.of(hit)
			if (id != nil) != tt.id || (byTrace != nil) != tt.byTrace {
				t.Errorf("the hit is found by its id: %v, by its trace: %v", id != nil, byTrace != nil)
			}
		})
	}
	c := newCarried[int](journal.Header{Run: "r1"})
	if c.by(tests[0].call) != c.by(tests[1].call) {
		t.Error("two calls of one hit are told apart")
	}
}
