package detect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// repetitions of each simulated cell. The bounds asserted are those of
// detectors.md, section 2.2, which were simulated 20,000 and 40,000 times, with
// a tolerance for the smaller number here.
const repetitions = 2000

// noise is a machine's own lateness, in seconds: never negative, a lognormal
// body and a tail, fitted to detectors.md F14 (median, interquartile range and
// p99 in ms: quiet 1, 0.6, 3 to 8; busy 4, 7, 25 to 160; hostile 10, 21, 140 to
// 410, at most 522).
type noise struct {
	name                string
	median, sigma, most float64
}

var noises = []noise{
	{"quiet", 0.001, 0.45, 0.008},
	{"busy", 0.004, 1.17, 0.160},
	{"hostile", 0.010, 1.46, 0.522},
}

func (n noise) draw(r *rand.Rand) float64 {
	return min(n.most, n.median*math.Exp(n.sigma*r.NormFloat64()))
}

// policies of waiting: the waits before the retries, in seconds, from a first
// wait of base.
var policies = map[string]func(r *rand.Rand, base float64, k int) []float64{
	"none":         perWait(func(_ *rand.Rand, t float64) float64 { return t }),
	"add 5ms":      perWait(func(r *rand.Rand, t float64) float64 { return t + 0.005*r.Float64() }),
	"full":         perWait(func(r *rand.Rand, t float64) float64 { return t * r.Float64() }),
	"equal":        perWait(func(r *rand.Rand, t float64) float64 { return t/2 + t/2*r.Float64() }),
	"±50 %":        perWait(around(0.5)),
	"±20 %":        perWait(around(0.2)),
	"±10 %":        perWait(around(0.1)),
	"decorrelated": decorrelated,
	"constant":     func(_ *rand.Rand, base float64, k int) []float64 { return constantWaits(base, k) },
	"constant, full": func(r *rand.Rand, base float64, k int) []float64 {
		waits := constantWaits(base, k)
		for i := range waits {
			waits[i] *= r.Float64()
		}
		return waits
	},
	"×1.5 ±50 %": func(r *rand.Rand, base float64, k int) []float64 {
		waits := make([]float64, k)
		for i := range waits {
			waits[i] = around(0.5)(r, base*math.Pow(1.5, float64(i)))
		}
		return waits
	},
}

func perWait(f func(*rand.Rand, float64) float64) func(*rand.Rand, float64, int) []float64 {
	return func(r *rand.Rand, base float64, k int) []float64 {
		waits := make([]float64, k)
		for i := range waits {
			waits[i] = f(r, base*float64(int(1)<<i))
		}
		return waits
	}
}

func around(share float64) func(*rand.Rand, float64) float64 {
	return func(r *rand.Rand, t float64) float64 { return t * (1 - share + 2*share*r.Float64()) }
}

func decorrelated(r *rand.Rand, base float64, k int) []float64 {
	waits := make([]float64, k)
	last := base
	for i := range waits {
		last = base + r.Float64()*(3*last-base)
		waits[i] = last
	}
	return waits
}

func constantWaits(base float64, k int) []float64 {
	waits := make([]float64, k)
	for i := range waits {
		waits[i] = base
	}
	return waits
}

// waits draws n logical calls' waits as a stub would see them.
func (n noise) waits(r *rand.Rand, policy string, base float64, k, calls int) retryGaps {
	out := make(retryGaps, calls)
	for i := range out {
		out[i] = policies[policy](r, base, k)
		for w := range out[i] {
			out[i][w] += n.draw(r)
		}
	}
	return out
}

func (n noise) control(r *rand.Rand, sleeps int) []float64 {
	out := make([]float64, sleeps)
	for i := range out {
		out[i] = n.draw(r)
	}
	return out
}

// few is the most events a cell may show when its true rate is at most p, which
// a right rule exceeds in less than one run of 100,000 (Poisson).
func few(p float64) int { return fewOf(p, repetitions) }

// fewOf is the same for another number of runs.
func fewOf(p float64, runs int) int {
	mean := p * float64(runs)
	n, term, tail := 0, math.Exp(-mean), 1-math.Exp(-mean)
	for tail > 1e-5 {
		n++
		term *= mean / float64(n)
		tail -= term
	}
	return n
}

func TestFew(t *testing.T) {
	for p, want := range map[float64]int{0: 0, 7.5e-5: 4, 7e-4: 9} {
		if got := few(p); got != want {
			t.Errorf("few(%v) = %d, want %d", p, got, want)
		}
	}
}

// The error rates of D12 with 100 logical calls, a last wait of 200 ms and as
// many control sleeps.
func TestJitterErrorRates(t *testing.T) {
	for _, n := range noises {
		for _, tt := range []struct {
			policy string
			wrong  Outcome
			rate   float64 // how often it may be wrong
		}{
			{"none", Held, 7.5e-5},
			{"add 5ms", Held, 7.5e-5},
			{"constant", Held, 7.5e-5},
			{"full", Violated, 0},
			{"equal", Violated, 0},
			{"decorrelated", Violated, 0},
			{"±50 %", Violated, 0},
			{"±20 %", Violated, 0},
			{"±10 %", Violated, 7e-4},
		} {
			t.Run(n.name+"/"+tt.policy, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, 2))
				got := map[Outcome]int{}
				for range repetitions {
					last := n.waits(r, tt.policy, 0.1, 2, 100).nth(2, 2)
					got[measureJitter(last, n.control(r, controlLeast)).outcome()]++
				}
				if got[tt.wrong] > few(tt.rate) {
					t.Errorf("%d of %d runs are %s, at most %d may be", got[tt.wrong], repetitions, tt.wrong, few(tt.rate))
				}
				if n.name == "quiet" && got[Unknown] > 0 {
					t.Errorf("%d of %d runs on a quiet machine are unknown", got[Unknown], repetitions)
				}
			})
		}
	}
}

// The error rates of D11 at the numbers of logical calls it needs.
func TestBackoffErrorRates(t *testing.T) {
	for _, n := range noises {
		for _, tt := range []struct {
			policy   string
			k, calls int
			grows    bool
			rate     float64 // how often it may be wrong
		}{
			{"constant", 2, 200, false, 0},
			{"constant", 3, 100, false, 0},
			{"constant, full", 2, 200, false, 3e-4},
			{"constant, full", 3, 100, false, 3e-4},
			{"none", 2, 200, true, 0},
			{"full", 2, 200, true, 0},
			{"full", 3, 100, true, 0},
			{"equal", 2, 200, true, 0},
			{"±50 %", 3, 100, true, 0},
			{"×1.5 ±50 %", 2, 200, true, 1e-4},
			{"×1.5 ±50 %", 3, 100, true, 1e-4},
		} {
			t.Run(fmt.Sprintf("%s/%s/%d", n.name, tt.policy, tt.k), func(t *testing.T) {
				r := rand.New(rand.NewPCG(3, 4))
				wrong := 0
				for range repetitions {
					g := n.waits(r, tt.policy, 0.1, tt.k, tt.calls)
					grew := growth(g.nth(1, tt.k), g.nth(tt.k, tt.k)) >= growthNeeded(tt.k)
					if grew != tt.grows {
						wrong++
					}
				}
				if wrong > few(tt.rate) {
					t.Errorf("wrong in %d of %d runs, at most %d may be", wrong, repetitions, few(tt.rate))
				}
			})
		}
	}
}

// The policy's name is for the reader only, but must mostly be right
// (86 to 100 % at 100 calls, detectors.md D12).
func TestJitterFamily(t *testing.T) {
	want := map[string]string{
		"none": "none", "full": "full jitter", "equal": "equal jitter", "decorrelated": "decorrelated jitter",
		"±50 %": "about ±50 %", "±20 %": "±20 % or less",
	}
	for policy, name := range want {
		r := rand.New(rand.NewPCG(5, 6))
		right := 0
		for range 200 {
			g := noises[0].waits(r, policy, 0.1, 2, 100)
			m := measureJitter(g.nth(2, 2), noises[0].control(r, controlLeast))
			if m.family(g.nth(1, 2), g.nth(2, 2)) == name {
				right++
			}
		}
		if right < 160 {
			t.Errorf("%s is called %s in %d of 200 runs", policy, name, right)
		}
	}
}
