package trial

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/runner"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial/folder"
	"github.com/seatrial/seatrial/experiments/trial/trialtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testPlans(t *testing.T, s *subject.Subject, processor string, names ...string) []experiments.Plan {
	t.Helper()
	var all []experiments.Experiment
	for _, name := range names {
		e, err := trialtest.Experiment(name, processor)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	plans, err := Plans(all, s, 7)
	if err != nil {
		t.Fatal(err)
	}
	return plans
}

func try(
	t *testing.T, ctx context.Context, f *trialtest.Fake, plans []experiments.Plan, change func(*Config),
) *folder.Trial {
	t.Helper()
	c := Config{
		Subject: plans[0].Subject, Plans: plans, Backend: f, Seed: 7, Version: "test",
		Attempts: 1, Out: filepath.Join(t.TempDir(), "runs"),
	}
	if change != nil {
		change(&c)
	}
	got, err := Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// judged stands for passed and for inconclusive: on a busy machine the guards
// make the one the other, and neither is what these tests are about.
const judged experiments.Outcome = "judged"

func outcomes(t *folder.Trial) map[string]experiments.Outcome {
	out := map[string]experiments.Outcome{"": t.Outcome}
	for _, e := range t.Experiments {
		out[e.Name] = e.Verdict.Outcome
	}
	for name, o := range out {
		if o == experiments.Passed || o == experiments.Inconclusive {
			out[name] = judged
		}
	}
	return out
}

func expectOutcomes(t *testing.T, got *folder.Trial, want map[string]experiments.Outcome) {
	t.Helper()
	if diff := cmp.Diff(want, outcomes(got)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
		for _, e := range got.Experiments {
			t.Logf("%s: %s", e.Name, e.Verdict.Reason)
		}
	}
}

func TestTrialLeavesAFolderThatCanBeJudgedAgain(t *testing.T) {
	t.Parallel()
	f := trialtest.New(t)
	var told []string
	got := try(t, t.Context(), f, testPlans(t, trialtest.Subject(), "low", "one", "two", "three"), func(c *Config) {
		c.Verdict = func(_ *folder.Trial, e folder.Experiment) { told = append(told, e.Name) }
		c.Status = func(runner.Status) {}
	})
	expectOutcomes(t, got, map[string]experiments.Outcome{
		"": judged, "one": judged, "two": judged, "three": judged,
	})
	if len(told) != 3 || f.Peak.Load() != 2 || f.Closed.Load() != 1 {
		t.Errorf("verdicts %v, %d environments at once, closed %d times; want 3, 2 and 1",
			told, f.Peak.Load(), f.Closed.Load())
	}
	for _, name := range []string{
		folder.TrialFile, folder.SummaryFile, folder.JUnitFile, folder.ReportFile,
		"one/1/run.json", "one/1/journal.jsonl", "one/1/requests.csv", "one/1/requests.bin",
	} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(got.Dir), "latest", name))
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(b), trialtest.Secret) {
			t.Errorf("%s holds a secret", name)
		}
	}
	before := outcomes(got)
	tamper(t, got.Dir)
	again, err := Judge(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, outcomes(again)); diff != "" {
		t.Errorf("judged again (-first +second):\n%s", diff)
	}
	if again.Experiments[0].Verdict.Reason != got.Experiments[0].Verdict.Reason {
		t.Errorf("judged again: %q, first %q", again.Experiments[0].Verdict.Reason, got.Experiments[0].Verdict.Reason)
	}
}

// tamper takes the verdicts away, so that judging cannot copy them.
func tamper(t *testing.T, dir string) {
	t.Helper()
	saved, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range saved.Experiments {
		saved.Experiments[i].Verdict = experiments.Verdict{}
	}
	saved.Outcome = ""
	if err := saved.Write(); err != nil {
		t.Fatal(err)
	}
}

// What the gate said is asked again of the journal as it lies in the folder.
func TestAnAnswerThatTheJournalDoesNotGiveIsTold(t *testing.T) {
	t.Parallel()
	f := trialtest.New(t)
	got := try(t, t.Context(), f, testPlans(t, trialtest.Subject(), "low", "one"), nil)
	answers := func(saved *folder.Trial) (found detect.Finding) {
		for _, g := range saved.Experiments[0].Verdict.Attempts[0].Guards {
			if g.Detector == "answers" {
				found = g
			}
		}
		return found
	}
	if a := answers(got); a.Outcome != detect.Held {
		t.Errorf("the answers are %s: %s", a.Outcome, a.Reason)
	}
	file := filepath.Join(got.Dir, "one", "1", "journal.jsonl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`("purpose":"gate","detector":"success","outcome":)"[a-z]*"`)
	if err := os.WriteFile(file, said.ReplaceAll(text, []byte(`$1"violated"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Judge(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if a := answers(again); a.Outcome != detect.Unknown || !strings.Contains(a.Reason, "asked as the gate") {
		t.Errorf("the answers are %s: %s", a.Outcome, a.Reason)
	}
	if v := again.Experiments[0].Verdict; v.Outcome != experiments.Inconclusive {
		t.Errorf("the verdict is %s: %s", v.Outcome, v.Reason)
	}
}

func TestHighPlansRunAlone(t *testing.T) {
	t.Parallel()
	f := trialtest.New(t)
	try(t, t.Context(), f, testPlans(t, trialtest.Subject(), "high", "one", "two"), nil)
	if f.Peak.Load() != 1 {
		t.Errorf("%d environments at once, want 1", f.Peak.Load())
	}
}

func TestFailureIsConfirmed(t *testing.T) {
	t.Parallel()
	f := trialtest.New(t)
	f.BrokenFrom.Store(560) // after the gate
	plans := testPlans(t, trialtest.Subject(), "low", "one")
	got := try(t, t.Context(), f, plans, func(c *Config) { c.Attempts = 2 })
	if n := len(got.Experiments[0].Runs); n != 2 {
		t.Errorf("%d runs, want 2: the failure is to be confirmed", n)
	}
	if got.Outcome == experiments.Passed {
		t.Error("a service that answers 500 passed")
	}
	got = try(t, t.Context(), f, plans, func(c *Config) { c.Attempts = 1 })
	if n := len(got.Experiments[0].Runs); n != 1 {
		t.Errorf("%d runs, want 1: nothing is to be confirmed", n)
	}
}

func TestPanicAndErrorBreakOneRunOnly(t *testing.T) {
	t.Parallel()
	f := trialtest.New(t)
	f.OnStart = func(n int64) error {
		switch n {
		case 1:
			panic("boom")
		case 2:
			return errors.New("port 80 is in use")
		}
		return nil
	}
	got := try(t, t.Context(), f, testPlans(t, trialtest.Subject(), "high", "one", "two", "three"), nil)
	expectOutcomes(t, got, map[string]experiments.Outcome{
		"": experiments.Error, "one": experiments.Error, "two": experiments.Error, "three": judged,
	})
	if r := got.Experiments[0].Verdict.Reason; !strings.Contains(r, "boom") {
		t.Errorf("the panic is not in the reason: %s", r)
	}
	if r := got.Experiments[1].Verdict.Reason; !strings.Contains(r, "port 80 is in use") {
		t.Errorf("the error is not in the reason: %s", r)
	}
}

func TestPrepareThatFailsStopsTheTrial(t *testing.T) {
	t.Parallel()
	f := trialtest.New(t)
	f.OnPrepare = errors.New("build service: syntax error")
	got := try(t, t.Context(), f, testPlans(t, trialtest.Subject(), "low", "one"), nil)
	expectOutcomes(t, got, map[string]experiments.Outcome{"": experiments.Error, "one": ""})
	b, err := os.ReadFile(filepath.Join(got.Dir, folder.SummaryFile))
	if err != nil || !strings.Contains(string(b), "syntax error") {
		t.Errorf("the summary does not say why: %v\n%s", err, b)
	}
	again, err := Judge(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	expectOutcomes(t, again, map[string]experiments.Outcome{"": experiments.Error, "one": ""})
}

func TestInterruptedTrial(t *testing.T) {
	t.Parallel()
	f := trialtest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.OnStart = func(n int64) error {
		if n == 2 {
			time.AfterFunc(300*time.Millisecond, cancel)
		}
		return nil
	}
	got := try(t, ctx, f, testPlans(t, trialtest.Subject(), "high", "one", "two", "three"), nil)
	expectOutcomes(t, got, map[string]experiments.Outcome{
		"": experiments.Aborted, "one": judged, "two": experiments.Aborted, "three": experiments.Aborted,
	})
	if f.Up.Load() != 0 {
		t.Errorf("%d environments are still up", f.Up.Load())
	}
	again, err := Judge(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	expectOutcomes(t, again, outcomes(got))
}

func TestNotApplicableIsReportedAndNotRun(t *testing.T) {
	t.Parallel()
	f := trialtest.New(t)
	plans := testPlans(t, trialtest.Subject(), "low", "one")
	plans[0].NotApplicable = "svc has no redis"
	got := try(t, t.Context(), f, plans, nil)
	expectOutcomes(t, got, map[string]experiments.Outcome{"": judged, "one": experiments.NotTried})
	if f.Starts.Load() != 0 {
		t.Error("an environment was started for it")
	}
}

func TestKilledTrialIsJudgedAsFarAsItCame(t *testing.T) {
	t.Parallel()
	f := trialtest.New(t)
	got := try(t, t.Context(), f, testPlans(t, trialtest.Subject(), "low", "one", "two"), nil)
	got.Ended, got.Outcome = time.Time{}, ""
	got.Experiments[1].Verdict, got.Experiments[1].Runs = experiments.Verdict{}, nil
	if err := got.Write(); err != nil {
		t.Fatal(err)
	}
	again, err := Judge(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	expectOutcomes(t, again, map[string]experiments.Outcome{
		"": experiments.Aborted, "one": judged, "two": experiments.Aborted,
	})
}

// What is not kept of a subject does not take back that its experiments were
// carried out.
func TestARunIsNotCalledNotApplicableLater(t *testing.T) {
	t.Parallel()
	got := try(t, t.Context(), trialtest.New(t), testPlans(t, trialtest.Subject(), "low", "one"), nil)
	rewriteRun(t, filepath.Join(got.Dir, "one", "1"), `method:\n`,
		`method:\n  - {name: other, at: 0s, for: 300ms, operation: {migrate: {}}}\n`)
	again, err := Judge(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if o := again.Experiments[0].Verdict.Outcome; o == experiments.NotTried || o == experiments.Error {
		t.Errorf("judged again: %s, %s", o, again.Experiments[0].Verdict.Reason)
	}
}

// One run that cannot be read leaves the verdicts on the others.
func TestADamagedRunIsAnErrorOfItsExperimentAlone(t *testing.T) {
	t.Parallel()
	got := try(t, t.Context(), trialtest.New(t), testPlans(t, trialtest.Subject(), "low", "one", "two", "three"), nil)
	for _, file := range []string{"one/1/" + folder.RunFile, "two/1/" + journal.RequestsFile} {
		if err := os.Remove(filepath.Join(got.Dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Judge(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	expectOutcomes(t, again, map[string]experiments.Outcome{
		"": experiments.Error, "one": experiments.Error, "two": experiments.Error, "three": judged,
	})
	for i, want := range []string{"run.json", "requests.bin is missing"} {
		if got := again.Experiments[i].Verdict.Reason; !strings.Contains(got, want) {
			t.Errorf("reason %q, want %q in it", got, want)
		}
	}
}

// rewriteRun replaces a piece of a run.json.
func rewriteRun(t *testing.T, dir, old, text string) {
	t.Helper()
	path := filepath.Join(dir, folder.RunFile)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("there is no %s in %s", old, b)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), old, text, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFolderOutsideOfTheTrialIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	saved := folder.Trial{Dir: dir, Experiments: []folder.Experiment{{Name: "x", Runs: []string{"../../etc"}}}}
	if err := saved.Write(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("Open = %v, want a refusal", err)
	}
}

func TestTrialsOfOneSecondHaveTheirOwnFolders(t *testing.T) {
	t.Parallel()
	out, now := t.TempDir(), time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	for _, want := range []string{"20260314-150926", "20260314-150926-2", "20260314-150926-3"} {
		made := &folder.Trial{Started: now}
		if err := makeFolder(out, made); err != nil {
			t.Fatal(err)
		}
		if made.Dir != filepath.Join(out, want) || !strings.HasPrefix(made.ID, want+"-") {
			t.Errorf("made %s of %s, want %s", made.Dir, made.ID, want)
		}
		if saved, err := Open(made.Dir); err != nil || saved.ID != made.ID {
			t.Errorf("it cannot be judged: %v", err)
		}
	}
	if unnamed, err := filepath.Glob(filepath.Join(out, ".*")); err != nil || len(unnamed) > 0 {
		t.Errorf("left behind: %v, %v", unnamed, err)
	}
}

func TestAFolderThatWasNotFinishedIsSweptAway(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	old, young := filepath.Join(out, unborn+"1"), filepath.Join(out, unborn+"2")
	for _, dir := range []string{old, young} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := makeFolder(out, &folder.Trial{Started: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(out, unborn+"*")); err != nil || len(left) != 1 || left[0] != young {
		t.Errorf("left are %v (%v), want the young one: it may be another's that is being made", left, err)
	}
}

func TestSummaryNamesAReportOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	page := filepath.Join(dir, folder.ReportFile)
	summary := func() string {
		var b strings.Builder
		report.Text{}.Summary(&b, &folder.Trial{Dir: dir})
		return b.String()
	}
	if s := summary(); strings.Contains(s, page) || !strings.Contains(s, "report: none could be written") {
		t.Errorf("there is no report, and the summary says:\n%s", s)
	}
	if err := WriteReports(&folder.Trial{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, folder.SummaryFile))
	if err != nil || !strings.Contains(string(b), "report: "+page) || !strings.Contains(summary(), "report: "+page) {
		t.Errorf("there is a report, and the summary says (%v):\n%s", err, b)
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	s := trialtest.Subject()
	plans := testPlans(t, s, "low", "http-slow", "http-down", "crash")
	plans[0].Name = "http-slow/payments"
	plans[2].Experiment.Labels = []string{"quick"}
	for _, c := range []struct {
		names, labels []string
		want          []string
		wrong         string
	}{
		{nil, nil, []string{"http-slow/payments", "http-down", "crash"}, ""},
		{[]string{"http-slow"}, nil, []string{"http-slow/payments"}, ""},
		{[]string{"crash", "http-slow/payments"}, nil, []string{"http-slow/payments", "crash"}, ""},
		{[]string{"http-*"}, nil, []string{"http-slow/payments", "http-down"}, ""},
		{nil, []string{"quick"}, []string{"crash"}, ""},
		{[]string{"crsh"}, nil, nil, `no experiment is called "crsh"; did you mean crash`},
		{nil, []string{"quik"}, nil, `no label is called "quik"; did you mean quick`},
		{[]string{"http-down"}, []string{"quick"}, nil, "no experiment has both"},
	} {
		got, err := Select(plans, c.names, c.labels)
		var names []string
		for _, p := range got {
			names = append(names, p.Name)
		}
		if diff := cmp.Diff(c.want, names); diff != "" {
			t.Errorf("Select(%v, %v) (-want +got):\n%s", c.names, c.labels, diff)
		}
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("Select(%v, %v) = %v, want %q", c.names, c.labels, err, c.wrong)
		}
	}
}
