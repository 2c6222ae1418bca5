package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

const sec = journal.Instant(time.Second)

// twoFaults is a journal with two faults that overlap, a third apart from them,
// and an operation.
func twoFaults() *journal.Memory {
	m := fixture(func(h *journal.Header) {
		h.LoadFor = 40 * time.Second
		h.Method = []journal.PlannedStep{
			{Name: "slow", Class: "fault"},
			{Name: "slower", Class: "fault"},
			{Name: "down", Class: "fault"},
			{Name: "restart", Class: "operation"},
		}
	})
	step(m, 0, 3*sec, 6*sec)
	step(m, 1, 5*sec, 8*sec)
	step(m, 2, 10*sec, 12*sec)
	step(m, 3, 13*sec, 14*sec)
	return m
}

func TestResolve(t *testing.T) {
	load := func(from, to journal.Instant) []journal.Window { return []journal.Window{{From: from, To: to}} }
	for _, tt := range []struct {
		during string
		want   []journal.Window
	}{
		{"", []journal.Window{{From: 3 * sec, To: 8 * sec}, {From: 10 * sec, To: 12 * sec}}},
		{DuringFault, []journal.Window{{From: 3 * sec, To: 8 * sec}, {From: 10 * sec, To: 12 * sec}}},
		{DuringSteady, load(0, 3*sec-1)},
		{DuringMethod, load(3*sec, 14*sec+1)},
		{DuringAfter, load(14*sec+1, 40*sec)},
		{DuringAgain, load(37*sec+1, 40*sec)},
		{DuringAll, []journal.Window{{}}},
		{"slower", load(5*sec, 8*sec)},
		{"restart", load(13*sec-1, 14*sec+1)},
	} {
		t.Run(tt.during, func(t *testing.T) {
			got, err := resolve(twoFaults(), tt.during, DuringFault)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.windows); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestResolveFallsBackToOperations(t *testing.T) {
	m := fixture(func(h *journal.Header) {
		h.Method = []journal.PlannedStep{{Name: "roll", Class: "operation"}, {Name: "ask", Class: "probe"}}
	})
	step(m, 0, 3*sec, 4*sec)
	step(m, 1, 6*sec, 7*sec)
	got, err := resolve(m, DuringFault, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := "the operation (3s to 4s)"; got.String() != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestResolveSaysWhyNot(t *testing.T) {
	never := fixture()
	never.Record(journal.Entry{At: 3 * sec, Body: journal.StepEvent{Phase: journal.PhaseBegin}})
	never.Record(journal.Entry{At: 4 * sec, Body: journal.StepEvent{Phase: journal.PhaseFailed, Error: "no proxy"}})
	open := fixture()
	step(open, 0, 3*sec, 0)
	atOnce := fixture(func(h *journal.Header) { h.LoadFrom = 3 * sec })
	step(atOnce, 0, sec, 2*sec)
	late := fixture()
	step(late, 0, 3*sec, 30*sec)
	for _, tt := range []struct {
		name   string
		j      journal.Journal
		during string
		want   string
	}{
		{"never in force", never, DuringFault, "never in force: no proxy"},
		{"never in force, by name", never, "hang", "never in force: no proxy"},
		{"unknown name", open, "hung", "names no step"},
		{"after a fault that was not taken back", open, DuringAfter, "not seen to end"},
		{"steady without load", atOnce, DuringSteady, "no load before the first step"},
		{"after the load's end", late, DuringAfter, "the load had ended"},
		{"again after the load's end", late, DuringAgain, "the load had ended"},
		{"no step", journal.NewMemory(journal.Header{}), DuringFault, "no step"},
		{"method without steps", fixture(), DuringMethod, "no step of the method was carried out"},
		{"after without steps", fixture(), DuringAfter, "no step of the method was carried out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := resolve(tt.j, tt.during, "")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not say %q", err, tt.want)
			}
		})
	}
}

// A request belongs where it was due, but not where it met nothing.
func TestSpanRequests(t *testing.T) {
	at := func(due, sent, done journal.Instant) journal.Request {
		return journal.Request{Due: due, Sent: sent, Done: done}
	}
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	for _, r := range []journal.Request{
		at(sec, sec, sec+1),          // steady
		at(2*sec, 2*sec, 4*sec),      // due in the steady state, caught by the fault
		at(4*sec, 4*sec, 5*sec),      // fault
		at(12*sec, 12*sec, 14*sec),   // due in the fault, ended by its revert
		at(12*sec, 13*sec+5, 14*sec), // due in the fault, sent after it
		{Due: 12 * sec, Sent: 14 * sec, Done: 14 * sec, Dropped: true},
		at(15*sec, 15*sec, 16*sec), // after
	} {
		m.Request(r)
	}
	dues := func(during string) (out []journal.Instant) {
		s, err := resolve(m, during, "")
		if err != nil {
			t.Fatal(err)
		}
		for r := range s.requests(m) {
			out = append(out, r.Due)
		}
		return out
	}
	if diff := cmp.Diff([]journal.Instant{sec}, dues(DuringSteady)); diff != "" {
		t.Errorf("steady: %s", diff)
	}
	if diff := cmp.Diff([]journal.Instant{4 * sec, 12 * sec, 12 * sec}, dues(DuringFault)); diff != "" {
		t.Errorf("fault: %s", diff)
	}
	if diff := cmp.Diff([]journal.Instant{15 * sec}, dues(DuringAfter)); diff != "" {
		t.Errorf("after: %s", diff)
	}
}
