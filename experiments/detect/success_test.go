package detect

import (
	"math"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestSuccess(t *testing.T) {
	// 500 hits are due in the fault; with these, bad(n) makes n of them bad.
	bad := func(n int) func(int, *journal.Request) {
		return func(_ int, r *journal.Request) {
			if inFault(r.Due) && n > 0 {
				fail(r, 503, 10*time.Millisecond)
				n--
			}
		}
	}
	dropped := func(n int, then func(int, *journal.Request)) func(int, *journal.Request) {
		return func(i int, r *journal.Request) {
			if inFault(r.Due) && n > 0 {
				drop(r)
				n--
				return
			}
			if then != nil {
				then(i, r)
			}
		}
	}
	for _, tt := range []struct {
		name string
		d    Success
		edit func(int, *journal.Request)
		want Outcome
		says string
	}{
		{"all good", Success{}, nil, Held, "100 % of 500"},
		{"just the promise", Success{Ratio: 0.99}, bad(5), Held, "99 % of 500 requests (5 × 503)"},
		{"less, by chance", Success{Ratio: 0.99}, bad(6), Unknown, "cannot tell it from chance"},
		{"less, by chance, at the edge", Success{Ratio: 0.99}, bad(10), Unknown, "cannot tell"},
		{"less", Success{Ratio: 0.99}, bad(11), Violated, "97.8 % of 500 requests (11 × 503)"},
		{"one of a promise of all", Success{Ratio: 1}, bad(1), Violated, "99.8 %"},
		{"few dropped", Success{Ratio: 0.98}, dropped(10, nil), Held, "100 %"},
		{"some dropped", Success{Ratio: 0.98}, dropped(11, nil), Unknown, "fell short"},
		{"dropped decide", Success{Ratio: 0.995}, dropped(3, nil), Unknown, "with them the share would be 99.4 %"},
		{"even the sent are bad", Success{}, dropped(100, bad(100)), Violated, "75 % of 400"},
		{"all dropped", Success{}, dropped(500, nil), Unknown, "only 0 requests"},
		{"too few", Success{MinSamples: 501}, nil, Unknown, "501 are needed"},
		{"too few, but certain", Success{MinSamples: 501}, bad(500), Violated, "0 %"},
		{"another route", Success{Routes: []string{"list"}}, bad(500), Violated, "0 % of 250"},
		{"no such route", Success{Routes: []string{"none"}}, nil, Unknown, "no request was due"},
		{"no such attack", Success{Attack: "none"}, nil, Unknown, "no request was due"},
		{"another window", Success{During: DuringSteady}, bad(500), Held, "the steady state"},
		{"no such step", Success{During: "none"}, nil, Unknown, "names no step"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := fixture()
			step(m, 0, faultFrom, faultTo)
			load(m, tt.edit)
			expect(t, tt.d.Detect(m), tt.want, tt.says)
		})
	}
}

func TestSuccessLeavesOutWhatWeHungUpOn(t *testing.T) {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	load(m, func(i int, r *journal.Request) {
		if i%2 == 0 {
			r.OK, r.Code, r.Err, r.Canceled = false, 0, journal.ErrCanceled, true
		}
	})
	expect(t, (&Success{}).Detect(m), Held, "100 % of 250")
}

func TestSuccessReportsItsBounds(t *testing.T) {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	load(m, func(_ int, r *journal.Request) {
		if r.Due == faultFrom {
			fail(r, 0, time.Second)
			r.Err = journal.ErrTimeout
		}
	})
	f := (&Success{}).Detect(m)
	expect(t, f, Held, "1 × timeout")
	if got := value(t, f, "success_ratio_lower"); math.Abs(got-0.9855) > 1e-3 {
		t.Errorf("lower bound is %v", got)
	}
	if len(f.Evidence) != 1 || f.Evidence[0].On != "r1-load-150" || f.Evidence[0].At != faultFrom {
		t.Errorf("evidence is %+v", f.Evidence)
	}
}
