package trial

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/runner"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial/folder"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a backend, an environment and a service in one, in this process.
type fake struct {
	server     *httptest.Server
	brokenFrom atomic.Int64 // the service answers 500 from this hit on; zero: never
	hits       atomic.Int64
	prepare    error
	start      func(n int64) error
	starts     atomic.Int64
	up, peak   atomic.Int64
	closed     atomic.Int64
}

func newFake(t *testing.T) *fake {
	f := &fake{}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := f.hits.Add(1)
		if from := f.brokenFrom.Load(); from > 0 && n >= from {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) Name() string { return "fake" }
func (f *fake) Prepare(context.Context, *subject.Subject, environment.Progress) error {
	return f.prepare
}
func (f *fake) Close() error                         { f.closed.Add(1); return nil }
func (f *fake) Target(string) (faults.Target, error) { return nil, errors.New("none") }
func (f *fake) Targets() []faults.Target             { return nil }
func (f *fake) Endpoint(string) string               { return f.server.URL }
func (f *fake) Replicas() []environment.Replica      { return nil }
func (f *fake) Scale(context.Context, int) error     { return errors.New("none") }
func (f *fake) Flush(context.Context) error          { return nil }
func (f *fake) Stop(context.Context) error           { f.up.Add(-1); return nil }
func (f *fake) Start(
	context.Context, *subject.Subject, journal.Recorder, environment.Options,
) (environment.Environment, error) {
	n := f.starts.Add(1)
	if f.start != nil {
		if err := f.start(n); err != nil {
			return nil, err
		}
	}
	f.peak.Store(max(f.peak.Load(), f.up.Add(1)))
	return f, nil
}

func testSubject() *subject.Subject {
	s := &subject.Subject{Version: 1, Name: "svc", Promises: journal.DefaultPromises(), Defaults: []string{"drain"}}
	s.Service.Replicas = 1
	s.Service.Env = map[string]string{"TOKEN": "hunter2"}
	s.Traffic = loadgen.Traffic{
		Rate: 200, Timeout: time.Second, Port: "http", Headers: map[string]string{"Authorization": "hunter2"},
		Requests: []loadgen.Request{{Name: "work", Weight: 1, Method: http.MethodGet, Path: "/work", Success: []string{"2xx"}}},
	}
	return s
}

const quick = `
version: 1
name: NAME
title: It answers
processor: PROCESSOR
steady_state: {for: 600ms}
recovery: 600ms
settle: 10ms
expect:
  - success: {ratio: 0.9, during: all, min_samples: 20}
`

func testPlans(t *testing.T, s *subject.Subject, processor string, names ...string) []experiments.Plan {
	t.Helper()
	var all []experiments.Experiment
	for _, name := range names {
		text := strings.NewReplacer("NAME", name, "PROCESSOR", processor).Replace(quick)
		e, err := experiments.Decode(name+".yaml", []byte(text))
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

func try(t *testing.T, ctx context.Context, f *fake, plans []experiments.Plan, change func(*Config)) *folder.Trial {
	t.Helper()
	c := Config{
		Subject: plans[0].Subject, Plans: plans, Backend: f, Seed: 7, Out: filepath.Join(t.TempDir(), "runs"), Version: "test",
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

func outcomes(t *folder.Trial) map[string]experiments.Outcome {
	out := map[string]experiments.Outcome{"": t.Outcome}
	for _, e := range t.Experiments {
		out[e.Name] = e.Verdict.Outcome
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
	f := newFake(t)
	var told []string
	got := try(t, t.Context(), f, testPlans(t, testSubject(), "low", "one", "two", "three"), func(c *Config) {
		c.Verdict = func(_ *folder.Trial, e folder.Experiment) { told = append(told, e.Name) }
		c.Status = func(runner.Status) {}
	})
	expectOutcomes(t, got, map[string]experiments.Outcome{
		"": experiments.Passed, "one": experiments.Passed, "two": experiments.Passed, "three": experiments.Passed,
	})
	if len(told) != 3 || f.peak.Load() != 2 || f.closed.Load() != 1 {
		t.Errorf("verdicts %v, %d environments at once, closed %d times; want 3, 2 and 1", told, f.peak.Load(), f.closed.Load())
	}
	for _, name := range []string{
		folder.TrialFile, folder.SummaryFile, folder.JUnitFile, folder.ReportFile,
		"one/1/run.json", "one/1/journal.jsonl", "one/1/requests.csv", "one/1/requests.bin",
	} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(got.Dir), "latest", name))
		if err != nil {
			t.Error(err)
		}
		if strings.Contains(string(b), "hunter2") {
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

func TestHighPlansRunAlone(t *testing.T) {
	f := newFake(t)
	try(t, t.Context(), f, testPlans(t, testSubject(), "high", "one", "two"), nil)
	if f.peak.Load() != 1 {
		t.Errorf("%d environments at once, want 1", f.peak.Load())
	}
}

func TestFailureIsConfirmed(t *testing.T) {
	f := newFake(t)
	f.brokenFrom.Store(170) // after the gate of the first attempt
	plans := testPlans(t, testSubject(), "low", "one")
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
	f := newFake(t)
	f.start = func(n int64) error {
		switch n {
		case 1:
			panic("boom")
		case 2:
			return errors.New("port 80 is in use")
		}
		return nil
	}
	got := try(t, t.Context(), f, testPlans(t, testSubject(), "high", "one", "two", "three"), nil)
	expectOutcomes(t, got, map[string]experiments.Outcome{
		"": experiments.Error, "one": experiments.Error, "two": experiments.Error, "three": experiments.Passed,
	})
	if r := got.Experiments[0].Verdict.Reason; !strings.Contains(r, "boom") {
		t.Errorf("the panic is not in the reason: %s", r)
	}
	if r := got.Experiments[1].Verdict.Reason; !strings.Contains(r, "port 80 is in use") {
		t.Errorf("the error is not in the reason: %s", r)
	}
}

func TestPrepareThatFailsStopsTheTrial(t *testing.T) {
	f := newFake(t)
	f.prepare = errors.New("build service: syntax error")
	got := try(t, t.Context(), f, testPlans(t, testSubject(), "low", "one"), nil)
	expectOutcomes(t, got, map[string]experiments.Outcome{"": experiments.Error, "one": ""})
	b, err := os.ReadFile(filepath.Join(got.Dir, folder.SummaryFile))
	if err != nil || !strings.Contains(string(b), "syntax error") {
		t.Errorf("the summary does not say why: %v\n%s", err, b)
	}
}

func TestInterruptedTrial(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.start = func(n int64) error {
		if n == 2 {
			time.AfterFunc(300*time.Millisecond, cancel)
		}
		return nil
	}
	got := try(t, ctx, f, testPlans(t, testSubject(), "high", "one", "two", "three"), nil)
	expectOutcomes(t, got, map[string]experiments.Outcome{
		"": experiments.Aborted, "one": experiments.Passed, "two": experiments.Aborted, "three": experiments.Aborted,
	})
	if f.up.Load() != 0 {
		t.Errorf("%d environments are still up", f.up.Load())
	}
	again, err := Judge(got.Dir)
	if err != nil {
		t.Fatal(err)
	}
	expectOutcomes(t, again, outcomes(got))
}

func TestNotApplicableIsReportedAndNotRun(t *testing.T) {
	f := newFake(t)
	plans := testPlans(t, testSubject(), "low", "one")
	plans[0].NotApplicable = "svc has no redis"
	got := try(t, t.Context(), f, plans, nil)
	expectOutcomes(t, got, map[string]experiments.Outcome{"": experiments.Inconclusive, "one": experiments.NotTried})
	if f.starts.Load() != 0 {
		t.Error("an environment was started for it")
	}
}

func TestKilledTrialIsJudgedAsFarAsItCame(t *testing.T) {
	f := newFake(t)
	got := try(t, t.Context(), f, testPlans(t, testSubject(), "low", "one", "two"), nil)
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
		"": experiments.Aborted, "one": experiments.Passed, "two": experiments.Aborted,
	})
}

func TestFolderOutsideOfTheTrialIsRefused(t *testing.T) {
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
	out, now := t.TempDir(), time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)
	first, err1 := makeFolder(out, now)
	second, err2 := makeFolder(out, now)
	if err1 != nil || err2 != nil || first == second {
		t.Fatalf("%s, %v; %s, %v", first, err1, second, err2)
	}
	if to, err := os.Readlink(filepath.Join(out, "latest")); err != nil || to != filepath.Base(second) {
		t.Errorf("latest is %s, %v; want %s", to, err, filepath.Base(second))
	}
}

func TestSelect(t *testing.T) {
	s := testSubject()
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
