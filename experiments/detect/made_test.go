package detect

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// made is a journal made up for a test.
type made struct {
	header   journal.Header
	entries  []journal.Entry
	requests []journal.Request
}

// newMade has two replicas, default promises with max_open_connections 10, a
// database, a stub and two routes.
func newMade() *made {
	p := journal.DefaultPromises()
	p.MaxOpenConnections = 10
	return &made{header: journal.Header{
		Format: journal.Format, Trial: "t1", Run: "t", Experiment: "made-up", Attempt: 1, Seed: 1, Service: "orders",
		Environment: "fake", Replicas: []string{"replica-1", "replica-2"}, Promises: p, Rate: 100,
		Dependencies: []journal.DependencyInfo{
			{Name: "db", Kind: "postgres"}, {Name: "payments", Kind: "http"}, {Name: "cache", Kind: "redis", Soft: true},
		},
		Routes: []journal.Route{
			{Name: "create", Method: "POST", Path: "/orders", Uses: []string{"db", "payments"}, Write: true},
			{Name: "get", Method: "GET", Path: "/orders/{{.id}}", Uses: []string{"db"}, Retryable: true},
		},
	}}
}

func secs(s float64) journal.Instant { return journal.Instant(s * float64(time.Second)) }

func (m *made) at(t float64, on string, body journal.Body) {
	m.entries = append(m.entries, journal.Entry{At: max(secs(t), 1), On: on, Body: body})
}

// step plans a step and has it carried out.
func (m *made) step(name, action, class, target string, from, to float64) {
	i := len(m.header.Method)
	m.header.Method = append(m.header.Method, journal.PlannedStep{
		Name: name, Action: action, Class: class, Target: target, At: secs(from), For: secs(to - from).Duration(),
	})
	m.at(from, name, journal.StepEvent{Step: i, Phase: journal.PhaseBegin})
	m.at(from, name, journal.StepEvent{Step: i, Phase: journal.PhaseInForce})
	m.at(to, name, journal.StepEvent{Step: i, Phase: journal.PhaseRevert})
	m.at(to, name, journal.StepEvent{Step: i, Phase: journal.PhaseReverted})
}

// hit adds a request that was sent when due; a code of zero is a timeout.
func (m *made) hit(attack, route string, due, took float64, code int) *journal.Request {
	r := journal.Request{
		Seq: uint64(len(m.requests)), Attack: attack, Route: route,
		Due: secs(due), Sent: secs(due), Done: secs(due + took), Code: code, OK: code >= 200 && code < 300,
	}
	if code == 0 {
		r.Err = journal.ErrTimeout
	}
	m.requests = append(m.requests, r)
	return &m.requests[len(m.requests)-1]
}

// load spreads hits evenly over a span.
func (m *made) load(attack, route string, from, to, rate, took float64, code int) {
	for i := range int((to - from) * rate) {
		m.hit(attack, route, from+float64(i)/rate, took, code)
	}
}

// polls asks a replica's health endpoint every 50 ms.
func (m *made) polls(replica, endpoint string, from, to float64, code int) {
	for i := range int((to-from)/0.05 + 0.5) {
		p := journal.Poll{Endpoint: endpoint, Code: code, Took: 2 * time.Millisecond}
		if code == 0 {
			p.Err = journal.ErrRefused
		}
		m.at(from+float64(i)*0.05, replica, p)
	}
}

// change edits every request that a function picks.
func (m *made) change(edit func(*journal.Request)) {
	for i := range m.requests {
		edit(&m.requests[i])
	}
}

// memory is the journal, in the order in which it would have been recorded.
func (m *made) memory() *journal.Memory {
	j := journal.NewMemory(m.header)
	slices.SortStableFunc(m.entries, func(a, b journal.Entry) int { return cmp.Compare(a.At, b.At) })
	for _, e := range m.entries {
		j.Record(e)
	}
	slices.SortStableFunc(m.requests, func(a, b journal.Request) int { return cmp.Compare(a.Done, b.Done) })
	for _, r := range m.requests {
		j.Request(r)
	}
	return j
}

// wants holds a finding to an outcome and a part of its reason.
func wants(t *testing.T, f Finding, outcome Outcome, reason string) {
	t.Helper()
	if f.Outcome != outcome || !strings.Contains(f.Reason+"\n"+f.Remark, reason) {
		t.Errorf("finding is %s: %s (remark: %s)\nwanted %s: …%s…", f.Outcome, f.Reason, f.Remark, outcome, reason)
	}
	if len(f.Reason) > 700 {
		t.Errorf("reason is %d characters long", len(f.Reason))
	}
}

// quantityOf finds a finding's quantity.
func quantityOf(t *testing.T, f Finding, name string) journal.Quantity {
	t.Helper()
	for _, q := range f.Quantities {
		if q.Name == name {
			return q
		}
	}
	t.Fatalf("finding has no quantity %q: %v", name, f.Quantities)
	return journal.Quantity{}
}

// judged is the finding of a kind with its defaults.
func judged(t *testing.T, kind string, m *made) Finding {
	t.Helper()
	d, err := New(kind)
	if err != nil {
		t.Fatal(err)
	}
	return d.Detect(m.memory())
}
