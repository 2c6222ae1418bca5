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

func newJudge() *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "judge DIR",
		Short: "Judge a saved trial again",
		Long: `Judge every run of a saved trial again from its journal, with the plan that was
saved beside it, and write the verdicts and the reports into the folder. Nothing
is started: this works on any machine, also for a trial that was killed. It exits
as seatrial run does.`,
		Example: `  seatrial judge runs/latest`,
		Args:    exactly(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := trial.Open(args[0]); err != nil {
				return usage(err)
			}
			t, err := trial.Judge(args[0])
			if err != nil {
				return err
			}
			text := report.Text{Color: report.Colored(os.Stdout), Verbose: verbose}
			text.Write(cmd.OutOrStdout(), t)
			return outcome(t.Outcome)
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the findings that held, too")
	return cmd
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
		Args: exactly(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := trial.Open(args[0])
			if err != nil {
				return usage(err)
			}
			if err := trial.WriteReports(t); err != nil {
				return err
			}
			text := report.Text{Color: report.Colored(os.Stdout), Verbose: verbose}
			text.Write(cmd.OutOrStdout(), t)
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s, %s and %s\n", filepath.Join(t.Dir, folder.SummaryFile),
				filepath.Join(t.Dir, folder.JUnitFile), filepath.Join(t.Dir, folder.ReportFile))
			return err
		},
	}
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the findings that held, too")
	return cmd
}
