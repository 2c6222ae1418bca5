package detect

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// sleepers records control sleeps of both lengths through the whole run.
func sleepers(m *journal.Memory, r *rand.Rand, n noise, perSecond int) {
	for t := sec; t <= 20*sec; t += sec {
		for _, sleep := range []time.Duration{20 * ms, controlSleep} {
			s := journal.Sleeper{Sleep: sleep}
			for _, o := range n.control(r, perSecond) {
				s.Overshoots = append(s.Overshoots, time.Duration(o*1e9))
			}
			m.Record(journal.Entry{At: t, Body: s})
		}
	}
}

// retried is a journal of logical calls with a policy's waits.
func retried(n noise, policy string, base float64, k, calls, control int) *stubCalls {
	return retriedOn(newStubCalls().calm(), n, policy, base, k, calls, control)
}

// retriedOn adds such calls to a journal, and the control sleeps.
func retriedOn(s *stubCalls, n noise, policy string, base float64, k, calls, control int) *stubCalls {
	r := rand.New(rand.NewPCG(7, 8))
	sleepers(s.Memory, r, n, control)
	for i, waits := range n.waits(r, policy, base, k, calls) {
		gaps := make([]time.Duration, k)
		for g, w := range waits {
			gaps[g] = time.Duration(w * 1e9)
		}
		s.play(faultFrom.Add(time.Duration(i+1)*5*time.Second/time.Duration(calls+1)), 503, gaps...)
	}
	return s
}

func TestJitter(t *testing.T) {
	d := &Jitter{MinSamples: 100}
	quiet, busy := noises[0], noises[1]
	for _, tt := range []struct {
		name string
		j    journal.Journal
		want Outcome
		says string
	}{
		{"full", retried(quiet, "full", 0.1, 2, 100, 5), Held, "looks like full jitter"},
		{"decorrelated", retried(quiet, "decorrelated", 0.1, 3, 100, 5), Held, "decorrelated"},
		{"one retry", retried(quiet, "equal", 0.2, 1, 100, 5), Held, "wait 1 of payments"},
		{"none", retried(quiet, "none", 0.1, 2, 100, 5), Violated, "spread at random"},
		{"constant", retried(quiet, "constant", 0.1, 2, 100, 5), Violated, "tied by the request id"},
		{"constant and short on a busy machine", retried(busy, "constant", 0.05, 2, 100, 5), Unknown, "too noisy"},
		{"ninety-nine calls", retried(quiet, "full", 0.1, 2, 99, 5), Unknown, "only 99 were tried again"},
		{"few control sleeps", retried(quiet, "full", 0.1, 2, 100, 4), Unknown, "80 control sleeps"},
		{"no retry", newStubCalls().calm().failing(100), NotApplicable, "none of 100 failed calls"},
		{"no call", newStubCalls().calm(), Unknown, "no call arrived"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, d.Detect(tt.j), tt.want, tt.says) })
	}
}

// Noise that came only with the fault counts.
func TestJitterTakesTheWiderControl(t *testing.T) {
	calm := make([]float64, 100)
	noisy := []float64{0, 0, 0.1, 0.1, 0.1}
	if got := measureJitter([]float64{1, 2, 3}, calm, noisy).control; got != 0.1 {
		t.Errorf("control spread is %v", got)
	}
}
