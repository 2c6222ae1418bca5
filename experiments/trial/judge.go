package trial

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// judge says what is to be said of an experiment after these attempts, from
// their journals, and whether it asks for another attempt. A fault of the
// harness's own is the verdict, unless a failure stands all the same.
func judge(p *experiments.Plan, attempts []attempt) (v experiments.Verdict, again bool) {
	var journals []journal.Journal
	var errs []error
	var err error
	aborted := false
	func() {
		defer recovered("judge "+p.Name, &err)
		for _, a := range attempts {
			aborted = aborted || a.aborted
			errs = append(errs, a.err)
			j, err := journal.Open(a.dir)
			if err != nil && a.err == nil {
				errs = append(errs, err)
			}
			if err == nil {
				journals = append(journals, j)
			}
		}
		if len(journals) == len(attempts) {
			v = experiments.Judge(*p, journals...)
			again = experiments.Confirm(*p, journals)
		}
	}()
	v.Experiment = p.Name
	failed := errors.Join(append(errs, err)...)
	switch {
	case failed == nil || v.Outcome == experiments.Failed:
		return v, again && failed == nil
	case aborted:
		v.Outcome = experiments.Aborted
		v.Reason = fmt.Sprintf("the trial was interrupted, and not all went well: %v", failed)
	default:
		v.Outcome, v.Reason = experiments.Error, failed.Error()
	}
	return v, false
}

// outcome is the whole trial's.
func outcome(t *folder.Trial) experiments.Outcome {
	if t.Error != "" {
		return experiments.Error
	}
	verdicts := make([]experiments.Verdict, len(t.Experiments))
	for i, e := range t.Experiments {
		verdicts[i] = e.Verdict
	}
	return experiments.TrialOutcome(verdicts...)
}

// Open reads the folder of a saved trial.
func Open(dir string) (*folder.Trial, error) { return folder.Read(dir) }

// Judge judges every run of a saved trial again, from its journals and the
// plans saved beside them, and writes the new verdicts and the reports into
// the folder. A trial that was killed is judged as far as it came.
func Judge(dir string) (*folder.Trial, error) {
	t, err := Open(dir)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i := range t.Experiments {
		if err := rejudge(t, &t.Experiments[i]); err != nil {
			errs = append(errs, fmt.Errorf("judge %s: %w", t.Experiments[i].Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	was := t.Outcome
	t.Outcome = outcome(t)
	if was == experiments.Aborted || t.Ended.IsZero() {
		t.Outcome = experiments.Aborted
	}
	return t, errors.Join(t.Write(), WriteReports(t))
}

func rejudge(t *folder.Trial, e *folder.Experiment) error {
	if len(e.Runs) == 0 {
		if e.Verdict.Outcome == "" {
			e.Verdict.Outcome, e.Verdict.Reason = experiments.Aborted, "the trial was ended before this was tried"
		}
		return nil
	}
	var attempts []attempt
	var plan *experiments.Plan
	for _, rel := range e.Runs {
		a := attempt{dir: filepath.Join(t.Dir, filepath.FromSlash(rel))}
		run, err := folder.ReadRun(a.dir)
		if err != nil {
			return err
		}
		if plan, err = loadPlan(run.Plan); err != nil {
			return fmt.Errorf("read the plan in %s: %w", filepath.Join(a.dir, folder.RunFile), err)
		}
		a.run, a.aborted = *run, run.Aborted || run.Took == 0
		if run.Error != "" {
			a.err = errors.New(run.Error)
		}
		attempts = append(attempts, a)
	}
	e.Verdict, _ = judge(plan, attempts)
	for i := range attempts {
		if err := attempts[i].write(e.Verdict); err != nil {
			return err
		}
	}
	return nil
}
