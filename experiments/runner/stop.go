package runner

import (
	"context"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
)

// stopEvery is how often the detectors of a step are asked whether they have
// seen enough.
const stopEvery = time.Second

// stopRule ends a step early. One of a step without detectors never does.
type stopRule struct {
	run    *run
	step   experiments.PlannedStep
	enough chan struct{}
}

func (r *run) newStopRule(step experiments.PlannedStep) *stopRule {
	s := &stopRule{run: r, step: step}
	if len(step.Until) > 0 {
		s.enough = make(chan struct{})
	}
	return s
}

// reached is closed when enough has been seen; it is nil, which never is, where
// no detector is asked.
func (s *stopRule) reached() <-chan struct{} { return s.enough }

// watch asks the detectors until they have seen enough or the function it
// returns is called.
func (s *stopRule) watch(ctx context.Context) (stop func()) {
	if s.enough == nil {
		return func() {}
	}
	return every(ctx, stopEvery, func() bool {
		head, err := s.run.recorded()
		if err != nil {
			return true // the run ends for the same reason
		}
		return s.ask(head)
	})
}

// ask closes the rule when every detector is sure, and records their answers.
func (s *stopRule) ask(head journal.Head) (sure bool) {
	findings := make([]detect.Finding, len(s.step.Until))
	for i, e := range s.step.Until {
		findings[i] = e.Detector.(detect.Sequential).Enough(head, s.step.Name)
		if findings[i].Outcome == detect.Unknown {
			return false
		}
	}
	for _, f := range findings {
		s.run.answered(s.step.Name, journal.PurposeStop, f, head.Extent)
	}
	close(s.enough)
	return true
}
