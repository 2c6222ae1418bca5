package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// hangUps is a journal in which we hung up on n requests, 200 ms after each was
// sent, 300 ms apart; work does what the service did for each.
func hangUps(
	n int, edit func(*journal.Header), work func(m *journal.Memory, i int, r journal.Request),
) *journal.Memory {
	m := fixture(func(h *journal.Header) {
		if edit != nil {
			edit(h)
		}
	})
	step(m, 0, faultFrom, faultTo)
	for i := range n {
		due := faultFrom.Add(time.Duration(i) * 300 * ms)
		r := journal.Request{
			Seq: uint64(i), Attack: "hang-up", Route: "pay", Due: due, Sent: due, Done: due.Add(200 * ms),
			Err: journal.ErrCanceled, Canceled: true,
		}
		m.Request(r)
		if work != nil {
			work(m, i, r)
		}
	}
	return m
}

// callHeld records a call to payments for a request that ended so long after
// its caller had hung up; the stub would have held it for 5 s.
func callHeld(after time.Duration, id bool) func(*journal.Memory, int, journal.Request) {
	return func(m *journal.Memory, _ int, r journal.Request) {
		c := journal.Call{Method: "POST", Path: "/charge", BodyRead: true}
		if id {
			c.RequestID = r.ID("r1")
		}
		at := r.Sent.Add(2 * ms)
		c.HungUp, c.HungUpAfter = true, r.Done.Add(after).Sub(at)
		if after >= 4*time.Second {
			c.HungUp, c.HungUpAfter, c.Status, c.Answered = false, 0, 200, 5*time.Second
		}
		m.Record(journal.Entry{At: at, On: "payments", Body: c})
	}
}

// cutOff records a call that was held so long, until the stub cut it off.
func cutOff(age time.Duration) func(*journal.Memory, int, journal.Request) {
	return func(m *journal.Memory, _ int, r journal.Request) {
		m.Record(journal.Entry{At: r.Sent.Add(2 * ms), On: "payments", Body: journal.Call{
			Method: "POST", Path: "/charge", BodyRead: true, RequestID: r.ID("r1"), Age: age,
		}})
	}
}

// some lets the first k requests' work go on after their callers have left.
func some(k int, id bool) func(*journal.Memory, int, journal.Request) {
	return func(m *journal.Memory, i int, r journal.Request) {
		after := 3 * ms
		if i < k {
			after = 5 * time.Second
		}
		callHeld(after, id)(m, i, r)
	}
}

func TestCancellation(t *testing.T) {
	unread := func(h *journal.Header) { h.Routes[0].UnreadBody = true }
	aimless := func(h *journal.Header) { h.Target = "mail" }
	for _, tt := range []struct {
		name string
		j    journal.Journal
		want Outcome
		says string
	}{
		{"all at once", hangUps(20, nil, some(0, true)), Held, "20 of 20 requests"},
		{"held until the fault is taken back", hangUps(20, nil, cutOff(2*time.Second)), Violated, "0 of 20"},
		{"cut off too soon to tell", hangUps(20, nil, cutOff(300*ms)), Unknown, "only 0 of the 20"},
		{"two late", hangUps(20, nil, some(2, true)), Held, "18 of 20"},
		{"three late", hangUps(20, nil, some(3, true)), Unknown, "neither"},
		{"nine in time", hangUps(20, nil, some(11, true)), Violated, "9 of 20"},
		{"half in time", hangUps(20, nil, some(10, true)), Violated, "pass the request's context"},
		{"eleven in time", hangUps(20, nil, some(9, true)), Unknown, "neither"},
		{"just in time", hangUps(20, nil, callHeld(500*ms, true)), Held, "within 500ms"},
		{"just too late", hangUps(20, nil, callHeld(501*ms, true)), Violated, "0 of 20"},
		{"too few", hangUps(19, nil, some(0, true)), Unknown, "20 are needed"},
		{"given up before, of its own accord", hangUps(20, nil, callHeld(-80*ms, true)), Unknown, "only 0 of the 20"},
		{"given up as we left", hangUps(20, nil, callHeld(-40*ms, true)), Held, "20 of 20"},
		{"too few, and ten went on", hangUps(12, nil, some(10, true)), Violated, "2 of 12"},
		{"too few, and nine went on", hangUps(12, nil, some(9, true)), Unknown, "20 are needed"},
		{"no work under way", hangUps(20, nil, nil), Unknown, "only 0 of the 20"},
		{"by time", hangUps(20, nil, some(20, false)), Violated, "told by their time"},
		{"nobody hung up", fixture(), Unknown, "we hung up on no request"},
		{"unread bodies", hangUps(20, unread, some(20, true)), NotApplicable, "20 requests"},
		{"no such dependency", hangUps(20, aimless, nil), Unknown, "no dependency whose work"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect(t, (&Cancellation{MinSamples: 20}).Detect(tt.j), tt.want, tt.says)
		})
	}
}

// Without request ids, work cannot be told apart from that of other load.
func TestCancellationBesideOtherLoad(t *testing.T) {
	m := hangUps(20, nil, some(20, false))
	load(m, nil)
	expect(t, (&Cancellation{MinSamples: 20}).Detect(m), Unknown, "other requests used payments")
	tied := hangUps(20, nil, some(20, true))
	load(tied, nil)
	expect(t, (&Cancellation{MinSamples: 20}).Detect(tied), Violated, "tied by the request id")
}

// An attempt that begins after the caller has left is late by that.
func TestCancellationRetriesGoOn(t *testing.T) {
	m := hangUps(20, nil, func(m *journal.Memory, i int, r journal.Request) {
		callHeld(2*ms, true)(m, i, r)
		m.Record(journal.Entry{At: r.Done.Add(time.Second), On: "payments", Body: journal.Call{
			RequestID: r.ID("r1"), Status: 503, Answered: ms,
		}})
	})
	expect(t, (&Cancellation{MinSamples: 20}).Detect(m), Violated, "0 of 20")
}

func TestCancellationClockError(t *testing.T) {
	m := hangUps(20, nil, callHeld(510*ms, true))
	m.Record(journal.Entry{At: 1, On: "agent", Body: journal.Clock{Error: 20 * ms}})
	expect(t, (&Cancellation{MinSamples: 20}).Detect(m), Held, "within 520ms")
}

// statements samples pg_stat_activity every 20 ms while each request's
// statement runs until so long after its caller hung up.
func statements(every, after time.Duration) *journal.Memory {
	m := hangUps(20, func(h *journal.Header) { h.Target = "db" }, nil)
	var requests []journal.Request
	for r := range m.Requests(journal.Window{}) {
		requests = append(requests, r)
	}
	for at := faultFrom; at < faultTo; at = at.Add(every) {
		a := journal.Activity{}
		for i, r := range requests {
			if at > r.Sent.Add(3*ms) && at < r.Done.Add(after) {
				age := at.Sub(r.Sent.Add(3 * ms))
				a.Backends = append(a.Backends, journal.Backend{PID: 100 + i, State: "active", QueryAge: age})
			}
		}
		a.Backends = append(a.Backends, journal.Backend{PID: 7, State: "idle"})
		m.Record(journal.Entry{At: at, On: "db", Body: a})
	}
	return m
}

// poolFull is a journal in which we hung up on n requests: the statements of the
// first go on until their table is unlocked, as many as there are connections, the
// next wait for one, and those after the 20th are refused, as there is no place
// for more. One more statement begins with the first connection that is free.
func poolFull(n, connections int) *journal.Memory {
	m := fixture(func(h *journal.Header) { h.Target = "db" })
	step(m, 0, faultFrom, faultTo)
	for i := range n {
		due := faultFrom.Add(time.Duration(i+1) * 50 * ms)
		r := journal.Request{Seq: uint64(i), Attack: "leavers", Route: "list", Due: due, Sent: due, Done: due.Add(200 * ms)}
		if r.Err, r.Canceled = journal.ErrCanceled, true; i >= 20 {
			r.Err, r.Canceled, r.Code, r.Done = "", false, 503, due.Add(ms)
		}
		m.Request(r)
	}
	for at := faultFrom; at < faultTo.Add(time.Second); at = at.Add(100 * ms) {
		var a journal.Activity
		for i := range min(connections, n) {
			if age := at.Sub(faultFrom.Add(time.Duration(i+1)*50*ms + 3*ms)); age > 0 && at < faultTo {
				a.Backends = append(a.Backends, journal.Backend{PID: 100 + i, State: "active", QueryAge: age})
			}
		}
		if at >= faultTo {
			a.Backends = append(a.Backends, journal.Backend{PID: 100, State: "active", QueryAge: at.Sub(faultTo)})
		}
		m.Record(journal.Entry{At: at, On: "db", Body: a})
	}
	return m
}

// A service whose statements go on fills its own pool, and refuses the rest of
// those whom we would have hung up on: they are no other load.
func TestCancellationPoolFull(t *testing.T) {
	d := &Cancellation{MinSamples: 20}
	expect(t, d.Detect(poolFull(40, 10)), Violated, "0 of 10 requests", "leaves no room for more")
	expect(t, d.Detect(poolFull(9, 10)), Unknown, "only 9 of the 9")
	other := poolFull(40, 10)
	load(other, nil)
	expect(t, d.Detect(other), Unknown, "other requests used db")
}

func TestCancellationInTheDatabase(t *testing.T) {
	d := &Cancellation{MinSamples: 20}
	expect(t, d.Detect(statements(20*ms, 5*ms)), Held, "20 of 20")
	expect(t, d.Detect(statements(20*ms, 2900*ms)), Violated, "0 of 20", "pg_stat_activity")
	// Statements that ended of their own accord before their callers left.
	expect(t, d.Detect(statements(60*ms, -100*ms)), Unknown, "20 are needed")
	expect(t, d.Detect(statements(300*ms, 5*ms)), Unknown, "sampled every 300ms")
	unsampled := hangUps(20, func(h *journal.Header) { h.Target = "db" }, nil)
	expect(t, d.Detect(unsampled), Unknown, "no samples")
}
