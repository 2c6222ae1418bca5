package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// hangMade sends SIGTERM to replica-1 at 5 s while a request hangs for some
// seconds; the process ends at exit, and 12 s are its grace.
func hangMade(hangs, exit float64) *made {
	m := newMade()
	m.header.Replicas = m.header.Replicas[:1]
	m.header.Promises.DrainsWithin = 10 * time.Second
	m.step("terminate", "sigterm", "fault", "replica-1", 5, 18)
	m.hit("in-flight", "create", 4.9, 0.1+hangs, 0).Err = journal.ErrEOF
	m.at(5, "replica-1", journal.Signalled{Signal: "SIGTERM"})
	m.at(exit, "replica-1", journal.Exited{PID: 7, Code: 1, Asked: "SIGTERM"})
	m.at(exit+2.5, "db", journal.Activity{})
	m.at(19, "", journal.Phase{Name: "end"})
	return m
}

func TestDrainDeadline(t *testing.T) {
	exits := func(body journal.Exited) func(*made) {
		return func(m *made) {
			replace(m, func(journal.Entry, journal.Exited) journal.Body { return body })
		}
	}
	holds := func(b journal.Backend) func(*made) {
		return func(m *made) {
			replace(m, func(journal.Entry, journal.Activity) journal.Body {
				return journal.Activity{Backends: []journal.Backend{b}}
			})
		}
	}
	nothing := func(*made) {}
	answered := func(m *made) { m.requests[0].Code, m.requests[0].Err = 504, "" }
	another := func(m *made) {
		m.header.Replicas = []string{"replica-1", "replica-2"}
		m.header.Method = append(m.header.Method, journal.PlannedStep{Name: "in-flight", Target: "replica-1"})
	}
	tests := []struct {
		name        string
		hangs, exit float64
		edit        func(*made)
		outcome     Outcome
		reason      string
	}{
		{"ends at its deadline", 9.5, 14.5, nothing, Held, "ended with code 1 after 9.5s"},
		{"own timeout first", 2, 7, answered, Held, "the drain's deadline may not have been reached"},
		{"just within the grace", 12, 17, nothing, Held, ""},
		{"beyond it", 12, 17.1, nothing, Violated, "give Shutdown a context with a deadline"},
		{
			"killed", 12, 17, exits(journal.Exited{Code: -1, Signal: "killed", Asked: "SIGKILL"}), Violated,
			"had to be ended with SIGKILL",
		},
		{"still there", 12, 17, without[journal.Exited], Violated, "was still there"},
		{"end not seen", 12, 17, func(m *made) {
			m.header.Promises.DrainsWithin = 20 * time.Second
			without[journal.Exited](m)
		}, Unknown, "before replica-1 had ended"},
		{"nothing hung", 0.9, 6, answered, Unknown, "none went on for 1s"},
		{"ends at once", 0.2, 5.21, nothing, Held, "cut the 1 request that was under way"},
		{"hangs elsewhere", 9.5, 14.5, func(m *made) {
			m.header.Replicas = []string{"replica-1", "replica-2"}
		}, Unknown, "of 0 requests under way at replica-1"},
		{"hangs there, by its step", 9.5, 14.5, another, Held, "ended with code 1 after 9.5s"},
		{"nothing under way", 9, 14, func(m *made) { m.requests = nil }, Unknown, "of 0 requests under way"},
		{
			"no handler", 9, 5.1, exits(journal.Exited{Code: -1, Signal: "terminated", Asked: "SIGTERM"}), Violated,
			"it has no handler for it",
		},
		{"exit code of a panic", 9, 14, exits(journal.Exited{Code: 2, Asked: "SIGTERM"}), Violated, "ended with code 2"},
		{"panic on the second signal", 9, 14, func(m *made) {
			m.at(6, "replica-1", journal.Signalled{Signal: "SIGTERM"})
			m.at(6.1, "replica-1", journal.LogLine{Stream: "stderr", Text: "panic: close of closed channel"})
		}, Violated, "panicked while it drained"},
		{"second signal is harmless", 9, 14, func(m *made) {
			m.at(6, "replica-1", journal.Signalled{Signal: "SIGTERM"})
		}, Held, "after 9s"},
		{
			"transaction left open", 9, 14, holds(journal.Backend{State: "idle in transaction", XactAge: 3 * time.Second}),
			Violated, "was still open 2.5s after its end",
		},
		{
			"younger transaction", 9, 14, holds(journal.Backend{State: "idle in transaction", XactAge: 2 * time.Second}),
			Held, "",
		},
		{"another's transaction", 9, 14, func(m *made) {
			another(m)
			holds(journal.Backend{App: "orders/replica-2", State: "idle", XactAge: 3 * time.Second})(m)
		}, Held, ""},
		{"its transaction among others", 9, 14, func(m *made) {
			another(m)
			holds(journal.Backend{App: "orders/replica-1", State: "idle", XactAge: 3 * time.Second})(m)
		}, Violated, "was still open"},
		{"transaction in the lock", 9, 14, holds(journal.Backend{WaitType: "Lock", XactAge: 9 * time.Second}), Held, ""},
		{"no signal", 9, 14, without[journal.Signalled], Unknown, "no replica was sent SIGTERM"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := hangMade(tt.hangs, tt.exit)
			tt.edit(m)
			wants(t, judged(t, "drain_deadline", m), tt.outcome, tt.reason)
		})
	}
}
