package suites

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/catalogue"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/backends"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/report"
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
	environment   string
	allowed       []string
}

// Only tries the named experiments alone: "http-slow", "http-slow/payments" or
// a pattern such as "http-*".
func Only(names ...string) Option { return func(o *options) { o.names = append(o.names, names...) } }

// Label tries the experiments that carry one of the labels.
func Label(labels ...string) Option {
	return func(o *options) { o.labels = append(o.labels, labels...) }
}

// Seed makes the plans from a seed. Zero, the default, draws a new one for
// every run; a failure names it.
func Seed(seed uint64) Option { return func(o *options) { o.seed = seed } }

// Attempts is how often an experiment is run at most before its verdict.
// Default 3, which is the most: a violation that rests on timing must be seen
// twice, and where two runs do not agree a third decides. With 1 such a violation
// is unknown.
func Attempts(n int) Option { return func(o *options) { o.attempts = n } }

// Out is the folder in which the trial's own is made. Default "runs" beside the
// subject file.
func Out(dir string) Option { return func(o *options) { o.out = dir } }

// Overlay builds the service with a file for go build -overlay, as mutants of
// the service need. A subject file that it replaces is read from there, too.
func Overlay(file string) Option { return func(o *options) { o.overlay = file } }

// Environment is where the trial runs: "process" or "docker". Default: what the
// subject file says.
func Environment(name string) Option { return func(o *options) { o.environment = name } }

// AllowTarget allows dependencies on hosts that are not this machine.
func AllowTarget(hosts ...string) Option {
	return func(o *options) { o.allowed = append(o.allowed, hosts...) }
}

// sea is a suite's trial: made when the suite is put together, begun with the
// first experiment that is really asked for.
type sea struct {
	subject *subject.Subject
	plans   []experiments.Plan
	options options

	startBy time.Time            // when it must have begun to end before the test's deadline; zero: at any time
	say     environment.Progress // hears what is being prepared; may be nil

	begun   bool
	session *trial.Session // nil until it has begun, and when it could not
	err     error          // why it could not
}

// oneAtATime is held while an experiment goes on, whosever it is: two would
// take each other's processor, and neither could be judged.
var oneAtATime sync.Mutex

// reserved is the time that the unfinished trials of this process need.
var reserved struct {
	sync.Mutex
	time time.Duration
}

func newSea(file string, opts []Option) (*sea, error) {
	o := options{attempts: experiments.MaxAttempts}
	for _, option := range opts {
		option(&o)
	}
	if o.attempts < 1 || o.attempts > experiments.MaxAttempts {
		return nil, fmt.Errorf("try %s: %d attempts are asked for; it must be 1 to %d", file, o.attempts,
			experiments.MaxAttempts)
	}
	if o.seed == 0 {
		now := uint64(time.Now().UnixNano())
		o.seed = rand.New(rand.NewPCG(now, now)).Uint64N(1_000_000) + 1 //nolint:gosec // a seed is no secret
	}
	s, err := load(file, o.overlay)
	if err != nil {
		return nil, err
	}
	if o.out == "" {
		o.out = filepath.Join(s.Dir, "runs")
	}
	if o.out, err = filepath.Abs(o.out); err != nil {
		return nil, fmt.Errorf("find the folder for trials: %w", err)
	}
	s.Environment = cmp.Or(o.environment, s.Environment)
	if o.overlay != "" {
		if s.Service.Build == nil {
			return nil, fmt.Errorf("%s: an overlay needs a service that is built; it has a command", file)
		}
		s.Service.Build.Overlay = o.overlay
		if s.Next != nil && s.Next.Build != nil {
			s.Next.Build.Overlay = o.overlay
		}
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

// load reads a subject file, or what an overlay puts in its place.
func load(file, overlay string) (*subject.Subject, error) {
	if overlay == "" {
		return subject.Load(file)
	}
	b, err := os.ReadFile(overlay)
	if err != nil {
		return nil, fmt.Errorf("read overlay: %w", err)
	}
	var instead struct{ Replace map[string]string }
	if err := json.Unmarshal(b, &instead); err != nil {
		return nil, fmt.Errorf("read overlay %s: %w", overlay, err)
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("find the folder of %s: %w", file, err)
	}
	other, ok := instead.Replace[abs]
	if !ok {
		return subject.Load(file)
	}
	text, err := os.ReadFile(other)
	if err != nil {
		return nil, fmt.Errorf("read subject: %w", err)
	}
	return subject.Decode(file, text)
}

// try tries one experiment; the first call begins the trial.
func (s *sea) try(ctx context.Context, plan string) (folder.Experiment, error) {
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	if err := ctx.Err(); err != nil {
		return folder.Experiment{}, errors.New("the trial was interrupted before this was tried")
	}
	if !s.begun {
		s.begun = true
		s.session, s.err = s.start(ctx)
	}
	if s.err != nil {
		return folder.Experiment{}, s.err
	}
	return s.session.Try(ctx, plan)
}

func (s *sea) start(ctx context.Context) (*trial.Session, error) {
	if err := neverCached(s.options.out); err != nil {
		return nil, err
	}
	backend, err := backends.New(s.subject.Environment, s.options.allowed)
	if err != nil {
		return nil, err
	}
	return trial.Begin(ctx, trial.Config{
		Subject: s.subject, Plans: s.plans, Backend: backend, Seed: s.options.seed,
		Out: s.options.out, Attempts: s.options.attempts, Version: "go test",
		Alone: true, StartBy: s.startBy, Say: s.say,
	})
}

// dir is the trial's folder; empty before it has begun.
func (s *sea) dir() string {
	if s.session == nil {
		return ""
	}
	return s.session.Dir()
}

// report is the trial's report for a browser.
func (s *sea) report() string { return filepath.Join(s.dir(), folder.ReportFile) }

// journal says where the journal of an experiment's last run is.
func (s *sea) journal(e folder.Experiment) string {
	n := len(e.Runs)
	if n == 0 {
		return ""
	}
	return "journal: " + filepath.Join(s.dir(), filepath.FromSlash(e.Runs[n-1]), journal.EntriesFile) + "\n"
}

// undecided says what came of an experiment that did not pass, or came to no verdict:
// it may quote what the service printed.
func (s *sea) undecided(e folder.Experiment) string {
	return fmt.Sprintf("%s %s: %s\n%s", e.Name, e.Verdict.Outcome, report.CleanLines(e.Verdict.Reason),
		s.journal(e)+s.again(e))
}

// again is the command that tries an experiment again from the same seed.
func (s *sea) again(e folder.Experiment) string {
	file, err := filepath.Abs(s.subject.File)
	if err != nil {
		file = s.subject.File
	}
	return fmt.Sprintf("seed: %d; the same again: seatrial run %s -f %s --seed %[1]d\n", s.options.seed, e.Name, file)
}

// end ends the trial and writes its reports.
func (s *sea) end(ctx context.Context) error {
	if s.session == nil {
		return nil
	}
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	_, err := s.session.End(ctx)
	return err
}
