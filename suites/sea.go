package suites

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/environment/process"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// Option changes what a suite tries.
type Option func(*options)

type options struct {
	names, labels []string
	seed          uint64
	attempts      int
	out           string
	overlay       string
}

// Only tries the named experiments alone: "http-slow", "http-slow/payments" or
// a pattern such as "http-*".
func Only(names ...string) Option { return func(o *options) { o.names = append(o.names, names...) } }

// Label tries the experiments that carry one of the labels.
func Label(labels ...string) Option {
	return func(o *options) { o.labels = append(o.labels, labels...) }
}

// Seed makes the plans from a seed; without it every run draws a new one, which
// the trial's folder names.
func Seed(seed uint64) Option { return func(o *options) { o.seed = seed } }

// Attempts is how often an experiment is run at most before its verdict.
// Default 2: a violation that rests on timing must be seen twice.
func Attempts(n int) Option { return func(o *options) { o.attempts = n } }

// Out is the folder in which the trial's own is made. Default "runs" beside the
// subject file.
func Out(dir string) Option { return func(o *options) { o.out = dir } }

// Overlay builds the service with a file for go build -overlay, as mutants of
// the service need.
func Overlay(file string) Option { return func(o *options) { o.overlay = file } }

// sea is a suite's trial: made when the suite is put together, begun with the
// first experiment that is really asked for.
type sea struct {
	subject *subject.Subject
	plans   []experiments.Plan
	options options

	begin   sync.Once
	session *trial.Session
	err     error
	mu      sync.Mutex // one experiment at a time
}

// perRun is what an environment's start and stop and the judging add to a
// plan's own time.
const perRun = 5 * time.Second

func newSea(file string, opts []Option) (*sea, error) {
	o := options{attempts: 2, seed: uint64(time.Now().UnixNano())}
	for _, option := range opts {
		option(&o)
	}
	s, err := subject.Load(file)
	if err != nil {
		return nil, err
	}
	if o.out == "" {
		o.out = filepath.Join(s.Dir, "runs")
	}
	if o.overlay != "" {
		if s.Service.Build == nil {
			return nil, fmt.Errorf("%s: an overlay needs a service that is built; it has a command", file)
		}
		s.Service.Build.Overlay = o.overlay
	}
	own, err := trial.Own(s)
	if err != nil {
		return nil, err
	}
	all, err := trial.Merge(catalogue.All(), own)
	if err != nil {
		return nil, err
	}
	plans, err := trial.Plans(all, s, o.seed)
	if err != nil {
		return nil, err
	}
	plans, err = trial.Select(plans, o.names, o.labels)
	return &sea{subject: s, plans: plans, options: o}, err
}

// needs is how long the plans take, an attempt each, and a second one for a
// third of them.
func (s *sea) needs() time.Duration {
	total := 30 * time.Second // to build the service and make the database's template
	for i := range s.plans {
		if s.plans[i].NotApplicable == "" {
			total += s.plans[i].Duration() + perRun
		}
	}
	if s.options.attempts > 1 {
		total += total / 3
	}
	return total
}

// near says that a deadline is too near for the plans, and which timeout is
// needed.
func (s *sea) near(deadline time.Time, has bool) error {
	need := s.needs()
	if !has || time.Until(deadline) >= need {
		return nil
	}
	return fmt.Errorf("the test's deadline is %v away and the trial of %s needs %v: run go test with -timeout %v or more",
		time.Until(deadline).Round(time.Second), s.subject.Name, need.Round(time.Second),
		(need + time.Minute).Round(time.Minute))
}

// try tries one experiment; the first call begins the trial.
func (s *sea) try(ctx context.Context, plan string) (folder.Experiment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin.Do(func() {
		if s.err = neverCached(s.options.out); s.err != nil {
			return
		}
		s.session, s.err = trial.Begin(ctx, trial.Config{
			Subject: s.subject, Plans: s.plans, Backend: &process.Backend{}, Seed: s.options.seed,
			Out: s.options.out, Attempts: s.options.attempts, Version: "go test",
		})
	})
	if s.err != nil {
		return folder.Experiment{}, s.err
	}
	return s.session.Try(ctx, plan)
}

// dir is the trial's folder; empty before it has begun.
func (s *sea) dir() string {
	if s.session == nil {
		return ""
	}
	return s.session.Dir()
}

// end ends the trial and writes its reports.
func (s *sea) end(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return nil
	}
	_, err := s.session.End(ctx)
	return err
}

// neverCached keeps go test from answering with an earlier result: it knows
// nothing of the service that is built here. A result is cached only when the
// files that the test has opened are as they were, and this one never is.
func neverCached(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a trial is there to be read by others
		return fmt.Errorf("make %s: %w", dir, err)
	}
	path := filepath.Join(dir, ".never-cached")
	if err := os.WriteFile(path, []byte(time.Now().Format(time.RFC3339Nano)), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err := os.ReadFile(path)
	return err
}
