package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/history"
	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/trial"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

func newCompare() *cobra.Command {
	return &cobra.Command{
		Use:   "compare OLD NEW",
		Short: "Tell what has changed between two saved trials",
		Long: `Compare a saved trial with an earlier one: promises that were kept and are broken
now, what is no longer known or tried, figures that hold still but have come near
their bound (80 % of it, and 20 % more than before), and what has been mended.
What may explain it stands first: promises, versions and processors that differ.
Of each trial's folder only trial.json is read, so that this file is all that has
to be kept from one night to the next.

It exits with 1 when something is worse, 2 when something is no longer known or
tried, and 0 otherwise, whatever the verdicts themselves; 64 for wrong usage.`,
		Example: `  seatrial compare runs/20260314-020000 runs/latest`,
		Args:    exactly(cobra.ExactArgs(2), "the folders of two trials, the earlier one first"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var trials []*folder.Trial
			for _, dir := range args {
				t, err := trial.Open(dir)
				if err != nil {
					return usage(err)
				}
				if t.Outcome == "" {
					return usage(fmt.Errorf("compare %s: the trial did not come to its end; seatrial judge %s first", dir, dir))
				}
				trials = append(trials, t)
			}
			c := history.Compare(trials[0], trials[1])
			compare(readably(cmd.OutOrStdout()), c)
			return changedOutcome(c.Worst())
		},
	}
}

// changedOutcome is the outcome whose exit code tells the gravest change.
func changedOutcome(worst history.Kind) error {
	switch worst {
	case history.Worse:
		return outcome(experiments.Failed)
	case history.Gone, history.Unclear:
		return outcome(experiments.Inconclusive)
	}
	return nil
}

var changeMarks = map[history.Kind]string{
	history.Worse: "✗", history.Gone: "?", history.Unclear: "?", history.Nearer: "!",
	history.Better: "✓", history.New: "+",
}

func compare(w io.Writer, c history.Comparison) {
	for _, line := range c.Circumstances {
		fmt.Fprintf(w, "  %s\n", report.Clean(line))
	}
	counts := map[history.Kind]int{}
	for _, change := range c.Changes {
		counts[change.Kind]++
		what := change.Experiment
		if change.Detector != "" {
			what += ": " + change.Detector
		}
		fmt.Fprintf(w, "%s %-7s %s: %s, was %s\n", changeMarks[change.Kind], change.Kind, report.Clean(what),
			report.Clean(change.Now), report.Clean(change.Was))
		if change.Reason != "" && change.Kind != history.Better && change.Kind != history.New {
			fmt.Fprintf(w, "    %s\n", report.Clean(change.Reason))
		}
	}
	var parts []string
	for _, kind := range history.Kinds() {
		if n := counts[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	parts = append(parts, plural(c.Alike, "experiment")+" alike")
	fmt.Fprintln(w, strings.Join(parts, ", "))
}
