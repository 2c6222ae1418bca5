// Package trial carries a whole trial out: it makes the trial's folder, runs
// the plans one after the other (those that need little of the processor beside
// each other), judges every run as it ends, tries again what must be confirmed,
// and writes the reports. It also judges and reports a saved trial again.
package trial

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/runner"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// Config says what a trial tries, on what and where.
type Config struct {
	Subject *subject.Subject
	// Plans are tried in this order. Those that are not applicable are
	// reported as such.
	Plans   []experiments.Plan
	Backend environment.Backend
	// Seed is the one that the plans were made with; it is written down.
	Seed uint64
	// Out is the folder that trials are collected in; the trial's own is made
	// inside. Default "runs".
	Out string
	// Attempts is how often an experiment is run at most. Default 3: once, again
	// where [experiments.Confirm] asks for it, and a last time where those two
	// do not agree. 1 means that nothing is confirmed.
	Attempts int
	// Alone has the trial wait, before anything of it is started, for one of
	// another process on this machine (with the same folder for temporary
	// files) that asked the same. StartBy is the latest instant at
	// which it may have its turn; zero: there is none.
	Alone   bool
	StartBy time.Time
	// Version is seatrial's; Versions are further ones worth writing down.
	Version  string
	Versions map[string]string

	// Began hears where the trial's folder is, before anything starts; Say what
	// is being prepared; Status how far the runs have come; Verdict each
	// verdict as it comes. All may be nil; they are called from several
	// goroutines, but never two at once.
	Began   func(*folder.Trial)
	Say     environment.Progress
	Status  func(runner.Status)
	Verdict func(*folder.Trial, folder.Experiment)
}

// Result is what came of a trial.
type Result = *folder.Trial

// Run carries the trial out. Whatever happens, it leaves a folder with all that
// was seen and the reports; the result's Outcome says how it went, and its Error
// what stopped it as a whole. When the context ends, the run under way is
// reverted and the outcome is aborted. The error says that the folder or the
// reports could not be written.
func Run(ctx context.Context, c Config) (Result, error) {
	r, err := start(c)
	if err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		r.trial.Error = told(err, r.trial.Dir).Error()
	} else {
		r.all(ctx)
	}
	return r.end(ctx)
}

// start makes the trial's folder and says so.
func start(c Config) (*running, error) {
	c.fill()
	c.Plans = slices.Clone(c.Plans) // some may turn out to be not applicable
	t, err := c.begin()
	if err != nil {
		return nil, err
	}
	if c.Began != nil {
		c.Began(t)
	}
	return &running{Config: c, trial: t, load: semaphore.NewWeighted(places)}, nil
}

// end closes the backend and writes the outcome and the reports.
func (r *running) end(ctx context.Context) (Result, error) {
	t := r.trial
	if err := r.Backend.Close(); err != nil && t.Error == "" {
		t.Error = fmt.Sprintf("close the %s environment: %v", r.Backend.Name(), err)
	}
	if r.alone {
		r.alone = false
		if err := ours.give(); err != nil && t.Error == "" {
			t.Error = err.Error()
		}
	}
	t.Ended = time.Now()
	t.Outcome = outcome(t)
	if ctx.Err() != nil {
		t.Outcome = experiments.Aborted
	}
	return t, told(errors.Join(t.Write(), WriteReports(t)), t.Dir)
}

func (c *Config) fill() {
	if c.Out == "" {
		c.Out = "runs"
	}
	if c.Attempts <= 0 {
		c.Attempts = experiments.MaxAttempts
	}
}

// begin writes down what is known before the trial, into a folder of its own.
func (c *Config) begin() (*folder.Trial, error) {
	t := &folder.Trial{
		Started: time.Now(), Seed: c.Seed,
		Service: c.Subject.Name, SubjectFile: c.Subject.File, Digest: digest(c.Subject.File),
		Environment: c.Backend.Name(), CPUs: runtime.NumCPU(),
		Promises: c.Subject.Promises, Defaults: c.Subject.Defaults,
		Versions: map[string]string{
			"seatrial": c.Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
		},
	}
	maps.Copy(t.Versions, c.Versions)
	for i := range c.Plans {
		t.Experiments = append(t.Experiments, describe(&c.Plans[i]))
	}
	if err := makeFolder(c.Out, t); err != nil {
		return nil, err
	}
	return t, pointLatest(c.Out, filepath.Base(t.Dir))
}

func describe(p *experiments.Plan) folder.Experiment {
	e := folder.Experiment{
		Name: p.Name, Title: p.Experiment.Title, Description: p.Experiment.Description,
		Target: p.Target, Labels: p.Experiment.Labels,
	}
	for _, x := range p.Experiment.Expect {
		e.Expect = append(e.Expect, x.Kind)
	}
	e.Verdict.Experiment = p.Name
	if p.NotApplicable != "" {
		e.Verdict.Outcome, e.Verdict.Reason = experiments.NotTried, p.NotApplicable
	}
	return e
}

// unborn begins the name of a trial's folder until its trial.json is in it.
const unborn = ".begun-"

// makeFolder makes out/<time> with its trial.json, both at once: whenever
// seatrial is killed, there is no folder of that name that cannot be judged.
func makeFolder(out string, t *folder.Trial) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the trial's folder: %w; name another with --out", err)
		}
	}()
	if err := os.MkdirAll(out, folder.Mode); err != nil {
		return err
	}
	sweep(out)
	t.Dir, err = os.MkdirTemp(out, unborn)
	if err != nil {
		return err
	}
	defer func(dir string) {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}(t.Dir)
	if err := os.Chmod(t.Dir, folder.Mode); err != nil {
		return err
	}
	name := t.Started.UTC().Format("20060102-150405")
	for i := 1; ; i++ {
		dir := filepath.Join(out, name)
		if i > 1 {
			dir += "-" + strconv.Itoa(i)
		}
		t.ID = filepath.Base(dir) + "-" + strconv.Itoa(os.Getpid())
		if err := t.Write(); err != nil {
			return err
		}
		err := os.Rename(t.Dir, dir)
		if taken := errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY); taken && i < 1000 {
			continue
		}
		if err == nil {
			t.Dir = dir
		}
		return err
	}
}

// sweep removes folders that a seatrial was killed over before they had their
// name; a minute is long enough for that.
func sweep(out string) {
	found, _ := filepath.Glob(filepath.Join(out, unborn+"*"))
	for _, dir := range found {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Minute {
			_ = os.RemoveAll(dir)
		}
	}
}

func pointLatest(out, name string) error {
	tmp := filepath.Join(out, ".latest-"+name)
	if err := os.Symlink(name, tmp); err != nil {
		return fmt.Errorf("point %s at the trial: %w", filepath.Join(out, "latest"), err)
	}
	if err := os.Rename(tmp, filepath.Join(out, "latest")); err != nil {
		return fmt.Errorf("point %s at the trial: %w", filepath.Join(out, "latest"), errors.Join(err, os.Remove(tmp)))
	}
	return nil
}

func digest(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// places is how many runs that use little of the processor go on at once; any
// other run takes all places.
const places = 2

// running is a trial while it goes on.
type running struct {
	Config
	load  *semaphore.Weighted
	alone bool // it has this machine's turn

	mu    sync.Mutex // guards all below, and the functions of Config
	trial *folder.Trial
}

func (r *running) prepare(ctx context.Context) (err error) {
	defer recovered("prepare", &err)
	say := func(what string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.Say.Say(what)
	}
	applicable := false
	for i := range r.Plans {
		applicable = applicable || r.Plans[i].NotApplicable == ""
	}
	if !applicable {
		return nil
	}
	if r.Alone {
		err = ours.await(ctx, r.StartBy, say)
		r.alone = err == nil
	}
	if err == nil {
		err = r.Backend.Prepare(ctx, r.Subject, say)
	}
	if err == nil {
		err = r.refuse(ctx)
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the trial was interrupted while it was prepared: %w", err)
	}
	return err
}

// all runs every plan, in order, as far as the processor allows side by side.
func (r *running) all(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range r.Plans {
		if r.Plans[i].NotApplicable != "" {
			r.settle(i, r.trial.Experiments[i].Verdict, 0)
			continue
		}
		weight := int64(places)
		if r.Plans[i].Experiment.Processor == "low" {
			weight = 1
		}
		if r.load.Acquire(ctx, weight) != nil || ctx.Err() != nil {
			r.settle(i, experiments.Verdict{
				Experiment: r.Plans[i].Name, Outcome: experiments.Aborted,
				Reason: "the trial was ended before this was tried",
			}, 0)
			continue
		}
		wg.Go(func() {
			defer r.load.Release(weight)
			r.one(ctx, i)
		})
	}
}

// one tries one experiment, again where its verdict asks for it.
func (r *running) one(ctx context.Context, i int) {
	began := time.Now()
	var attempts []attempt
	var verdict experiments.Verdict
	for again := true; again && len(attempts) < r.Attempts; {
		attempts = append(attempts, r.attempt(ctx, i, len(attempts)+1))
		verdict, again = judge(&r.Plans[i], attempts)
		again = again && ctx.Err() == nil
	}
	for k := range attempts {
		err := attempts[k].write(verdict)
		if err != nil && verdict.Outcome != experiments.Failed && verdict.Outcome != experiments.Error {
			verdict.Outcome, verdict.Reason = experiments.Error, told(err, r.trial.Dir).Error()
		}
	}
	r.settle(i, verdict, time.Since(began))
}

// settle writes a verdict down and tells it.
func (r *running) settle(i int, v experiments.Verdict, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := &r.trial.Experiments[i]
	e.Verdict, e.Took = v, took
	if err := r.trial.Write(); err != nil && r.trial.Error == "" && v.Outcome != experiments.Error {
		r.trial.Error = told(err, r.trial.Dir).Error()
	}
	if r.Verdict != nil {
		r.Verdict(r.trial, *e)
	}
}

// panicked is a panic as an error.
type panicked struct {
	what  string
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("%s: panic: %v", p.what, p.value) }

// recovered makes a panic of the function that defers it an error.
func recovered(what string, err *error) {
	if value := recover(); value != nil {
		*err = &panicked{what, value, debug.Stack()}
	}
}
