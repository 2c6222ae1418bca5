package experiments

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestResubmit(t *testing.T) {
	x, _, load, m := fakes()
	r := &Resubmit{Keys: 20, AtOnce: 5, For: time.Second, Of: "before", Routes: []string{"create"}}
	errorIs(t, carryOut(t, r, x), "")
	want := []ResubmitSpec{{Name: "it", Keys: 20, AtOnce: 5, For: time.Second, Of: "before", Routes: []string{"create"}}}
	if diff := cmp.Diff(want, load.resubmits); diff != "" {
		t.Errorf("resubmitted (-want +got):\n%s", diff)
	}
	errorIs(t, r.Witness(m, "", journal.Window{}), "of 0 submissions none was answered")
	m.Record(journal.Entry{At: 5, On: "it", Body: journal.Submission{Code: 201}})
	errorIs(t, r.Witness(m, "", journal.Window{From: 6}), "of 0 submissions")
	errorIs(t, r.Witness(m, "", journal.Window{From: 5}), "")

	sub := sampleSubject(t)
	errorIs(t, r.Supports(sub, ""), "")
	errorIs(t, r.Supports(sub, "postgres"), "leave out")
	errorIs(t, (&Resubmit{Keys: 1, AtOnce: 1, For: time.Second}).Supports(sub, ""), "at_once 2 or more")
	for i := range sub.Traffic.Requests {
		sub.Traffic.Requests[i].Write = nil
	}
	errorIs(t, r.Supports(sub, ""), "no request of the traffic has a write rule")
}
