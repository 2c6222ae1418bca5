package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// An interrupt, whenever it comes, puts everything back and leaves reports.
func TestInterrupted(t *testing.T) {
	for _, c := range []struct {
		phase, when string
		changes     []string
	}{
		{"", "preparing: building", nil}, // no run has begun
		{"up", "dip/prices: up", []string{ownEnv, "env: {MODE: unready, "}},
		{"setup", "dip/prices: setup", []string{
			"traffic:", "traffic:\n  setup: [{name: wait, path: /wait}]",
		}},
		{"steady", "dip/prices: steady", nil},
		{"method", "in force: gone", nil},
		{"recovery", "dip/prices: recovery", nil},
	} {
		t.Run(or(c.phase, "preparing"), func(t *testing.T) {
			t.Parallel()
			y := newYard(t, c.changes...)
			v := y.start("run", "dip")
			v.until(c.when)
			v.signal(syscall.SIGINT)
			v.ended(experiments.ExitAborted, "interrupted: putting everything back", "ABORTED")
			trial := y.trial()
			y.reported(trial)
			if trial.Outcome != experiments.Aborted || trial.Ended.IsZero() {
				t.Errorf("the trial's outcome is %q, ended %v", trial.Outcome, trial.Ended)
			}
			if c.phase != "" {
				y.abortedIn(trial, c.phase)
			}
			y.savedIsWhole(trial.Dir)
		})
	}
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// abortedIn holds that the trial's only journal says that an interrupt ended
// the run in this phase, and that what was in force was taken back.
func (y *yard) abortedIn(trial *folder.Trial, phase string) {
	y.t.Helper()
	j, err := journal.Open(filepath.Join(trial.Dir, filepath.FromSlash(trial.Experiments[0].Runs[0])))
	y.must(err)
	var phases []string
	for _, p := range journal.Of[journal.Phase](j) {
		phases = append(phases, p.Name)
	}
	if phases = slices.DeleteFunc(phases, func(p string) bool { return p == "down" }); phases[len(phases)-1] != phase {
		y.t.Errorf("the phases were %v; the last was to be %s", phases, phase)
	}
	by := ""
	for _, a := range journal.Of[journal.Aborted](j) {
		by += a.By
	}
	if by != "interrupt" {
		y.t.Errorf("the journal says that the run was aborted by %q, want interrupt", by)
	}
	balance := 0
	for _, e := range journal.Of[journal.StepEvent](j) {
		switch e.Phase {
		case journal.PhaseInForce:
			balance++
		case journal.PhaseReverted:
			balance--
		}
	}
	if balance != 0 {
		y.t.Errorf("%d steps in force were not taken back", balance)
	}
}

// A terminal that is gone ends a trial as an interrupt does.
func TestTerminalGone(t *testing.T) {
	t.Parallel()
	// Where these tests were started by nohup, what they start ignores the signal,
	// too, unless they catch it.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	y := newYard(t)
	v := y.start("run", "dip")
	v.until("in force: gone")
	v.signal(syscall.SIGHUP)
	v.ended(experiments.ExitAborted, "ABORTED")
	y.reported(y.trial())
}

// Nobody reads any more what a trial prints (seatrial run | head): it goes on to
// its end and leaves its reports.
func TestReaderGone(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	r, w, err := os.Pipe()
	y.must(err)
	y.must(r.Close())
	v := y.startInto(w, "run", "dip", "--attempts=1")
	y.must(w.Close())
	if code := v.wait(); code != experiments.ExitPassed && code != experiments.ExitInconclusive {
		t.Errorf("exit code %d", code)
	}
	v.nothingLeft()
	y.reported(y.trial())
}

// The second interrupt does not wait for anything, and the watcher cleans up.
func TestInterruptedTwice(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	// Taking this back takes as long as a connection lives on.
	y.file("experiments/dip.yaml", strings.Replace(dip, "fault: outage", "fault: {reset: {after: 2s}}", 1))
	v := y.start("run", "dip")
	v.until("in force: gone")
	<-time.After(300 * time.Millisecond) // until some connections are held
	v.signal(syscall.SIGINT)
	v.until("once more stops at once")
	began := time.Now()
	v.signal(syscall.SIGINT)
	v.ended(experiments.ExitAborted)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	if trial := y.trial(); !trial.Ended.IsZero() {
		t.Error("it did not stop at once, but ended in order")
	}
	y.savedIsWhole(y.trials()[0])
}

// savedIsWhole holds that a trial that was killed can be judged and reported.
func (y *yard) savedIsWhole(dir string) {
	y.t.Helper()
	y.run("judge", dir).ended(experiments.ExitAborted, "ABORTED")
	y.run("report", dir).ended(experiments.ExitPassed, "wrote ")
	trial, err := folder.Read(dir)
	y.must(err)
	y.reported(trial)
	if trial.Outcome != experiments.Aborted {
		y.t.Errorf("the trial's outcome is %q", trial.Outcome)
	}
}

// SIGKILL of seatrial, at moments drawn from a seed, leaves nothing behind but
// a folder that can be judged, and that holds what was seen until just then.
// SEATRIAL_LONG=1 draws more moments, from a new seed; SEATRIAL_SEED=n repeats
// those of an earlier one.
func TestKilled(t *testing.T) {
	rounds, seed := 10, uint64(2026)
	if os.Getenv("SEATRIAL_LONG") != "" {
		rounds, seed = 60, uint64(time.Now().UnixNano())
	}
	if again, err := strconv.ParseUint(os.Getenv("SEATRIAL_SEED"), 10, 64); err == nil {
		seed = again
	}
	t.Logf("seed %d", seed)
	draws := rand.New(rand.NewPCG(seed, seed))
	changes := []string{ownEnv, "env: {MODE: orphan-ready, ", "dependencies:", "dependencies:\n  cache: {kind: redis}"}
	if _, ok, err := postgres.Find(t.Context(), ""); err == nil && ok {
		changes = append(changes, "dependencies:", "dependencies:\n  db: {kind: postgres}")
	}
	for round := range rounds {
		wait := time.Duration(draws.Int64N(int64(4500 * time.Millisecond)))
		t.Run(fmt.Sprintf("%d after %v", round+1, wait.Round(time.Millisecond)), func(t *testing.T) {
			t.Parallel()
			y := newYard(t, changes...)
			v := y.start("run", "dip", "--attempts=1")
			v.until("trial of tiny")
			select {
			case <-time.After(wait):
			case <-v.done:
				t.Fatalf("it ended by itself:\n%s%s", v.out.String(), v.errors.String())
			}
			v.signal(syscall.SIGKILL)
			killed := time.Now()
			v.ended(-1)
			dir := y.trials()[0]
			y.recordedUntil(dir, killed)
			y.savedIsWhole(dir)
		})
	}
}

// recordedUntil holds that the journal of a killed trial reaches to shortly
// before its end.
func (y *yard) recordedUntil(dir string, end time.Time) {
	y.t.Helper()
	trial, err := folder.Read(dir)
	y.must(err)
	for _, rel := range trial.Experiments[0].Runs {
		j, err := journal.Open(filepath.Join(dir, filepath.FromSlash(rel)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // killed between two of the first files
		}
		y.must(err)
		var last journal.Instant
		for e := range j.Entries() {
			last = max(last, e.At)
		}
		lost := end.Sub(j.Header().Started.Add(last.Duration()))
		y.t.Logf("killed %v after the run began; the journal ends %v before that",
			end.Sub(j.Header().Started).Round(time.Millisecond), lost.Round(time.Millisecond))
		if lost > 2*time.Second {
			y.t.Errorf("the last %v are lost", lost)
		}
	}
}
