package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// Session is a trial whose experiments are tried one by one, as a test suite
// comes to them. It leaves the same folder as [Run]; experiments that were
// never asked for are not in it. It is for one goroutine at a time.
type Session struct {
	running *running
	tried   []bool // by plan
}

// Begin makes the trial's folder and prepares its backend. A backend that
// cannot be prepared is an error, and nothing is left to end.
func Begin(ctx context.Context, c Config) (*Session, error) {
	r, err := start(c)
	if err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		r.trial.Error = told(err, r.trial.Dir).Error()
		_, ended := r.end(ctx)
		return nil, errors.Join(err, ended)
	}
	return &Session{running: r, tried: make([]bool, len(c.Plans))}, nil
}

// Dir is the trial's folder.
func (s *Session) Dir() string { return s.running.trial.Dir }

// Try tries the plan of that name and returns what came of it; asked again, it
// returns the same.
func (s *Session) Try(ctx context.Context, plan string) (folder.Experiment, error) {
	plans := s.running.Plans
	i := slices.IndexFunc(plans, func(p experiments.Plan) bool { return p.Name == plan })
	if i < 0 {
		return folder.Experiment{}, fmt.Errorf("this trial has no plan called %q", plan)
	}
	if !s.tried[i] {
		s.tried[i] = true
		if plans[i].NotApplicable == "" {
			s.running.one(ctx, i)
		}
	}
	return s.running.trial.Experiments[i], nil
}

// End closes the backend, writes the reports and returns the trial. A context
// that has ended makes its outcome aborted.
func (s *Session) End(ctx context.Context) (Result, error) {
	t := s.running.trial
	var kept []folder.Experiment
	for i, e := range t.Experiments {
		if s.tried[i] {
			kept = append(kept, e)
		}
	}
	t.Experiments = kept
	return s.running.end(ctx)
}
