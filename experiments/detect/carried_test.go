package detect

import (
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestCarried(t *testing.T) {
	hit := journal.Request{Attack: "load", Seq: 7}
	trace := journal.Trace("r1", "load", 7).Traceparent()
	tests := []struct {
		name        string
		call        journal.Call
		id, byTrace bool
	}{
		{"our id", journal.Call{RequestID: hit.ID("r1")}, true, false},
		{"our id and our trace", journal.Call{RequestID: hit.ID("r1"), Traceparent: trace}, true, false},
		{"our trace and an id of its own", journal.Call{RequestID: "abc", Traceparent: trace}, false, true},
		{"another hit's id", journal.Call{RequestID: "r1-load-8"}, false, false},
		{"another run's id", journal.Call{RequestID: "r2-load-7"}, false, false},
		{"no trace", journal.Call{Traceparent: "00-zz-zz-01"}, false, false},
		{"nothing", journal.Call{}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCarried[int]("r1")
			if v := c.by(tt.call); v != nil {
				*v = 1
			}
			id, byTrace := c.of(hit)
			if (id != nil) != tt.id || (byTrace != nil) != tt.byTrace {
				t.Errorf("the hit is found by its id: %v, by its trace: %v", id != nil, byTrace != nil)
			}
		})
	}
	c := newCarried[int]("r1")
	if c.by(tests[0].call) != c.by(tests[1].call) {
		t.Error("two calls of one hit are told apart")
	}
}
