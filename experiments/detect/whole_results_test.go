package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// cutLists is a journal in which n results of a list were cut off; answered
// edits the request that asked for each, again says that the service asked for
// the whole before it answered.
func cutLists(n int, again bool, answered func(*journal.Request)) journal.Journal {
	m := fixture()
	for i := range n {
		at := faultFrom.Add(time.Duration(i) * 100 * ms)
		r := journal.Request{
			Seq: uint64(i), Attack: loadAttack, Route: "list", Due: at, Sent: at, Done: at.Add(20 * ms), Code: 200, OK: true,
		}
		answered(&r)
		s := journal.Statement{
			Conn: uint64(i), Stage: journal.StageExecute, Text: "SELECT id FROM orders LIMIT $1", Tx: "I", Rows: 500,
			Took: 4 * ms, Fault: "cut_result", Done: journal.DoneCut,
		}
		m.Record(journal.Entry{At: at.Add(2 * ms), On: "db", Body: s})
		if again {
			s.Rows, s.Fault, s.Done, s.Tag = 1000, "", "", "SELECT 1000"
			m.Record(journal.Entry{At: at.Add(10 * ms), On: "db", Body: s})
		}
		m.Request(r)
	}
	return m
}

func asGood(*journal.Request) {}

var (
	_ = madeUpAs("whole_results/held-an-error", func() journal.Journal { return cutLists(10, false, refuse10) })
	_ = madeUpAs("whole_results/held-asked-again", func() journal.Journal { return cutLists(10, true, asGood) })
	_ = madeUpAs("whole_results/violated-believed", func() journal.Journal { return cutLists(10, false, asGood) })
	_ = madeUpAs("whole_results/unknown-too-few", func() journal.Journal { return cutLists(3, false, refuse10) })
)

func refuse10(r *journal.Request) { fail(r, 503, 10*ms) }

func TestWholeResults(t *testing.T) {
	d := &WholeResults{MinSamples: 5}
	expect(t, d.Detect(cutLists(5, false, refuse10)), Held, "of 5 results")
	expect(t, d.Detect(cutLists(5, true, asGood)), Held, "5 were asked for again")
	f := d.Detect(cutLists(1, false, asGood))
	expect(t, f, Violated, "rows.Err()")
	if len(f.Evidence) != 2 {
		t.Errorf("the evidence is %v", f.Evidence)
	}
	expect(t, d.Detect(fixture()), Unknown, "cut_result")
	beside := cutLists(10, false, asGood).(*journal.Memory)
	for i := range 10 { // each beside one that failed by itself
		at := faultFrom.Add(time.Duration(i) * 100 * ms)
		r := journal.Request{Seq: uint64(100 + i), Attack: loadAttack, Route: "pay", Due: at, Sent: at}
		fail(&r, 503, 30*ms)
		beside.Request(r)
	}
	expect(t, d.Detect(beside), Unknown, "whether 10 more belonged to one that failed or to one beside it")
	late := cutLists(10, false, func(r *journal.Request) { r.Sent = r.Sent.Add(10 * ms) })
	expect(t, d.Detect(late), Unknown, "0 belonged to a request")
}
