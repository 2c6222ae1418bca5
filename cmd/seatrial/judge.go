package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/trial"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// oneTrial is what judge and report want.
const oneTrial = "the folder of one trial, such as runs/latest"

func newJudge() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "judge DIR",
		Short: "Judge a saved trial again",
		Long: `Judge every run of a saved trial again from its journal, with the plan that was
saved beside it, and write the verdicts and the reports into the folder; verdicts
that are not what they were are listed at the end. Nothing is started: this works
on any machine, also for a trial that was killed. It exits as seatrial run does.`,
		Example: `  seatrial judge runs/latest`,
		Args:    exactly(cobra.ExactArgs(1), oneTrial),
		RunE: func(cmd *cobra.Command, args []string) error {
			before, err := trial.Open(args[0])
			if err != nil {
				return usage(err)
			}
			t, err := trial.Judge(args[0])
			if t == nil {
				return err
			}
			text := report.Text{Color: report.Colored(os.Stdout), Verbose: verbose}
			text.Write(readably(cmd.OutOrStdout()), t)
			for _, line := range changed(before, t) {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			if err != nil {
				return err
			}
			return outcome(t.Outcome)
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the findings that held, too")
	return cmd
}

// changed says which verdicts are not what they were.
func changed(before, now *folder.Trial) []string {
	var lines []string
	for i, e := range now.Experiments {
		was := before.Experiments[i].Verdict
		if was.Outcome != "" && was.Outcome != e.Verdict.Outcome {
			lines = append(lines, fmt.Sprintf("changed: %s was %s, and is %s now",
				report.Clean(e.Name), report.Clean(was.Called()), report.Clean(e.Verdict.Called())))
		}
	}
	return lines
}

func newReport() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "Write the reports of a saved trial again, and show its verdicts",
		Long: `Write summary.txt, junit.xml and report.html of a saved trial again, from its
folder alone, and print the verdicts as they were given; seatrial judge gives
new ones. It exits with 0 when the reports could be written, whatever the verdicts.`,
		Example: `  seatrial report runs/latest
  seatrial report -v runs/20260314-150926`,
		Args: exactly(cobra.ExactArgs(1), oneTrial),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := trial.Open(args[0])
			if err != nil {
				return usage(err)
			}
			if err := trial.WriteReports(t); err != nil {
				return err
			}
			text := report.Text{Color: report.Colored(os.Stdout), Verbose: verbose}
			text.Write(readably(cmd.OutOrStdout()), t)
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s, %s and %s\n", filepath.Join(t.Dir, folder.SummaryFile),
				filepath.Join(t.Dir, folder.JUnitFile), filepath.Join(t.Dir, folder.ReportFile))
			return err
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the findings that held, too")
	return cmd
}
