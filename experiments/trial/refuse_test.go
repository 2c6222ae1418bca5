package trial

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial/trialtest"
	"github.com/seatrial/seatrial/faults"
)

// choosy refuses every fault.
type choosy struct {
	*trialtest.Fake
	err error
}

var _ environment.Choosy = choosy{}

func (c choosy) Refuses(context.Context, *subject.Subject, faults.Fault) error { return c.err }

// TestRefuse has a backend find out that it lacks what a fault needs: then the
// experiment is not applicable, and what it cannot find out ends the trial.
func TestRefuse(t *testing.T) {
	t.Parallel()
	lacks := fmt.Errorf("%w: the kernel has no emulator", faults.ErrNotHere)
	for name, c := range map[string]struct {
		err     error
		outcome experiments.Outcome
		says    string
	}{
		"lacks":  {lacks, experiments.NotTried, "not supported here: the kernel has no emulator"},
		"broken": {errors.New("the engine is gone"), "", "the engine is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			f := trialtest.New(t)
			plans := testPlans(t, trialtest.Subject(), "low", "one")
			plans[0].Steps = append(plans[0].Steps, experiments.PlannedStep{
				Do:          &experiments.FaultAction{Fault: new(faults.PacketLoss)},
				PlannedStep: journal.PlannedStep{Name: "lossy", Action: "packet_loss", Class: experiments.ClassFault},
			})
			got := try(t, t.Context(), f, plans, func(config *Config) { config.Backend = choosy{f, c.err} })
			v := got.Experiments[0].Verdict
			if v.Outcome != c.outcome || !strings.Contains(v.Reason+got.Error, c.says) {
				t.Errorf("%s: %s; the trial: %s; want %s: %s", v.Outcome, v.Reason, got.Error, c.outcome, c.says)
			}
			if plans[0].NotApplicable != "" {
				t.Error("the caller's plan was changed")
			}
		})
	}
}
