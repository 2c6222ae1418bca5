package runner

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a backend, an environment and a service in one, all in this process.
type fake struct {
	t        *testing.T
	server   *httptest.Server
	broken   atomic.Bool // the service answers 500
	stopped  atomic.Int32
	startErr error
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.broken.Load() && r.URL.Path == "/work" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(f.server.Close)
	return f
}

func (f *fake) Name() string { return "fake" }

func (f *fake) Prepare(context.Context, *subject.Subject, environment.Progress) error { return nil }

func (f *fake) Close() error { return nil }

func (f *fake) Start(
	context.Context, *subject.Subject, journal.Recorder, environment.Options,
) (environment.Environment, error) {
	if f.startErr != nil {
		return nil, f.startErr
	}
	return f, nil
}

func (f *fake) Target(name string) (faults.Target, error) {
	return nil, fmt.Errorf("the fake has no target %q", name)
}
func (f *fake) Targets() []faults.Target         { return nil }
func (f *fake) Endpoint(string) string           { return f.server.URL }
func (f *fake) Replicas() []environment.Replica  { return nil }
func (f *fake) Scale(context.Context, int) error { return errors.New("the fake does not scale") }
func (f *fake) Flush(context.Context) error      { return nil }
func (f *fake) Stop(context.Context) error       { f.stopped.Add(1); return nil }

// act is an action whose doings are counted.
type act struct {
	mu      sync.Mutex
	started int
	stopped int
	start   func() error
	stop    func() error
}

func (a *act) String() string                                        { return "act" }
func (a *act) Supports(*subject.Subject, string) error               { return nil }
func (a *act) Witness(journal.Journal, string, journal.Window) error { return nil }

func (a *act) counts() (started, stopped int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.started, a.stopped
}

func (a *act) Start(context.Context, *experiments.Execution) (func(context.Context) error, error) {
	a.mu.Lock()
	a.started++
	a.mu.Unlock()
	if a.start != nil {
		if err := a.start(); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context) error {
		a.mu.Lock()
		a.stopped++
		a.mu.Unlock()
		if ctx.Err() != nil {
			return fmt.Errorf("the revert was given an ended context: %w", ctx.Err())
		}
		if a.stop != nil {
			return a.stop()
		}
		return nil
	}, nil
}

func plan(actions ...*act) *experiments.Plan {
	s := &subject.Subject{Name: "svc", Promises: journal.DefaultPromises()}
	s.Service.Replicas = 1
	s.Traffic = loadgen.Traffic{
		Rate: 100, Timeout: time.Second, Port: "http",
		Requests: []loadgen.Request{{Name: "work", Weight: 1, Method: http.MethodGet, Path: "/work"}},
	}
	p := &experiments.Plan{
		Name: "trying", Subject: s, Seed: 1, Rate: 100,
		SteadyFor: 300 * time.Millisecond, MethodFor: 400 * time.Millisecond,
		RecoverFor: 100 * time.Millisecond, SettleFor: 10 * time.Millisecond,
	}
	p.Experiment.SteadyState.Expect = []experiments.Expectation{{
		Kind: "success", Detector: &detect.Success{Ratio: 0.995, During: "steady", MinSamples: 10},
	}}
	for i, a := range actions {
		p.Steps = append(p.Steps, experiments.PlannedStep{
			PlannedStep: journal.PlannedStep{
				Name: fmt.Sprintf("step%d", i+1), Action: "act", Class: experiments.ClassFault,
				At:  journal.Instant(p.SteadyFor + time.Duration(i)*50*time.Millisecond),
				For: 200 * time.Millisecond,
			},
			Do: a,
		})
	}
	return p
}

func open(t *testing.T, dir string) journal.Journal {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func phases(j journal.Journal) (names []string) {
	for _, p := range journal.Of[journal.Phase](j) {
		names = append(names, p.Name)
	}
	return names
}

func abortedBy(j journal.Journal) string {
	for _, a := range journal.Of[journal.Aborted](j) {
		return a.By
	}
	return ""
}

func TestARunCarriesItsPlanOut(t *testing.T) {
	f, a, b, dir := newFake(t), &act{}, &act{}, t.TempDir()
	var told atomic.Int32
	err := Run(t.Context(), plan(a, b), 1, f, dir, Options{Trial: "t", Progress: func(Status) { told.Add(1) }})
	if err != nil {
		t.Fatal(err)
	}
	j := open(t, dir)
	want := []string{"up", "setup", "steady", "method", "recovery", "settle", "down"}
	if got := phases(j); !slices.Equal(got, want) {
		t.Errorf("phases %v, want %v", got, want)
	}
	for _, s := range j.Steps() {
		w, ok := s.Window()
		if !ok || !s.Has[journal.PhaseReverted] || w.Length() < 190*time.Millisecond {
			t.Errorf("step %s was in force %v %v and has %v", s.Name, w, ok, s.Has)
		}
	}
	for _, x := range []*act{a, b} {
		if started, stopped := x.counts(); started != 1 || stopped != 1 {
			t.Errorf("an action was started %d times and stopped %d times", started, stopped)
		}
	}
	if n := len(slices.Collect(j.Requests(journal.Window{}))); n < 60 {
		t.Errorf("%d requests are in the journal of 0.65 s at 100/s", n)
	}
	if f.stopped.Load() == 0 || told.Load() == 0 {
		t.Errorf("the environment was stopped %d times, progress told %d times", f.stopped.Load(), told.Load())
	}
}

func TestAnInterruptTakesEverythingBack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a := &act{start: func() error { cancel(); return nil }}
	b := &act{}
	f, dir := newFake(t), t.TempDir()
	if err := Run(ctx, plan(a, b), 1, f, dir, Options{Trial: "t"}); err != nil {
		t.Fatal(err)
	}
	if _, stopped := a.counts(); stopped != 1 {
		t.Errorf("the fault in force was taken back %d times", stopped)
	}
	if started, _ := b.counts(); started != 0 {
		t.Errorf("a later step was begun after the interrupt")
	}
	if by := abortedBy(open(t, dir)); by != "interrupt" {
		t.Errorf("the journal says it was aborted by %q", by)
	}
	if f.stopped.Load() == 0 {
		t.Error("the environment was left up")
	}
}

func TestAFailingStepTakesTheOthersBack(t *testing.T) {
	for name, fails := range map[string]*act{
		"error in start": {start: func() error { return errors.New("no way") }},
		"panic in start": {start: func() error { panic("no way") }},
		"error in stop":  {stop: func() error { return errors.New("no way") }},
		"panic in stop":  {stop: func() error { panic("no way") }},
	} {
		t.Run(name, func(t *testing.T) {
			first := &act{}
			f, dir := newFake(t), t.TempDir()
			err := Run(t.Context(), plan(first, fails), 1, f, dir, Options{Trial: "t"})
			if err == nil || !strings.Contains(err.Error(), "step2") || !strings.Contains(err.Error(), "no way") {
				t.Errorf("the run says %v", err)
			}
			if _, stopped := first.counts(); stopped != 1 {
				t.Errorf("the other fault was taken back %d times", stopped)
			}
			j := open(t, dir)
			if by := abortedBy(j); by != "error" {
				t.Errorf("the journal says it was aborted by %q", by)
			}
			if j.Steps()[1].Error == "" {
				t.Error("the journal does not say why the step failed")
			}
			if f.stopped.Load() == 0 {
				t.Error("the environment was left up")
			}
		})
	}
}

func TestNothingIsBrokenWhenTheSteadyStateDoesNotHold(t *testing.T) {
	f, a, dir := newFake(t), &act{}, t.TempDir()
	f.broken.Store(true)
	if err := Run(t.Context(), plan(a), 1, f, dir, Options{Trial: "t"}); err != nil {
		t.Fatal(err)
	}
	if started, _ := a.counts(); started != 0 {
		t.Error("a fault was injected into a service that did not work")
	}
	j := open(t, dir)
	if by := abortedBy(j); by != "gate" {
		t.Errorf("the journal says it was aborted by %q", by)
	}
	for _, as := range journal.Of[journal.Assessment](j) {
		if as.Outcome != string(detect.Violated) {
			t.Errorf("the gate was found %s", as.Outcome)
		}
	}
}

func TestAnEnvironmentThatDoesNotComeUpIsAnError(t *testing.T) {
	f, dir := newFake(t), t.TempDir()
	f.startErr = errors.New("postgres: no server binaries")
	err := Run(t.Context(), plan(&act{}), 1, f, dir, Options{Trial: "t"})
	if err == nil || !strings.Contains(err.Error(), "no server binaries") {
		t.Errorf("the run says %v", err)
	}
	if by := abortedBy(open(t, dir)); by != "error" {
		t.Errorf("the journal says it was aborted by %q", by)
	}
}

func TestAGuardrailEndsTheRun(t *testing.T) {
	f, dir := newFake(t), t.TempDir()
	a := &act{start: func() error { f.broken.Store(true); return nil }}
	p := plan(a)
	p.Steps[0].For = time.Minute
	p.Experiment.Guardrails = []experiments.Expectation{{
		Kind: "success", Detector: &detect.Success{Ratio: 0.9, During: "all", MinSamples: 10},
	}}
	began := time.Now()
	if err := Run(t.Context(), p, 1, f, dir, Options{Trial: "t"}); err != nil {
		t.Fatal(err)
	}
	if time.Since(began) > 30*time.Second {
		t.Error("the run went on to its plan's end")
	}
	if _, stopped := a.counts(); stopped != 1 {
		t.Errorf("the fault was taken back %d times", stopped)
	}
	if by := abortedBy(open(t, dir)); by != "guardrail" {
		t.Errorf("the journal says it was aborted by %q", by)
	}
}

// since asks to be told that enough has been seen from the instant at which an
// entry of a kind is in the journal.
type since struct {
	detect.Success
	phase string
}

func (s *since) Enough(j journal.Journal, step string) detect.Finding {
	for e, ev := range journal.Of[journal.StepEvent](j) {
		if e.On == step && ev.Phase == s.phase {
			return detect.Finding{Detector: "success", Outcome: detect.Held, Reason: "seen"}
		}
	}
	return detect.Finding{Detector: "success", Outcome: detect.Unknown}
}

func TestAStepEndsWhenEnoughWasSeenAndTheNextBegins(t *testing.T) {
	first, second, whole := &act{}, &act{}, &act{}
	p := plan(first, second, whole)
	p.MethodFor = time.Minute
	p.Steps[0].Of, p.Steps[0].For = "step1", time.Minute
	p.Steps[0].Until = []experiments.Expectation{{Kind: "success", Detector: &since{phase: journal.PhaseInForce}}}
	p.Steps[1].After, p.Steps[1].Wait, p.Steps[1].For = "step1", 10*time.Millisecond, 20*time.Millisecond
	p.Steps[2].ToTheEnd, p.Steps[2].For = true, time.Minute
	dir := t.TempDir()
	began := time.Now()
	if err := Run(t.Context(), p, 1, newFake(t), dir, Options{Trial: "t"}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v, as if nothing had ended early", took)
	}
	j := open(t, dir)
	steps := j.Steps()
	if steps[1].Begun < steps[0].Reverted {
		t.Errorf("the second step began at %v, the first ended at %v", steps[1].Begun, steps[0].Reverted)
	}
	if steps[2].Reverting < steps[1].Reverted {
		t.Errorf(
			"what lasts to the end was taken back at %v, the last step ended at %v",
			steps[2].Reverting,
			steps[1].Reverted,
		)
	}
	said := 0
	for e, a := range journal.Of[journal.Assessment](j) {
		if e.On == "step1" && a.Purpose == journal.PurposeStop && a.Outcome == string(detect.Held) && a.Reason == "seen" {
			said++
		}
	}
	if said != 1 {
		t.Errorf("the answer that ended the step is recorded %d times", said)
	}
	told := false
	for _, g := range experiments.Judge(*p, j).Attempts[0].Guards {
		told = told || g.Detector == "answers" && g.Outcome == detect.Held
	}
	if !told {
		t.Error("judging does not say that the answers are those of the journal")
	}
}
