package history

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

func tried(name string, o experiments.Outcome, findings ...detect.Finding) folder.Experiment {
	return folder.Experiment{Name: name, Verdict: experiments.Verdict{
		Experiment: name, Outcome: o, Reason: "it is " + string(o), Findings: findings,
	}}
}

func found(kind string, o detect.Outcome, quantities ...journal.Quantity) detect.Finding {
	return detect.Finding{Detector: kind, Outcome: o, Reason: "seen", Quantities: quantities}
}

func figure(value, bound float64, op string) journal.Quantity {
	return journal.Quantity{Name: "p99", Value: value, Unit: "s", Bound: &bound, Op: op}
}

func TestCompare(t *testing.T) {
	one := func(o experiments.Outcome, findings ...detect.Finding) []folder.Experiment {
		return []folder.Experiment{tried("x", o, findings...)}
	}
	held, violated := found("jitter", detect.Held), found("jitter", detect.Violated)
	unknown, none := found("jitter", detect.Unknown), found("ledger", detect.Held, figure(0, 0, "<="))
	at := func(v float64) detect.Finding { return found("latency", detect.Held, figure(v, 2, "<=")) }
	least := func(v float64) detect.Finding { return found("shedding", detect.Held, figure(v, 0.6, ">=")) }
	tests := map[string]struct {
		before, now []folder.Experiment
		want        []Change
	}{
		"alike": {one(experiments.Passed, held), one(experiments.Passed, held), nil},
		"a promise broken": {
			one(experiments.Passed, held), one(experiments.Failed, violated),
			[]Change{{Worse, "x", "jitter", "held", "violated", "seen"}},
		},
		"a promise kept again": {
			one(experiments.Failed, violated), one(experiments.Passed, held),
			[]Change{{Better, "x", "jitter", "violated", "held", "seen"}},
		},
		"still broken": {one(experiments.Failed, violated), one(experiments.Failed, violated), nil},
		"not shown to be mended": {
			one(experiments.Failed, violated), one(experiments.Inconclusive, unknown), nil,
		},
		"no longer known": {
			one(experiments.Passed, held), one(experiments.Inconclusive, unknown),
			[]Change{{Unclear, "x", "jitter", "held", "unknown", "seen"}},
		},
		"a guard": {
			one(experiments.Passed, held), one(experiments.Inconclusive, held),
			[]Change{{Unclear, "x", "", "passed", "inconclusive", "it is inconclusive"}},
		},
		"an error": {
			one(experiments.Passed, held), one(experiments.Error),
			[]Change{{Worse, "x", "", "passed", "error", "it is error"}},
		},
		"gone":      {one(experiments.Passed, held), nil, []Change{{Gone, "x", "", "passed", "not tried", ""}}},
		"new":       {nil, one(experiments.Passed, held), []Change{{New, "x", "", "not tried", "passed", "it is passed"}}},
		"never was": {one(experiments.NotTried), one(experiments.NotTried), nil},
		"nearer": {
			one(experiments.Passed, at(1)), one(experiments.Passed, at(1.8)),
			[]Change{{Nearer, "x", "latency", "50 % of the bound", "p99 1.8s of 2s, 90 %", ""}},
		},
		"near as before": {one(experiments.Passed, at(1.7)), one(experiments.Passed, at(1.9)), nil},
		"far still":      {one(experiments.Passed, at(0.1)), one(experiments.Passed, at(1.5)), nil},
		"nearer from above": {
			one(experiments.Passed, least(1.2)), one(experiments.Passed, least(0.65)),
			[]Change{{Nearer, "x", "shedding", "50 % of the bound", "p99 650ms of 600ms, 92 %", ""}},
		},
		"a bound of nothing": {one(experiments.Passed, none), one(experiments.Passed, none), nil},
		"worse stands first": {
			[]folder.Experiment{tried("a", experiments.Failed), tried("b", experiments.Passed)},
			[]folder.Experiment{tried("a", experiments.Passed), tried("b", experiments.Failed)},
			[]Change{
				{Worse, "b", "", "passed", "failed", "it is failed"}, {Better, "a", "", "failed", "passed", "it is passed"},
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Compare(&folder.Trial{Experiments: tt.before}, &folder.Trial{Experiments: tt.now})
			if diff := cmp.Diff(tt.want, got.Changes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(tt.want) > 0 && got.Worst() != tt.want[0].Kind {
				t.Errorf("worst %q", got.Worst())
			}
		})
	}
}

func TestCircumstances(t *testing.T) {
	before := &folder.Trial{
		CPUs: 2, Environment: "process", Versions: map[string]string{"go": "go1.26.7", "redis": "7"},
		Promises: journal.Promises{AnswersWithin: time.Second},
	}
	now := &folder.Trial{
		CPUs: 4, Environment: "process", Versions: map[string]string{"go": "go1.26.8"},
		Promises: journal.Promises{AnswersWithin: 2 * time.Second},
	}
	want := []string{
		"processors: 4, was 2", "go: go1.26.8, was go1.26.7", "redis: none, was 7", "promise answers_within: 2s, was 1s",
	}
	if diff := cmp.Diff(want, Compare(before, now).Circumstances); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
