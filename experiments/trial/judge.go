package trial

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
// the folder. A trial that was killed is judged as far as it came; a run that
// cannot be read makes its experiment an error. With an error the verdicts are
// returned all the same, but could not be written.
func Judge(dir string) (*folder.Trial, error) {
	t, err := Open(dir)
	if err != nil {
		return nil, err
	}
	var unwritten error
	for i := range t.Experiments {
		unwritten = cmp.Or(unwritten, rejudge(t, &t.Experiments[i]))
	}
	was := t.Outcome
	t.Outcome = outcome(t)
	if was == experiments.Aborted || t.Ended.IsZero() {
		t.Outcome = experiments.Aborted
	}
	if unwritten == nil {
		unwritten = errors.Join(t.Write(), WriteReports(t))
	}
	if unwritten != nil {
		return t, fmt.Errorf("keep the new verdicts of %s: %w; judge a copy of the folder that you may write", dir, unwritten)
	}
	return t, nil
}

// rejudge gives an experiment its new verdict. The error is that it could not be
// written.
func rejudge(t *folder.Trial, e *folder.Experiment) error {
	if len(e.Runs) == 0 {
		if e.Verdict.Outcome == "" && t.Error == "" {
			e.Verdict.Outcome, e.Verdict.Reason = experiments.Aborted, "the trial was ended before this was tried"
		}
		return nil
	}
	plan, attempts, unreadable := saved(t, e)
	if unreadable != nil {
		e.Verdict = experiments.Verdict{Experiment: e.Name, Outcome: experiments.Error, Reason: unreadable.Error()}
		return nil //nolint:nilerr // it is the verdict
	}
	e.Verdict, _ = judge(plan, attempts)
	for i := range attempts {
		if err := attempts[i].write(e.Verdict); err != nil {
			return err
		}
	}
	return nil
}

// saved reads an experiment's attempts, and the plan that they carried out.
func saved(t *folder.Trial, e *folder.Experiment) (*experiments.Plan, []attempt, error) {
	var attempts []attempt
	var plan *experiments.Plan
	for _, rel := range e.Runs {
		a := attempt{dir: filepath.Join(t.Dir, filepath.FromSlash(rel))}
		run, err := folder.ReadRun(a.dir)
		if err != nil {
			return nil, nil, err
		}
		_, err = os.Stat(filepath.Join(a.dir, journal.RequestsFile))
		if errors.Is(err, fs.ErrNotExist) && run.Took > 0 && run.Error == "" {
			return nil, nil, fmt.Errorf("judge %s: %s is missing; the folder is no longer whole", a.dir, journal.RequestsFile)
		}
		if plan, err = loadPlan(run.Plan); err != nil {
			return nil, nil, fmt.Errorf("read the plan in %s: %w", filepath.Join(a.dir, folder.RunFile), err)
		}
		a.run, a.aborted = *run, run.Aborted || run.Took == 0
		if run.Error != "" {
			a.err = errors.New(run.Error)
		}
		attempts = append(attempts, a)
	}
	// It was carried out: what is not kept of the subject takes nothing from that.
	plan.NotApplicable = ""
	return plan, attempts, nil
}
