package suites

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/trial"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// Run tries a subject as subtests of a plain test: one for each experiment, and
// within it one for each finding. Only experiments that -run matches are
// carried out. A finding that is violated fails its subtest; one that is not
// applicable is skipped; an experiment that is inconclusive fails, since
// nothing was shown. A failure says where its journal is, and which command
// does the same again from the same seed.
//
// A deadline (go test -timeout) that is too near for the experiments is refused
// before anything starts. An interrupt takes back what is in force and ends the
// trial. The result is never answered from go test's cache.
//
// Run may be called in parallel tests: experiments take turns all over the
// process, since two at once would take each other's processor. Packages are
// processes of their own, which go test runs side by side: their trials wait
// for each other (and for a seatrial run), as long as the deadline leaves time.
// Of the processes of ginkgo -p, the first tries and the others skip.
func Run(t *testing.T, file string, opts ...Option) {
	t.Helper()
	if suite, _ := ginkgo.GinkgoConfiguration(); suite.ParallelTotal > 1 && suite.ParallelProcess != 1 {
		t.Skipf("this is process %d of ginkgo's %d; the first one tries %s", suite.ParallelProcess, suite.ParallelTotal, file)
	}
	s, err := newSea(file, opts)
	if err != nil {
		t.Fatal(err)
	}
	need := s.needs(func(p *experiments.Plan) bool { return runMatches(runPattern(), t.Name()+"/"+p.Name) })
	finished, err := s.reserve(t, need)
	defer finished()
	if err != nil {
		t.Fatal(err)
	}
	s.say = func(what string) { t.Log("preparing: " + what) }
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second interrupt ends the process at once, and the watcher cleans up
	for i := range s.plans {
		t.Run(s.plans[i].Name, func(t *testing.T) {
			e, err := s.try(ctx, s.plans[i].Name)
			if err != nil {
				t.Fatal(report.CleanLines(err.Error()))
			}
			s.check(t, e)
		})
	}
	if err := s.end(ctx); err != nil {
		t.Error(err)
	}
	if dir := s.dir(); dir != "" {
		t.Logf("the trial's report is %s; its seed was %d", s.report(), s.options.seed)
	}
}

// reserve refuses a test's deadline that is too near for the time that is
// needed, beside that of other trials of this process that are not finished.
func (s *sea) reserve(t *testing.T, need time.Duration) (finished func(), err error) {
	t.Helper()
	reserved.Lock()
	defer reserved.Unlock()
	all := reserved.time + need
	deadline, has := t.Deadline()
	if err := s.near(deadline, has, all); err != nil && need > 0 {
		return func() {}, err
	}
	reserved.time = all
	return func() {
		reserved.Lock()
		defer reserved.Unlock()
		reserved.time -= need
	}, nil
}

func runPattern() string {
	if f := flag.Lookup("test.run"); f != nil {
		return f.Value.String()
	}
	return ""
}

func (s *sea) check(t *testing.T, e folder.Experiment) {
	t.Helper()
	if e.Verdict.Outcome == experiments.NotTried {
		t.Skip(report.Clean(e.Verdict.Reason))
	}
	for _, f := range e.Verdict.Findings {
		t.Run(f.Detector, func(t *testing.T) {
			switch f.Outcome {
			case detect.Held:
				t.Log(explain(f))
			case detect.NotApplicable:
				t.Skip(report.Clean(f.Reason))
			default:
				t.Error(explain(f) + s.journal(e))
			}
		})
	}
	if e.Verdict.Outcome != experiments.Passed {
		t.Error(s.undecided(e))
	}
}

// Try tries a subject without a test's subtests and returns what came of each
// experiment: for tests that expect a verdict other than passed, such as those
// of a mutant.
func Try(ctx context.Context, file string, opts ...Option) ([]folder.Experiment, error) {
	s, err := newSea(file, opts)
	if err != nil {
		return nil, err
	}
	var all []folder.Experiment
	for i := range s.plans {
		e, err := s.try(ctx, s.plans[i].Name)
		if err != nil {
			return nil, errors.Join(err, s.end(ctx))
		}
		all = append(all, e)
	}
	return all, s.end(ctx)
}

// Record tries one experiment once and returns its journal, for tests that ask
// it with matchers of their own choice. The experiment is named with its target
// where it has several. It is an error when the run could not be made.
func Record(ctx context.Context, file, experiment string, opts ...Option) (journal.Journal, error) {
	s, err := newSea(file, append(slices.Clone(opts), Only(experiment), Attempts(1)))
	if err != nil {
		return nil, err
	}
	if len(s.plans) != 1 {
		return nil, fmt.Errorf("record %s: there are %d experiments of that name: %s; choose one",
			experiment, len(s.plans), strings.Join(trial.Names(s.plans), ", "))
	}
	e, err := s.try(ctx, s.plans[0].Name)
	if err := errors.Join(err, s.end(ctx)); err != nil {
		return nil, fmt.Errorf("record %s: %w", experiment, err)
	}
	if e.Verdict.Outcome == experiments.Error || len(e.Runs) == 0 {
		return nil, fmt.Errorf("record %s: %s", experiment, report.CleanLines(e.Verdict.Reason))
	}
	return journal.Open(filepath.Join(s.dir(), filepath.FromSlash(e.Runs[len(e.Runs)-1])))
}
