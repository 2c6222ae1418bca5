package detect

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ended is what became of the repetitions of a sequential test.
type endedRuns struct {
	held, violated, unknown int
	seen                    int // in all
}

func (e *endedRuns) add(sure Outcome, seen int) {
	e.seen += seen
	switch sure {
	case Held:
		e.held++
	case Violated:
		e.violated++
	default:
		e.unknown++
	}
}

// check holds wrong answers to a rate, and logs the row of docs/detectors.md.
func (e endedRuns) check(t *testing.T, wrong Outcome, rate float64) {
	t.Helper()
	n := map[Outcome]int{Held: e.held, Violated: e.violated}[wrong]
	t.Logf("held %d, violated %d, undecided %d of %d; %d seen on average", e.held, e.violated, e.unknown, repetitions,
		e.seen/repetitions)
	if wrong != "" && n > few(rate) {
		t.Errorf("%d of %d runs are %s, at most %d may be", n, repetitions, wrong, few(rate))
	}
}

// The error rates of the test between 1 % and 10 % of bad hits, of 1000 at most.
func TestShareErrorRates(t *testing.T) {
	for _, tt := range []struct {
		bad   float64
		wrong Outcome // empty between the hypotheses, where either is right
		rate  float64
	}{
		{0, Violated, 0},
		{0.001, Violated, 1e-3},
		{0.01, Violated, 1.1e-3},
		{0.03, "", 0},
		{0.1, Held, 1.1e-3},
		{0.3, Held, 1e-3},
		{1, Held, 0},
	} {
		t.Run(fmt.Sprint(tt.bad), func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			var runs endedRuns
			for range repetitions {
				s := shareTest{good: goodTroubles, bad: badTroubles}
				for i := 0; i < 1000 && s.sure == ""; i++ {
					s.count(r.Float64() < tt.bad)
				}
				runs.add(s.sure, s.seen)
			}
			runs.check(t, tt.wrong, tt.rate)
		})
	}
}

// The error rates of the test between 0.8 and 0.45 of a capacity of 40/s, on
// answers that come independently of each other, for 30 s at most. A limiter's
// are far more even than that.
func TestRateErrorRates(t *testing.T) {
	const capacity = 40.0
	for _, tt := range []struct {
		share float64
		wrong Outcome
		rate  float64
	}{
		{0.95, Violated, 1e-3},
		{0.8, Violated, 1.1e-3},
		{0.6, "", 0},
		{0.45, Held, 1.1e-3},
		{0.28, Held, 1e-3},
		{0.06, Held, 0},
	} {
		t.Run(fmt.Sprint(tt.share), func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, 8))
			var runs endedRuns
			for range repetitions {
				s := rateTest{good: goodShare * capacity, bad: badShare * capacity}
				const perSecond = 200 // hits
				hits := 0
				for ; hits < 30*perSecond && s.sure == ""; hits++ {
					s.count(one(r.Float64() < tt.share*capacity/perSecond), 1.0/perSecond)
				}
				runs.add(s.sure, hits)
			}
			runs.check(t, tt.wrong, tt.rate)
		})
	}
}

// stopped draws the clients' hits of a service whose share of bad hits depends
// on the seconds since the trigger's end, 28 a second, and asks after every window
// whether enough has been seen.
func stopped(r *rand.Rand, bad func(at float64) float64) (sure Outcome, hits int) {
	m := (&Metastability{}).resolved()
	const perSecond = 28
	c := &crowd{trigger: journal.Step{Has: map[string]bool{}}, test: shareTest{good: goodClientsBad, bad: badClientsBad}}
	var oks []bool
	for at := 5; at <= 65; at += 5 {
		for range 5 * perSecond {
			oks = append(oks, r.Float64() >= bad(float64(len(oks))/perSecond))
		}
		c.windows, c.bad, c.test.sprt = nil, nil, sprt{}
		for i := range at / 5 {
			w := calls{n: 5 * perSecond}
			for _, ok := range oks[i*5*perSecond : (i+1)*5*perSecond] {
				w.good += one(ok)
				w.tries += 1 + 3*one(!ok)
			}
			c.windows = append(c.windows, w)
			c.bad = append(c.bad, w.ratio() < m.Ratio)
		}
		for _, ok := range oks[int(c.lastBad().Seconds())*perSecond:] {
			c.test.count(!ok)
		}
		switch {
		case c.watched() >= m.Watch && c.lastBad() > m.Watch-lastLook:
			return Violated, len(oks)
		case c.watched() >= m.Watch || c.calm():
			return Held, len(oks)
		}
	}
	return Unknown, len(oks)
}

// The error rates of the watch that ends early.
func TestWatchErrorRates(t *testing.T) {
	always := func(p float64) func(float64) float64 { return func(float64) float64 { return p } }
	until := func(end, p float64) func(float64) float64 {
		return func(at float64) float64 {
			if at < end {
				return p
			}
			return 0.002
		}
	}
	for _, tt := range []struct {
		name  string
		bad   func(float64) float64
		wrong Outcome
		rate  float64
	}{
		{"back at once", until(0, 1), Violated, 0},
		{"back after 2 s", until(2, 1), Violated, 0},
		{"back after 30 s", until(30, 1), Violated, 0},
		{"1 % bad for good", always(0.01), Violated, 1e-3},
		{"down, every call", always(1), Held, 0},
		{"down, three in four", always(0.75), Held, 0},
		{"down, one in four", always(0.25), Held, 0},
		{"down, one in eight", always(0.125), Held, 1e-3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(9, 10))
			var runs endedRuns
			for range repetitions {
				runs.add(stopped(r, tt.bad))
			}
			runs.check(t, tt.wrong, tt.rate)
		})
	}
}

// looks judges retries as a stop rule does: after every two further dozens of
// calls, until it is sure.
func looks(all retryGaps, judge func(retryGaps) Outcome) (Outcome, int) {
	for n := 24; n <= len(all); n += 24 {
		if o := judge(all[:n]); o != Unknown {
			return o, n
		}
	}
	return Unknown, len(all)
}

// The error rates of D11 and D12 when they are asked again and again, as http-
// flaky does: 264 calls with two waits at most, 12 a second.
func TestRepeatedLooksErrorRates(t *testing.T) {
	for _, n := range noises {
		for _, tt := range []struct {
			policy string
			kind   string
			wrong  Outcome
			rate   float64
		}{
			{"none", "jitter", Held, 7.5e-5},
			{"add 5ms", "jitter", Held, 7.5e-5},
			{"full", "jitter", Violated, 0},
			{"±20 %", "jitter", Violated, 0},
			{"constant", "backoff", Held, 0},
			{"constant, full", "backoff", Held, 3e-4},
			{"full", "backoff", Violated, 0},
			{"×1.5 ±50 %", "backoff", Violated, 1e-4},
		} {
			t.Run(n.name+"/"+tt.kind+"/"+tt.policy, func(t *testing.T) {
				r := rand.New(rand.NewPCG(11, 12))
				var runs endedRuns
				for range repetitions {
					all := n.waits(r, tt.policy, 0.1, 2, 264)
					control := n.control(r, 264)
					runs.add(looks(all, func(g retryGaps) Outcome {
						if tt.kind == "jitter" {
							return lookAtJitter(g, control[:len(g)])
						}
						return lookAtGrowth(g)
					}))
				}
				runs.check(t, tt.wrong, tt.rate)
			})
		}
	}
}

func lookAtJitter(g retryGaps, control []float64) Outcome {
	if len(g) < 100 || len(control) < controlLeast {
		return Unknown
	}
	return measureJitter(g.nth(2, 2), control).outcome()
}

func lookAtGrowth(g retryGaps) Outcome {
	switch {
	case len(g) < 200:
		return Unknown
	case growth(g.nth(1, 2), g.nth(2, 2)) >= growthNeeded(2):
		return Held
	}
	return Violated
}

func TestSequentialKinds(t *testing.T) {
	want := []string{"attempts", "backoff_growth", "jitter", "metastability", "shedding"}
	if diff := cmp.Diff(want, SequentialKinds()); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

func TestSheddingHasSeenEnough(t *testing.T) {
	for name, tt := range map[string]struct {
		good, took float64
		code       int
		at         float64 // the attack x5 begins at 39 s, and is judged from 44 s on
		want       Outcome
	}{
		"limiter":              {36, 0.02, 503, 46, Held},
		"limiter, too early":   {36, 0.02, 503, 44.5, Unknown},
		"before it is judged":  {36, 0.02, 503, 43, Unknown},
		"before it begins":     {36, 0.02, 503, 38, Unknown},
		"no limit":             {8, 1, 0, 46.5, Violated},
		"slow refusals":        {36, 0.4, 503, 46, Violated},
		"500 for the rest":     {36, 0.02, 500, 46, Violated},
		"on the threshold":     {24, 0.02, 503, 45.5, Unknown},
		"hits are not over":    {36, 9, 503, 46, Unknown},
		"good but late answer": {0, 1.5, 200, 47, Violated},
	} {
		t.Run(name, func(t *testing.T) {
			m := overloadMade(tt.good, tt.took, tt.code)
			seq := map[string]uint64{}
			for i := range m.requests {
				r := &m.requests[i]
				r.Seq = seq[r.Attack]
				seq[r.Attack]++
			}
			// Of an attack that goes on, only the beginning is recorded.
			m.entries = slices.DeleteFunc(m.entries, func(e journal.Entry) bool { return e.On == "x5" && e.At > secs(tt.at) })
			m.at(39, "x5", journal.Attack{Began: true, From: secs(39), For: 15 * time.Second})
			f := new(Shedding).Enough(m.until(tt.at).memory(), "x5")
			if f.Outcome != tt.want {
				t.Errorf("it is %s: %s; wanted %s", f.Outcome, f.Reason, tt.want)
			}
		})
	}
}

func TestBackoffWaitsForSecondRetries(t *testing.T) {
	m := chainsOnly().failing(120, constantGaps(1, 50*ms)...)
	if f := (&BackoffGrowth{}).Detect(m); f.Outcome != NotApplicable {
		t.Fatalf("with one wait each it is %s", f.Outcome)
	}
	if f := (&BackoffGrowth{}).Enough(m, "flaky"); f.Outcome != Unknown {
		t.Errorf("and enough has been seen: %s", f.Reason)
	}
}
