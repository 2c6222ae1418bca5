package suites_test

import (
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/suites"
)

// judged is a journal of a load in which every answer but the first bad ones
// was good.
func judged(requests, bad int) journal.Journal {
	j := journal.NewMemory(journal.Header{Promises: journal.DefaultPromises()})
	length := time.Duration(requests) * time.Millisecond
	j.Record(journal.Entry{At: 1, On: "load", Body: journal.Attack{
		From: 1, For: length, Planned: uint64(requests), Sent: uint64(requests),
	}})
	for i := range requests {
		due := journal.Instant(i) * journal.Instant(time.Millisecond)
		r := journal.Request{
			Seq: uint64(i), Attack: "load", Route: "get", Due: due, Sent: due, Done: due.Add(time.Millisecond),
			Code: 200, OK: true,
		}
		if i < bad {
			r.Code, r.OK = 500, false
		}
		j.Request(r)
	}
	return j
}

func TestAnUnknownFindingFailsBothWays(t *testing.T) {
	success := &detect.Success{Ratio: 0.99, During: detect.DuringAll, MinSamples: 10}
	for name, c := range map[string]struct {
		journal   journal.Journal
		to, toNot bool
	}{
		"held":     {judged(1000, 0), true, false},
		"violated": {judged(1000, 500), false, true},
		"unknown":  {judged(0, 0), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := passes(func(g gomega.Gomega) { g.Expect(c.journal).To(suites.Hold(success)) }); got != c.to {
				t.Errorf("To passes: %v", got)
			}
			if got := passes(func(g gomega.Gomega) { g.Expect(c.journal).ToNot(suites.Hold(success)) }); got != c.toNot {
				t.Errorf("ToNot passes: %v", got)
			}
		})
	}
}

func passes(f func(gomega.Gomega)) bool {
	failed := false
	f(gomega.NewGomega(func(string, ...int) { failed = true }))
	return !failed
}

// Of a journal in which nothing happened no matcher is told anything, by whichever
// detector of the service it judges; guards are on the harness.
func TestNoMatcherHoldsOnAnEmptyJournal(t *testing.T) {
	for _, kind := range detect.Kinds() {
		if strings.HasPrefix(kind, "guard_") {
			continue
		}
		d, err := detect.New(kind)
		if err != nil {
			t.Fatal(err)
		}
		if held, err := suites.Hold(d).Match(judged(0, 0)); held || err == nil {
			t.Errorf("%s: held %v, error %v", kind, held, err)
		}
	}
}

func TestAMatcherTakesAJournalOnly(t *testing.T) {
	_, err := suites.JitterRetries().Match("runs/latest")
	if err == nil || !strings.Contains(err.Error(), "journal.Journal") {
		t.Errorf("a string is answered with %v", err)
	}
}
