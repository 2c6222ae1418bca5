package report

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// Text writes a trial for people to read, on a terminal or in a file.
type Text struct {
	// Color turns colours on.
	Color bool
	// Verbose lists every finding, not only those that did not hold.
	Verbose bool
}

// Colored reports whether the file is a terminal that may be written to in
// colour: NO_COLOR (https://no-color.org) and TERM=dumb say no.
func Colored(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isatty.IsTerminal(f.Fd())
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
	bold   = "1"
)

func (t Text) paint(code, s string) string {
	if !t.Color || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func outcomeColor(o experiments.Outcome) string {
	switch o {
	case experiments.Passed:
		return green
	case experiments.Failed, experiments.Error:
		return red
	case experiments.NotTried:
		return faint
	}
	return yellow
}

var outcomeMarks = map[experiments.Outcome]string{
	experiments.Passed: "✓", experiments.Failed: "✗", experiments.Inconclusive: "?",
	experiments.Aborted: "!", experiments.Error: "!", experiments.NotTried: "-", unfinished: "!", notRun: "-",
}

var findingMarks = map[detect.Outcome]string{
	detect.Held: "✓", detect.Violated: "✗", detect.Unknown: "?", detect.NotApplicable: "-",
}

func findingColor(o detect.Outcome) string {
	switch o {
	case detect.Held:
		return green
	case detect.Violated:
		return red
	case detect.NotApplicable:
		return faint
	}
	return yellow
}

// What came of an experiment that has no verdict: it was killed, or not begun.
const (
	unfinished experiments.Outcome = "unfinished"
	notRun     experiments.Outcome = "not run"
)

// state is an experiment's outcome, or why it has none.
func state(e folder.Experiment) experiments.Outcome {
	switch {
	case e.Verdict.Outcome != "":
		return e.Verdict.Outcome
	case len(e.Runs) > 0:
		return unfinished
	}
	return notRun
}

// called is what the reports call an experiment's outcome.
func called(e folder.Experiment) string {
	if e.Verdict.Outcome == "" {
		return string(state(e))
	}
	return e.Verdict.Called()
}

// Verdict writes what is said of one experiment: one line, and below it the
// findings that did not hold, with what was measured and where it is seen.
func (t Text) Verdict(w io.Writer, dir string, e folder.Experiment) {
	outcome := e.Verdict.Outcome
	mark := fmt.Sprintf("%s %-14s", outcomeMarks[state(e)], Clean(called(e)))
	took := ""
	if e.Took > 0 {
		took = Span(e.Took)
	}
	fmt.Fprintf(w, "%s %-32s %7s  %s\n",
		t.paint(outcomeColor(outcome), mark), Clean(e.Name), took, t.headline(e))
	for _, f := range e.Verdict.Findings {
		if t.Verbose || worthShowing(f) {
			t.finding(w, f)
		}
	}
	for _, g := range brokenGuards(e) {
		t.finding(w, g)
	}
	if outcome != experiments.Passed && outcome != experiments.NotTried && len(e.Runs) > 0 {
		at := e.Runs[min(max(decidingNumber(e), 1), len(e.Runs))-1]
		fmt.Fprintf(w, "      %s\n", t.paint(faint, "evidence in "+Clean(filepath.Join(dir, filepath.FromSlash(at)))))
	}
}

// brokenGuards are the guards of the deciding attempt that do not hold; an
// experiment that passed does not rest on them.
func brokenGuards(e folder.Experiment) []detect.Finding {
	d := attemptOf(e, decidingNumber(e))
	if d == nil || e.Verdict.Outcome == experiments.Passed {
		return nil
	}
	var out []detect.Finding
	for _, g := range d.Guards {
		if g.Outcome == detect.Violated || g.Outcome == detect.Unknown {
			out = append(out, g)
		}
	}
	return out
}

// headline is what stands on the verdict's own line: its title while all is
// well, else the reason; a reason that a finding below gives is not said twice.
func (t Text) headline(e folder.Experiment) string {
	if (e.Verdict.Outcome == experiments.Passed || e.Verdict.Outcome == "") && e.Title != "" {
		return t.paint(faint, Clean(e.Title))
	}
	if e.Title != "" {
		for _, f := range slices.Concat(e.Verdict.Findings, brokenGuards(e)) {
			told := f.Reason == e.Verdict.Reason || f.Detector+": "+f.Reason == e.Verdict.Reason
			if told && worthShowing(f) {
				return Clean(e.Title)
			}
		}
	}
	return Clean(e.Verdict.Reason)
}

func worthShowing(f detect.Finding) bool {
	return f.Outcome != detect.Held && f.Outcome != detect.NotApplicable || f.Remark != ""
}

func (t Text) finding(w io.Writer, f detect.Finding) {
	mark := findingMarks[f.Outcome]
	if mark == "" {
		mark = "?"
	}
	name := t.paint(bold, Clean(f.Detector))
	if f.Failure != "" {
		name += " " + t.paint(red, "("+Clean(f.Failure)+")")
	}
	fmt.Fprintf(
		w,
		"    %s %s: %s%s\n",
		t.paint(findingColor(f.Outcome), mark),
		name,
		Clean(f.Reason),
		t.paint(faint, items(f.Checklist)),
	)
	if f.Remark != "" {
		fmt.Fprintf(w, "      %s\n", t.paint(yellow, "remark: "+Clean(f.Remark)))
	}
	if f.Outcome == detect.Held && !t.Verbose {
		return
	}
	for _, q := range quantities(f.Quantities) {
		line := q.String()
		if q.Broken {
			line = t.paint(red, line)
		}
		fmt.Fprintf(w, "      %s\n", line)
	}
	for i, e := range f.Evidence {
		if i == maxEvidence && !t.Verbose {
			fmt.Fprintf(w, "      %s\n", t.paint(faint, fmt.Sprintf("and %d more", len(f.Evidence)-i)))
			break
		}
		fmt.Fprintf(w, "      %s\n", t.paint(faint, evidenceLine(e)))
	}
}

// maxEvidence is how many pieces of evidence a finding shows on a terminal.
const maxEvidence = 3

func evidenceLine(e detect.Evidence) string {
	on := ""
	if e.On != "" {
		on = " " + Clean(e.On)
	}
	return fmt.Sprintf("at %s, %s%s: %s", e.At, Clean(e.Kind), on, Clean(e.Excerpt))
}

func items(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return " [checklist " + Clean(strings.Join(ids, ", ")) + "]"
}

// Summary writes the end of a trial: how many of each outcome, the promises
// that nobody stated, how long it took and where the rest is: the report, where
// there is one by now.
func (t Text) Summary(w io.Writer, trial *folder.Trial) {
	if trial.Error != "" {
		fmt.Fprintf(w, "%s %s\n", t.paint(red, "! error"), Clean(trial.Error))
	}
	counts := tally(trial)
	parts := make([]string, 0, len(counts))
	for _, c := range counts {
		text := fmt.Sprintf("%d %s", c.N, c.Outcome)
		parts = append(parts, t.paint(outcomeColor(c.Outcome), text))
	}
	if len(parts) == 0 {
		parts = append(parts, "no experiment was tried")
	}
	outcome := trial.Outcome
	if outcome == "" {
		outcome = unfinished
	}
	fmt.Fprintf(w, "\n%s: %s", t.paint(outcomeColor(outcome)+";1", strings.ToUpper(string(outcome))),
		strings.Join(parts, ", "))
	if d := trialTook(trial); d > 0 {
		fmt.Fprintf(w, "; %s", Span(d))
	}
	fmt.Fprintf(w, "; seed %d\n", trial.Seed)
	if carriedOut(trial) {
		t.grounds(w, trial)
	}
	page := filepath.Join(trial.Dir, folder.ReportFile)
	if _, err := os.Stat(page); err != nil {
		fmt.Fprintf(w, "report: none could be written; what was seen is in %s\n", Clean(trial.Dir))
		return
	}
	fmt.Fprintf(w, "report: %s\n", Clean(page))
}

// carriedOut reports whether anything was run at all; where nothing was, only
// what stopped the trial is worth reading.
func carriedOut(trial *folder.Trial) bool {
	return slices.ContainsFunc(trial.Experiments, func(e folder.Experiment) bool { return len(e.Runs) > 0 })
}

// grounds are the checklist's state and the promises that nobody stated.
func (t Text) grounds(w io.Writer, trial *folder.Trial) {
	fmt.Fprintf(w, "checklist: %s\n", NewScorecard(trial).Sentence())
	if names := defaulted(trial.Promises, trial.Defaults); len(names) > 0 {
		fmt.Fprintf(w, "promises that are defaults, because %s does not state them: %s\n",
			subjectName(trial), strings.Join(names, ", "))
	}
}

// Write writes all of a trial: a head, every verdict, the summary.
func (t Text) Write(w io.Writer, trial *folder.Trial) {
	fmt.Fprintf(w, "trial %s of %s, %s, seed %d\n\n", Clean(trial.ID), Clean(trial.Service),
		trial.Started.UTC().Format(time.RFC3339), trial.Seed)
	for _, e := range trial.Experiments {
		t.Verdict(w, trial.Dir, e)
	}
	t.Summary(w, trial)
}

func subjectName(t *folder.Trial) string {
	if t.SubjectFile == "" {
		return "the subject"
	}
	return Clean(filepath.Base(t.SubjectFile))
}

func defaulted(p journal.Promises, defaults []string) []string {
	var out []string
	for _, p := range promises(p, defaults) {
		if p.Default {
			out = append(out, p.Name+" "+p.Value)
		}
	}
	return out
}

func trialTook(t *folder.Trial) time.Duration {
	if t.Ended.IsZero() {
		return 0
	}
	return t.Ended.Sub(t.Started)
}

type count struct {
	Outcome experiments.Outcome
	N       int
}

// tally counts the verdicts, worst last, leaving out outcomes nobody has.
func tally(t *folder.Trial) []count {
	order := []experiments.Outcome{
		experiments.Passed, experiments.Failed, experiments.Inconclusive,
		experiments.Aborted, experiments.Error, experiments.NotTried, unfinished, notRun,
	}
	var out []count
	for _, o := range order {
		c := count{Outcome: o}
		for _, e := range t.Experiments {
			if state(e) == o {
				c.N++
			}
		}
		if c.N > 0 {
			out = append(out, c)
		}
	}
	return out
}
