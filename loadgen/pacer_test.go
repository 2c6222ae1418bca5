package loadgen

import (
	"math"
	"testing"
	"time"
)

func TestPacers(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	tests := []struct {
		name   string
		pacer  Pacer
		words  string
		hits   uint64
		length time.Duration
		due    map[uint64]time.Duration
	}{
		{
			"constant", Constant(50, 10*s), "50/s for 10s", 500, 10 * s,
			map[uint64]time.Duration{0: 0, 1: 20 * ms, 50: s, 499: 9980 * ms},
		},
		{
			"a fraction of a hit more", Constant(0.3, 10*s), "0.3/s for 10s", 3, 10 * s,
			map[uint64]time.Duration{1: 3333 * ms},
		},
		{"less than one hit", Constant(0.01, s), "0.01/s for 1s", 1, s, map[uint64]time.Duration{0: 0}},
		{"rate zero", Constant(0, s), "0/s for 1s", 0, s, nil},
		{"negative rate", Constant(-3, s), "-3/s for 1s", 0, s, nil},
		{"no length", Constant(50, 0), "50/s for 0s", 0, 0, nil},
		{
			"count", Count(3, 100*ms), "3 hits over 100ms", 3, 100 * ms,
			map[uint64]time.Duration{0: 0, 2: 66666 * time.Microsecond},
		},
		{
			"rounding adds no hit", Count(20, 100*ms), "20 hits over 100ms", 20, 100 * ms,
			map[uint64]time.Duration{19: 95 * ms},
		},
		{"at once", Count(7, 0), "7 hits at once", 7, 0, map[uint64]time.Duration{0: 0, 6: 0}},
		{
			// 10 t²/2 = n: hit n is due at sqrt(n/5).
			"ramp from zero", Ramp(0, 100, 10*s), "0/s to 100/s over 10s", 500, 10 * s,
			map[uint64]time.Duration{0: 0, 5: s, 20: 2 * s, 125: 5 * s, 320: 8 * s},
		},
		{
			"ramp down to zero", Ramp(100, 0, 10*s), "100/s to 0/s over 10s", 500, 10 * s,
			map[uint64]time.Duration{0: 0, 375: 5 * s, 180: 2 * s},
		},
		{
			"steps", Steps(10, 30, 3, 3*s), "10/s to 30/s in 3 steps over 3s", 60, 3 * s,
			map[uint64]time.Duration{0: 0, 9: 900 * ms, 10: s, 29: 1950 * ms, 30: 2 * s, 33: 2100 * ms},
		},
		{
			"one step", Steps(10, 30, 1, s), "10/s to 30/s in 1 steps over 1s", 10, s,
			map[uint64]time.Duration{5: 500 * ms},
		},
		{
			"spike", Spike(10, 100, 3*s), "10/s for 3s, with 100/s for 1s from 1s", 120, 3 * s,
			map[uint64]time.Duration{9: 900 * ms, 10: s, 11: 1010 * ms, 110: 2 * s, 111: 2100 * ms},
		},
		{
			"silence within", SpikeAt(10, 0, s, s, 3*s), "10/s for 3s, with 0/s for 1s from 1s", 20, 3 * s,
			map[uint64]time.Duration{9: 900 * ms, 10: 2 * s, 11: 2100 * ms},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.pacer.String(); got != tt.words {
				t.Errorf("in words %q, want %q", got, tt.words)
			}
			if tt.pacer.Hits() != tt.hits || tt.pacer.Length() != tt.length {
				t.Fatalf("%d hits in %v, want %d in %v", tt.pacer.Hits(), tt.pacer.Length(), tt.hits, tt.length)
			}
			for seq, want := range tt.due {
				got, ok := tt.pacer.Due(seq)
				if diff := (got - want).Abs(); !ok || diff > ms {
					t.Errorf("hit %d is due at %v, %v; want %v", seq, got, ok, want)
				}
			}
			checkPlan(t, tt.pacer)
		})
	}
}

// checkPlan holds what is true of every plan.
func checkPlan(t *testing.T, p Pacer) {
	t.Helper()
	last := time.Duration(0)
	for seq := range p.Hits() {
		due, ok := p.Due(seq)
		if !ok || due < last || due > p.Length() {
			t.Fatalf("hit %d is due at %v, %v, after %v", seq, due, ok, last)
		}
		last = due
	}
	if _, ok := p.Due(p.Hits()); ok {
		t.Errorf("there is a hit %d of %d", p.Hits(), p.Hits())
	}
	if due, ok := p.Due(0); ok && due != 0 {
		t.Errorf("hit 0 is due at %v", due)
	}
}

func TestVegetaPacesFromDue(t *testing.T) {
	p := Vegeta(Constant(10, time.Second))
	tests := []struct {
		elapsed time.Duration
		hits    uint64
		wait    time.Duration
		stop    bool
	}{
		{0, 0, 0, false},
		{0, 1, 100 * time.Millisecond, false},
		{130 * time.Millisecond, 2, 70 * time.Millisecond, false},
		{500 * time.Millisecond, 2, 0, false}, // late: at once, and no hit is skipped
		{2 * time.Second, 9, 0, false},
		{2 * time.Second, 10, 0, true},
	}
	for _, tt := range tests {
		wait, stop := p.Pace(tt.elapsed, tt.hits)
		if wait != tt.wait || stop != tt.stop {
			t.Errorf("Pace(%v, %d) = %v, %v; want %v, %v", tt.elapsed, tt.hits, wait, stop, tt.wait, tt.stop)
		}
	}
	if rate := Vegeta(Ramp(0, 100, 10*time.Second)).Rate(5 * time.Second); math.Abs(rate-50) > 1 {
		t.Errorf("the ramp's rate in the middle is %v, want 50", rate)
	}
	if rate := p.Rate(time.Minute); rate != 0 {
		t.Errorf("the rate after the end is %v", rate)
	}
}

func TestMostInFlight(t *testing.T) {
	tests := []struct {
		pacer Pacer
		span  time.Duration
		want  float64
	}{
		{Constant(100, 10*time.Second), 2 * time.Second, 200},
		{Constant(100, time.Second), time.Minute, 100},
		{SpikeAt(10, 1000, 5*time.Second, time.Second, 20*time.Second), time.Second, 1000},
		{Ramp(0, 100, 10*time.Second), time.Second, 95},
		{Count(9, 0), time.Second, 9},
		{Constant(0, time.Second), time.Second, 0},
	}
	for _, tt := range tests {
		if got := float64(most(tt.pacer, tt.span)); math.Abs(got-tt.want) > tt.want/50 {
			t.Errorf("%v: at most %v within %v, want %v", tt.pacer, got, tt.span, tt.want)
		}
	}
}
