package detect

import (
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// nestedMade has the database locked from 3 s to 4.5 s and payments hang from
// 4.3 s to 8.8 s, under a promise of 2.5 s. Requests that need both wait for the
// one and call the other when it is let go, and are answered so many seconds
// after they were sent.
func nestedMade(answered float64, edit func(*made)) *made {
	m := newMade()
	m.header.Promises.AnswersWithin, m.header.Rate = 2500*ms, 50
	m.step("locked", "table_lock", "fault", "db", 3, 4.5)
	m.step("silent", "hang", "fault", "payments", 4.3, 8.8)
	for i := range 40 {
		due := 3 + float64(i)/20
		r := m.hit(loadAttack, "create", due, answered, 504)
		if due < 4.5 {
			id, traced := r.ID(m.header.Run), journal.Trace(m.header.Run, r.Attack, r.Seq)
			m.at(4.51, "payments", journal.Call{
				Method: "POST", Path: "/charge", RequestID: id, Traceparent: traced.Traceparent(), HungUp: true,
				HungUpAfter: 500 * ms,
			})
		}
	}
	if edit != nil {
		edit(m)
	}
	return m
}

// editCalls edits the calls at the stub.
func editCalls(f func(*journal.Call)) func(*made) {
	return func(m *made) {
		replace(m, func(_ journal.Entry, c journal.Call) journal.Body {
			f(&c)
			return c
		})
	}
}

func TestNestedDeadline(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answered float64
		edit     func(*made)
		want     Outcome
		reason   string
	}{
		{"one deadline", 2, nil, Held, "25 of 30 requests waited for db (1.51s at the longest) and then for payments"},
		{"just in time", 2.99, nil, Held, "answered within 2.99s"},
		{"a little late", 3.4, nil, Unknown, "25 came a little later"},
		{"the sum", 6.5, nil, Violated, "25 of them waited for longer than was promised: give the request one deadline"},
		{"our own client gave up early", 2, func(m *made) {
			m.change(func(r *journal.Request) { r.Code, r.Err = 0, journal.ErrTimeout })
		}, Unknown, "our own client gave up"},
		{"our own client gave up late", 3.2, func(m *made) {
			m.change(func(r *journal.Request) { r.Code, r.Err = 0, journal.ErrTimeout })
		}, Violated, "waited for longer"},
		{"late generator", 2, func(m *made) {
			m.change(func(r *journal.Request) { r.Sent, r.Done = r.Due+secs(0.3), r.Due+secs(3.1) })
		}, Unknown, "came a little later"},
		{"tied by traces", 2, editCalls(func(c *journal.Call) { c.RequestID = "" }), Held, "told by their ids"},
		{"not tied", 2, editCalls(func(c *journal.Call) {
			c.RequestID, c.Traceparent = "", ""
		}), Held, "by their time alone"},
		{"not tied, and the second never called", 2, without[journal.Call], Unknown, "0 of 30 requests"},
		{"not tied, late for something else", 6.5, without[journal.Call], Unknown, "0 of 30 requests"},
		{"not tied, the sum", 6.5, editCalls(func(c *journal.Call) { c.RequestID, c.Traceparent = "", "" }), Violated, ""},
		{
			"not tied and over at once", 0.3, editCalls(func(c *journal.Call) { c.RequestID, c.Traceparent = "", "" }), Unknown,
			"5 are needed",
		},
		{"called before they waited", 2, func(m *made) {
			for i := range m.entries {
				if _, is := m.entries[i].Body.(journal.Call); is {
					m.entries[i].At = secs(4.31)
				}
			}
		}, Unknown, "0 of 30 requests"},
		{
			"nothing used both", 2, func(m *made) { m.header.Routes = m.header.Routes[1:] }, NotApplicable,
			"no request of the traffic uses both db and payments",
		},
		{"uses not said", 2, func(m *made) {
			for i := range m.header.Routes {
				m.header.Routes[i].Uses = nil
			}
		}, Held, ""},
		{"no second fault", 2, func(m *made) { m.header.Method = m.header.Method[:1] }, Unknown, "two dependencies"},
		{"few", 2, func(m *made) { m.requests = m.requests[:4] }, Unknown, "5 are needed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := nestedMade(tt.answered, tt.edit)
			wants(t, judged(t, "nested_deadline", m), tt.want, tt.reason)
		})
	}
}

func nestedAs(answered float64, edit func(*made)) func() journal.Journal {
	return func() journal.Journal { return nestedMade(answered, edit).memory() }
}

var (
	_ = madeUpAs("nested_deadline/held-one-deadline", nestedAs(2, nil))
	_ = madeUpAs("nested_deadline/violated-the-sum", nestedAs(6.5, nil))
	_ = madeUpAs("nested_deadline/unknown-met-one", nestedAs(2, func(m *made) { m.requests = m.requests[:4] }))
)
