package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/report"
)

// exitError is an error with the exit code it leads to.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as the caller's: wrong usage or a bad file.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{experiments.ExitUsage, err}
}

// outcome is a verdict as an error without words, for its exit code alone.
type outcome experiments.Outcome

func (o outcome) Error() string { return string(o) }

var exitCodes = map[experiments.Outcome]int{
	experiments.Passed: experiments.ExitPassed, experiments.Failed: experiments.ExitFailed,
	experiments.Inconclusive: experiments.ExitInconclusive, experiments.NotTried: experiments.ExitInconclusive,
	experiments.Aborted: experiments.ExitAborted, experiments.Error: experiments.ExitError,
}

// run is the whole program; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var o outcome
	var x *exitError
	switch {
	case err == nil:
		return experiments.ExitPassed
	case errors.As(err, &o):
		return exitCodes[experiments.Outcome(o)]
	}
	fmt.Fprintf(stderr, "seatrial: %s\n", report.CleanLines(err.Error())) // it may quote what others wrote
	switch {
	case errors.As(err, &x):
		return x.code
	case strings.HasPrefix(err.Error(), "unknown command"):
		return experiments.ExitUsage
	}
	return experiments.ExitError
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "seatrial",
		Short: "Try whether a Go service keeps its promises while things break",
		Long: `Seatrial takes a Go service on a sea trial. It starts the service for real with
everything it depends on, puts a Toxiproxy before every dependency, drives
open-loop load, breaks things on a timetable, and says which promises of the Go
production checklist held, with the evidence.

What is tried is described in seatrial.yaml; seatrial schema tells its form.`,
		Example: `  seatrial run                     try everything in the catalogue
  seatrial run 'http-*'            try what breaks HTTP dependencies
  seatrial list                    what there is to try, and what it costs
  seatrial report runs/latest      write the last trial's report again`,
		Version:      version(),
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		text := ofParsing.ReplaceAllString(err.Error(), "it is not understood")
		return usage(fmt.Errorf("%s; see %s --help", text, c.CommandPath()))
	})
	root.SetVersionTemplate("seatrial {{.Version}}\n")
	root.SetHelpCommand(newHelp())
	root.AddCommand(newRun(), newList(), newPlan(), newValidate(), newJudge(), newReport(), newCompare(), newSchema(),
		newDoctor(), newAgent())
	return root
}

// ofParsing is how the flags' library tells of a value that it cannot read.
var ofParsing = regexp.MustCompile(`strconv\.\w+: parsing .*: [a-z ]+$`)

// exactly is cobra's rule for arguments, as wrong usage; want says what is wanted.
func exactly(rule cobra.PositionalArgs, want string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if rule(c, args) == nil {
			return nil
		}
		got := "nothing"
		if len(args) > 0 {
			got = strconv.Quote(strings.Join(args, " "))
		}
		return usage(fmt.Errorf("%s wants %s, and was given %s; see %s --help", c.CommandPath(), want, got, c.CommandPath()))
	}
}

// newHelp is cobra's command of that name, but that a topic which there is not is
// wrong usage.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usage(fmt.Errorf("there is no command %q; see seatrial --help", strings.Join(args, " ")))
			}
			return about.Help()
		},
	}
}

// version is that of the module, with the revision for a build from a checkout.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += "-" + s.Value[:12]
			}
		}
	}
	return v
}
