package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// The fixtures' timetable: load from 0 to 20 s at 50/s, one fault on payments
// from 3 s to 13 s.
const (
	faultFrom = journal.Instant(3 * time.Second)
	faultTo   = journal.Instant(13 * time.Second)
	loadFor   = 20 * time.Second
	loadRate  = 50
)

// fixtureHeader is the header of the fixtures' run.
func fixtureHeader() journal.Header {
	return journal.Header{
		Format: journal.Format, Trial: "t1", Run: "r1", Experiment: "http-hangs/payments", Attempt: 1, Seed: 1,
		Service: "orders", Environment: "fake", Target: "payments", Replicas: []string{"orders-1"},
		Dependencies: []journal.DependencyInfo{{Name: "payments", Kind: "http"}, {Name: "db", Kind: "postgres"}},
		Routes: []journal.Route{
			{Name: "pay", Method: "POST", Path: "/pay", Weight: 0.5, Uses: []string{"payments"}, Write: true},
			{Name: "list", Method: "GET", Path: "/orders", Weight: 0.5, Retryable: true, Uses: []string{"db"}},
		},
		Promises: journal.DefaultPromises(),
		Defaults: []string{"answers_within", "max_attempts"},
		Method: []journal.PlannedStep{{
			Name: "hang", Action: "status", Class: "fault", Target: "payments", At: faultFrom, For: 10 * time.Second,
		}},
		LoadFor: loadFor, Rate: loadRate,
	}
}

// fixture is an empty journal with the header, edited.
func fixture(edit ...func(*journal.Header)) *journal.Memory {
	h := fixtureHeader()
	for _, e := range edit {
		e(&h)
	}
	return journal.NewMemory(h)
}

// step records a step's phases; a zero end leaves it in force.
func step(m *journal.Memory, n int, from, to journal.Instant) {
	name := m.Header().Method[n].Name
	at := func(t journal.Instant, phase string) {
		m.Record(journal.Entry{At: t, On: name, Body: journal.StepEvent{Step: n, Phase: phase}})
	}
	at(from-1, journal.PhaseBegin)
	at(from, journal.PhaseInForce)
	if to > 0 {
		at(to, journal.PhaseRevert)
		at(to+1, journal.PhaseReverted)
	}
}

// load records the ordinary load, every hit good after 5 ms unless edited.
func load(m *journal.Memory, edit func(i int, r *journal.Request)) {
	h := m.Header()
	routes := []string{"pay", "list"}
	n := int(h.LoadFor.Seconds() * h.Rate)
	for i := range n {
		due := h.LoadFrom.Add(time.Duration(float64(i) / h.Rate * float64(time.Second)))
		r := journal.Request{
			Seq: uint64(i), Attack: loadAttack, Route: routes[i%2], Due: due, Sent: due.Add(100 * time.Microsecond),
			Done: due.Add(5 * time.Millisecond), Code: 200, OK: true,
		}
		if edit != nil {
			edit(i, &r)
		}
		m.Request(r)
	}
}

// fail makes a request a 503 that took so long.
func fail(r *journal.Request, code int, took time.Duration) {
	r.OK, r.Code, r.Done = false, code, r.Due.Add(took)
}

// drop makes a request one that could not be sent.
func drop(r *journal.Request) {
	*r = journal.Request{Seq: r.Seq, Attack: r.Attack, Route: r.Route, Due: r.Due, Sent: r.Due, Done: r.Due, Dropped: true}
}

// inFault says that an instant lies in the fixtures' fault.
func inFault(t journal.Instant) bool { return t >= faultFrom && t < faultTo }

// expect checks a finding's outcome and that its reason holds all of the texts.
func expect(t *testing.T, got Finding, want Outcome, texts ...string) {
	t.Helper()
	if got.Outcome != want {
		t.Errorf("outcome is %q, want %q: %s", got.Outcome, want, got.Reason)
	}
	if got.Reason == "" {
		t.Errorf("a finding of %s has no reason", got.Detector)
	}
	for _, text := range texts {
		if !strings.Contains(got.Reason+" "+got.Remark, text) {
			t.Errorf("reason %q (remark %q) does not say %q", got.Reason, got.Remark, text)
		}
	}
}

// value finds a quantity.
func value(t *testing.T, f Finding, name string) float64 {
	t.Helper()
	for _, q := range f.Quantities {
		if q.Name == name {
			return q.Value
		}
	}
	t.Fatalf("no quantity %s in %+v", name, f.Quantities)
	return 0
}
