package detect

import (
	"math"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestRecovery(t *testing.T) {
	// until makes every hit bad from the fault on for so long after its end.
	until := func(d time.Duration) func(int, *journal.Request) {
		return func(_ int, r *journal.Request) {
			if r.Due >= faultFrom && r.Due < faultTo.Add(d) {
				fail(r, 503, 10*time.Millisecond)
			}
		}
	}
	for _, tt := range []struct {
		name string
		d    Recovery
		edit func(int, *journal.Request)
		want Outcome
		says string
	}{
		{"at once", Recovery{}, until(0), Held, "good after 0s"},
		{"after a while", Recovery{Within: 3 * time.Second}, until(2900 * time.Millisecond), Held, "good after 2.88s"},
		{"too late", Recovery{Within: 3 * time.Second}, until(3200 * time.Millisecond), Violated, "3.18s after it"},
		{"not while watched long enough", Recovery{Within: 5 * time.Second}, until(time.Minute), Violated, "not recovered"},
		{"not while watched too short", Recovery{}, until(time.Minute), Unknown, "recovery longer"},
		{"window longer than watched", Recovery{Window: 10 * time.Second}, nil, Unknown, "at least one window"},
		{
			"recovers and falls again",
			Recovery{Within: 5 * time.Second},
			func(_ int, r *journal.Request) {
				if r.Due >= faultTo.Add(5500*time.Millisecond) {
					fail(r, 503, time.Millisecond)
				}
			}, Violated, "not recovered",
		},
		{
			"few bad ones for ever",
			Recovery{Ratio: 0.9, Within: 5 * time.Second},
			func(i int, r *journal.Request) {
				if r.Due >= faultFrom && i%20 == 0 {
					fail(r, 500, time.Millisecond)
				}
			}, Violated, "99.5 % are promised",
		},
		{
			"dropped hits hide it",
			Recovery{Within: time.Second},
			func(_ int, r *journal.Request) {
				if r.Due >= faultFrom && r.Due < faultTo.Add(4*time.Second) {
					drop(r)
				}
			}, Unknown, "could not be sent",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := fixture()
			step(m, 0, faultFrom, faultTo)
			load(m, tt.edit)
			expect(t, tt.d.Detect(m), tt.want, tt.says)
		})
	}
}

func TestRecoveryMeasures(t *testing.T) {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	load(m, func(_ int, r *journal.Request) {
		if r.Due >= faultFrom && r.Due < faultTo.Add(time.Second) {
			fail(r, 503, 10*time.Millisecond)
		}
	})
	f := (&Recovery{}).Detect(m)
	expect(t, f, Held)
	if got := value(t, f, "time_to_recovery"); math.Abs(got-0.98) > 0.001 {
		t.Errorf("time to recovery is %v", got)
	}
	if got := value(t, f, "watched"); math.Abs(got-6.98) > 0.001 {
		t.Errorf("watched for %v", got)
	}
	if got := value(t, f, "steady_again_ratio"); got != 1 {
		t.Errorf("steady again at %v", got)
	}
}

func TestRecoveryWithoutRevert(t *testing.T) {
	m := fixture()
	step(m, 0, faultFrom, 0)
	load(m, nil)
	expect(t, (&Recovery{}).Detect(m), Unknown, "not seen to end")
}

// The window grows where the load is thin, so that one bad answer is not a
// large share of it.
func TestRecoveryWindow(t *testing.T) {
	for rate, want := range map[float64]time.Duration{0: 5e9, 5: 5e9, 20: 3e9, 50: 1e9, 1000: 1e9} {
		if got := (&Recovery{}).window(rate); got != want {
			t.Errorf("at %v/s the window is %v, want %v", rate, got, want)
		}
	}
}
