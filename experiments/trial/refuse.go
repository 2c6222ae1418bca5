package trial

import (
	"context"
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/faults"
)

// refuse makes plans not applicable that the backend cannot carry out on this
// machine, with its reason.
func (r *running) refuse(ctx context.Context) error {
	backend, ok := r.Backend.(environment.Choosy)
	if !ok {
		return nil
	}
	for i := range r.Plans {
		p := &r.Plans[i]
		for _, s := range p.Steps {
			a, ok := s.Do.(*experiments.FaultAction)
			if !ok || p.NotApplicable != "" {
				continue
			}
			err := backend.Refuses(ctx, r.Subject, a.Fault)
			switch {
			case errors.Is(err, faults.ErrNotHere):
				p.NotApplicable = fmt.Sprintf("step %q: %s: %v", s.Name, s.Action, err)
				r.trial.Experiments[i] = describe(p)
			case err != nil:
				return fmt.Errorf("find out whether %s can be done here: %w", s.Action, err)
			}
		}
	}
	return nil
}
