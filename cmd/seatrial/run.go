package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/backends"
	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/trial"
)

// runFlags are the flags of seatrial run.
type runFlags struct {
	choice
	out      string
	attempts int
	verbose  bool
}

func newRun() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [EXPERIMENT...]",
		Short: "Try the subject: all experiments, or the named ones",
		Long: `Start the subject with everything it depends on, try it, and say which promises
held. Without names everything is tried that seatrial list shows. A name is that
of an experiment (http-slow), of one of its targets (http-slow/payments) or a
pattern ('http-*').

Every experiment has an environment of its own. What fails by time or by share
is tried a second time, and counts only when it fails twice. Verdicts are shown
as they come; everything that was seen is kept in a folder of its own below
--out, with report.html, summary.txt and junit.xml.

One trial at a time has the machine: another seatrial run, or a trial of a test,
says whom it waits for and begins when that has ended. (Who has a TMPDIR of its
own does not wait, and should know why.)

Ctrl-C puts back what is broken and writes the report of what was seen, and so does
the end of the terminal; a second Ctrl-C stops at once.

It exits with 0 when everything that was tried passed, 1 when something failed,
2 when something was not conclusive (and nothing failed), 3 when the trial was
interrupted, 4 when seatrial or the environment failed, 64 for wrong usage or a
bad file.`,
		Example: `  seatrial run
  seatrial run http-slow crash
  seatrial run 'http-*' --label quick --seed 7
  seatrial run --environment docker --label quick
  seatrial run -f services/orders/seatrial.yaml --out /tmp/trials`,
		RunE: func(cmd *cobra.Command, names []string) error { return f.run(cmd, names) },
	}
	f.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "runs", "`folder` that the trial's own folder is made in")
	flags.IntVar(&f.attempts, "attempts", experiments.MaxAttempts,
		"`number` of times that an experiment is run at most, to confirm a verdict; 1 confirms nothing")
	f.allowFlag(cmd)
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show the findings that held, too")
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command, names []string) error {
	if f.attempts < 1 || f.attempts > experiments.MaxAttempts {
		return usage(fmt.Errorf("--attempts is %d; it must be 1 to %d, for a third decides where two do not agree",
			f.attempts, experiments.MaxAttempts))
	}
	s, plans, err := f.chosen(names)
	if err != nil {
		return err
	}
	if err := s.Remote(f.allowed); err != nil {
		return usage(err)
	}
	backend, err := backends.New(s.Environment, f.allowed)
	if err != nil {
		return usage(err)
	}
	stdout := cmd.OutOrStdout()
	show := newProgress(stdout, cmd.ErrOrStderr(), plans)
	show.text.Verbose = f.verbose
	ctx, stop := interruptible(cmd.Context(), show)
	defer stop()
	t, err := trial.Run(ctx, trial.Config{
		Subject: s, Plans: plans, Backend: backend, Seed: f.seed, Out: f.out, Attempts: f.attempts,
		Alone: true, Version: version(), Versions: versions(ctx, s, backend),
		Began: show.began, Say: show.say, Status: show.status, Verdict: show.verdict,
	})
	show.end()
	if t == nil {
		return err
	}
	show.text.Summary(show.out, t)
	if err != nil {
		return err
	}
	return outcome(t.Outcome)
}

// interruptible is a context that the first interrupt ends, or the end of the
// terminal; the second one ends the program at once, and the watcher cleans up.
func interruptible(parent context.Context, show *progress) (context.Context, func()) {
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signal.Notify(signals, syscall.SIGHUP)
	}
	// Whoever reads what is printed may end before the trial does. To be told of it
	// is enough for not to die of it; to ignore it would be inherited by the service.
	unread := make(chan os.Signal, 1)
	signal.Notify(unread, syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			case <-signals:
				if n > 0 {
					os.Exit(experiments.ExitAborted)
				}
				show.line("interrupted: putting everything back and writing the report; once more stops at once")
				cancel()
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		signal.Stop(unread)
		close(done)
		cancel()
	}
}

// newText is how verdicts are written to w.
func newText(w io.Writer) report.Text {
	f, ok := w.(*os.File)
	return report.Text{Color: ok && report.Colored(f)}
}
