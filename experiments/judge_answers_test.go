package experiments

import (
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
)

// counting is a detector that says how many notes and requests a journal has,
// and holds from a number of requests on.
type counting struct {
	kind string
	need int
}

func (c *counting) Detect(j journal.Journal) detect.Finding {
	notes := len(slices.Collect(j.Entries("note")))
	requests := len(slices.Collect(j.Requests(journal.Window{})))
	f := detect.Finding{Detector: c.kind, Outcome: detect.Unknown, Reason: "counted", Quantities: []journal.Quantity{
		{Name: "notes", Value: float64(notes), Unit: "1"}, {Name: "requests", Value: float64(requests), Unit: "1"},
	}}
	if requests >= c.need {
		f.Outcome = detect.Held
	}
	return f
}

func (c *counting) Enough(j journal.Journal, _ string) detect.Finding { return c.Detect(j) }

// asked is a run in which the gate, two guardrails and a stop rule were asked
// again and again, each on another head.
func asked(edit func(n int, e *journal.Entry, a *journal.Assessment)) (judge, *journal.Memory) {
	p, journals := trialOf{safety: "h"}.judge()
	gate, first, second := &counting{"gate", 1}, &counting{"first", 2}, &counting{"second", 3}
	stop := &counting{"stop", 4}
	p.Experiment.SteadyState.Expect = []Expectation{{Detector: gate}}
	p.Experiment.Guardrails = []Expectation{{Detector: first}, {Detector: second}}
	p.Steps[0].Until = []Expectation{{Detector: stop}}
	m := journals[0].(*journal.Memory)
	n := 0
	for _, of := range []struct {
		purpose string
		ask     []*counting
	}{
		{journal.PurposeGate, []*counting{gate}},
		{journal.PurposeGuardrail, []*counting{first, second}},
		{journal.PurposeGuardrail, []*counting{first, second}},
		{journal.PurposeStop, []*counting{stop}},
	} {
		m.Record(journal.Entry{At: 5, Body: journal.Note{Text: "noted"}})
		m.Request(journal.Request{Seq: uint64(n)})
		seen := journal.Extent{
			Entries: len(slices.Collect(m.Entries())), Requests: len(slices.Collect(m.Requests(journal.Window{}))),
		}
		for _, c := range of.ask {
			f := c.Detect(m)
			a := journal.Assessment{
				Purpose: of.purpose, Detector: f.Detector, Outcome: string(f.Outcome), Reason: "worded otherwise",
				Quantities: f.Quantities, Seen: &seen,
			}
			e := journal.Entry{At: 6, On: f.Detector}
			if of.purpose == journal.PurposeStop {
				e.On = "slow"
			}
			if edit != nil {
				edit(n, &e, &a)
			}
			n++
			e.Body = a
			m.Record(e)
		}
	}
	m.Record(journal.Entry{At: 7, Body: journal.Note{Text: "recorded afterwards"}})
	m.Request(journal.Request{Seq: 99})
	return p, m
}

func TestAnswersAreThoseOfTheirHeads(t *testing.T) {
	p, m := asked(nil)
	v := p.attempts([]journal.Journal{m})
	if v.Outcome != Passed {
		t.Errorf("the verdict is %s: %s", v.Outcome, v.Reason)
	}
	f, ok := first(v.Attempts[0].Guards, func(f detect.Finding) bool { return f.Detector == answersKind })
	if !ok || f.Outcome != detect.Held || !strings.Contains(f.Reason, "6 answers") || len(f.Evidence) != 6 {
		t.Errorf("the finding on answers is %s: %s", f.Outcome, f.Reason)
	}
}

func TestAnswersThatDiffer(t *testing.T) {
	nth := func(n int, edit func(*journal.Entry, *journal.Assessment)) func(int, *journal.Entry, *journal.Assessment) {
		return func(i int, e *journal.Entry, a *journal.Assessment) {
			if i == n {
				edit(e, a)
			}
		}
	}
	tests := map[string]struct {
		edit   func(int, *journal.Entry, *journal.Assessment)
		reason string
	}{
		"the gate said otherwise": {
			nth(0, func(_ *journal.Entry, a *journal.Assessment) { a.Outcome = "violated" }),
			"asked as the gate, is not what it says of the same part of the journal now: violated then, held now",
		},
		"the second guardrail saw less": {
			nth(4, func(_ *journal.Entry, a *journal.Assessment) { a.Seen = &journal.Extent{Entries: 3, Requests: 2} }),
			"what second said at 0s, when it was asked as a guardrail",
		},
		"the stop rule was sure too early": {
			nth(5, func(_ *journal.Entry, a *journal.Assessment) { a.Seen.Requests = 3 }),
			"asked as what ends a step early, is not what it says of the same part of the journal now: held then, unknown now",
		},
		"the stop rule counted otherwise": {
			nth(5, func(_ *journal.Entry, a *journal.Assessment) { a.Quantities[0].Value = 7 }), "then, ",
		},
		"another step": {
			nth(5, func(e *journal.Entry, _ *journal.Assessment) { e.On = "other" }), "the plan asks nothing there",
		},
		"another detector": {
			nth(1, func(_ *journal.Entry, a *journal.Assessment) { a.Detector = "third" }), "it is first that is asked there",
		},
		"a purpose that nobody has": {
			nth(1, func(_ *journal.Entry, a *journal.Assessment) { a.Purpose = "whim" }), "asked as whim",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, m := asked(tt.edit)
			v := p.attempts([]journal.Journal{m})
			if v.Outcome != Inconclusive || !strings.Contains(v.Reason, tt.reason) || v.Attempts[0].Sound {
				t.Errorf("the verdict is %s: %s\nwanted inconclusive: …%s…", v.Outcome, v.Reason, tt.reason)
			}
		})
	}
}

// A counterexample stands, and what ended the run is said first.
func TestAnswersThatDifferBesideOtherTrouble(t *testing.T) {
	wrong := func(_ int, _ *journal.Entry, a *journal.Assessment) { a.Outcome = "violated" }
	p, m := asked(wrong)
	p.Experiment.Expect[0].Detector = &scripted{says: says("v")}
	if v := p.attempts([]journal.Journal{m}); v.Outcome != Failed {
		t.Errorf("a lost write is %s: %s", v.Outcome, v.Reason)
	}
	p, m = asked(wrong)
	abort("guardrail")(1, m)
	v := p.attempts([]journal.Journal{m})
	if v.Outcome != Aborted || !strings.Contains(v.Reason, "ended by guardrail: because; and what gate said") {
		t.Errorf("the run is %s: %s", v.Outcome, v.Reason)
	}
}

// A journal of a version that did not record what was seen is judged as it was.
func TestAnswersWithoutWhatWasSeen(t *testing.T) {
	p, m := asked(func(_ int, _ *journal.Entry, a *journal.Assessment) { a.Seen, a.Outcome = nil, "violated" })
	v := p.attempts([]journal.Journal{m})
	if v.Outcome != Passed {
		t.Errorf("the verdict is %s: %s", v.Outcome, v.Reason)
	}
	if f, ok := first(v.Attempts[0].Guards, func(f detect.Finding) bool { return f.Detector == answersKind }); ok {
		t.Errorf("nothing was compared, and it is %s: %s", f.Outcome, f.Reason)
	}
}
