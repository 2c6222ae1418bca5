package experiments

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestRegisters(t *testing.T) {
	x, _, load, m := fakes()
	r := &Registers{Keys: 2, Callers: 3, Pause: time.Millisecond, For: time.Second}
	errorIs(t, carryOut(t, r, x), "")
	want := []RegistersSpec{{Name: "it", Keys: 2, Callers: 3, Pause: time.Millisecond, For: time.Second}}
	if diff := cmp.Diff(want, load.registers); diff != "" {
		t.Errorf("used (-want +got):\n%s", diff)
	}
	errorIs(t, r.Witness(m, "", journal.Window{}), "of 0 requests none was answered")
	m.Record(journal.Entry{At: 5, On: "it", Body: journal.RegisterOp{Outcome: journal.Acknowledged}})
	errorIs(t, r.Witness(m, "", journal.Window{From: 6}), "of 0 requests")
	errorIs(t, r.Witness(m, "", journal.Window{From: 5}), "")

	sub := sampleSubject(t)
	errorIs(t, r.Supports(sub, ""), "")
	errorIs(t, r.Supports(sub, "postgres"), "leave out")
	errorIs(t, (&Registers{Keys: 1, Callers: 1, For: time.Second}).Supports(sub, ""), "callers 2 or more")
	sub.Traffic.Register = nil
	errorIs(t, r.Supports(sub, ""), "the traffic has no register")
}
