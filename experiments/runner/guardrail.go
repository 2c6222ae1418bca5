package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
)

// errGuardrail says that a guardrail ended the run.
var errGuardrail = errors.New("a guardrail was violated")

// guardEvery is how often guardrails are asked.
const guardEvery = 2 * time.Second

// guard asks the experiment's guardrails until the function it returns is
// called, and ends the run at the first one that is violated.
func (r *run) guard(ctx context.Context, end context.CancelCauseFunc) (stop func()) {
	rails := r.plan.Experiment.Guardrails
	if len(rails) == 0 {
		return func() {}
	}
	return every(ctx, guardEvery, func() (enough bool) {
		findings, err := r.ask(journal.PurposeGuardrail, rails)
		if err != nil {
			end(err)
			return true
		}
		for _, f := range findings {
			if f.Outcome == detect.Violated {
				end(fmt.Errorf("%w: %s", errGuardrail, f.Reason))
				return true
			}
		}
		return false
	})
}
