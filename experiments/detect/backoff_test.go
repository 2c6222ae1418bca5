package detect

import (
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestBackoffGrowth(t *testing.T) {
	quiet := noises[0]
	for _, tt := range []struct {
		name string
		d    BackoffGrowth
		j    journal.Journal
		want Outcome
		says string
	}{
		{"doubling", BackoffGrowth{}, retried(quiet, "none", 0.1, 2, 200, 5), Held, "times as long"},
		{"doubling with full jitter", BackoffGrowth{}, retried(quiet, "full", 0.1, 3, 100, 5), Held, "100 logical calls"},
		{"constant", BackoffGrowth{}, retried(quiet, "constant", 0.1, 2, 200, 5), Violated, "where 1.25 is needed"},
		{"constant, three waits", BackoffGrowth{}, retried(quiet, "constant", 0.1, 3, 100, 5), Violated, "1.56"},
		{"two waits of 199 calls", BackoffGrowth{}, retried(quiet, "none", 0.1, 2, 199, 5), Unknown, "200 are needed"},
		{"three waits of 99 calls", BackoffGrowth{}, retried(quiet, "none", 0.1, 3, 99, 5), Unknown, "100 are needed"},
		{"fewer are enough", BackoffGrowth{MinSamples: 30}, retried(quiet, "none", 0.1, 2, 30, 5), Held, ""},
		{"one wait", BackoffGrowth{}, retried(quiet, "full", 0.1, 1, 100, 5), NotApplicable, "retried once"},
		{"no wait", BackoffGrowth{}, retried(quiet, "none", 0.0001, 2, 20, 5), Violated, "without any wait"},
		{"no wait of 19 calls", BackoffGrowth{}, retried(quiet, "none", 0.0001, 2, 19, 5), Unknown, "only 19"},
		{"no retry", BackoffGrowth{}, newStubCalls().calm().failing(100), NotApplicable, "none of 100"},
		{"no call", BackoffGrowth{}, newStubCalls(), Unknown, "no call arrived"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.d.Detect(tt.j), tt.want, tt.says) })
	}
}

// A wait after an attempt that the caller gave up cannot be told from the
// caller's timeout.
func TestGapsLeaveOutHungUpAttempts(t *testing.T) {
	s := newStubCalls()
	s.answer = func(_, attempt int, c *journal.Call) {
		if attempt == 1 {
			c.Status, c.Answered, c.HungUp, c.HungUpAfter = 0, 0, true, 500*ms
		}
	}
	s.failing(3, constantGaps(3, 100*ms)...)
	in, err := resolve(s, DuringFault, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, gaps := range gapsOf(callsOn(s, "payments", in, ties).chains) {
		if len(gaps) != 1 || gaps[0] != 0.1 {
			t.Errorf("gaps are %v", gaps)
		}
	}
}
