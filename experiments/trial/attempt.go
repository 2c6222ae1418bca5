package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/runner"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// attempt is one run of an experiment and what came of it.
type attempt struct {
	run     folder.Run
	dir     string
	err     error // the harness's own fault
	aborted bool
}

// attempt runs a plan once, into a folder of its own.
func (r *running) attempt(ctx context.Context, i, n int) attempt {
	p := &r.Plans[i]
	rel := folder.RunPath(p.Name, n)
	a := attempt{dir: filepath.Join(r.trial.Dir, rel), run: folder.Run{
		Trial: r.trial.ID, Experiment: p.Name, Attempt: n, Seed: p.Seed, Versions: r.trial.Versions,
	}}
	if a.err = r.open(&a, i, rel); a.err != nil {
		return a
	}
	began := time.Now()
	a.err = told(r.guarded(ctx, p, n, a.dir), r.trial.Dir)
	a.run.Took = time.Since(began)
	a.aborted = ctx.Err() != nil
	a.run.Aborted = a.aborted
	if a.err != nil {
		a.run.Error = a.err.Error()
	}
	var broken *panicked
	if errors.As(a.err, &broken) {
		a.run.Stack = string(broken.stack)
	}
	if err := a.run.Write(a.dir); err != nil && a.err == nil {
		a.err = told(err, r.trial.Dir)
	}
	return a
}

// open makes the attempt's folder and writes down what is going to be tried.
func (r *running) open(a *attempt, i int, rel string) (err error) {
	if a.run.Plan, err = savePlan(&r.Plans[i]); err != nil {
		return err
	}
	if err := os.MkdirAll(a.dir, folder.Mode); err != nil {
		return fmt.Errorf("make the run's folder: %w", err)
	}
	if err := a.run.Write(a.dir); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trial.Experiments[i].Runs = append(r.trial.Experiments[i].Runs, filepath.ToSlash(rel))
	return r.trial.Write()
}

// guarded runs the plan; a panic is an error of this run alone.
func (r *running) guarded(ctx context.Context, p *experiments.Plan, n int, dir string) (err error) {
	defer recovered("run "+p.Name, &err)
	options := runner.Options{Trial: r.trial.ID, Version: r.Version}
	if r.Status != nil {
		options.Progress = func(s runner.Status) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.Status(s)
		}
	}
	return runner.Run(ctx, p, n, r.Backend, dir, options)
}

// write puts what was said of this attempt into its run.json.
func (a *attempt) write(v experiments.Verdict) error {
	for i := range v.Attempts {
		if v.Attempts[i].Number == a.run.Attempt {
			a.run.Verdict = &v.Attempts[i]
			return a.run.Write(a.dir)
		}
	}
	return nil
}
