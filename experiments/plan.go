package experiments

import (
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Plan is one experiment resolved for one subject: targets, times, rates and
// seed are fixed, and it is printed before anything starts. The same seed gives
// the same plan.
type Plan struct {
	// Name is the experiment's, with the target it was instantiated for:
	// "http-slow/payments".
	Name       string
	Experiment Experiment // resolved: no reference, no default is left open
	Subject    *subject.Subject
	Target     string // the dependency it was instantiated for; may be empty
	Seed       uint64
	Steps      []PlannedStep // by time, then by the file's order
	Rate       float64       // of the load, hits a second; zero: no load
	SteadyFor  time.Duration
	MethodFor  time.Duration // from the end of the steady state to the last step's end
	RecoverFor time.Duration
	SettleFor  time.Duration
	// NotApplicable says why the subject has nothing to try this on; the plan
	// is then not run. Empty otherwise.
	NotApplicable string
}

// PlannedStep is one step with its target and its times.
type PlannedStep struct {
	journal.PlannedStep
	Do Action
	// Of is the name of the experiment's step, of which there is one for each
	// target.
	Of string
	// After is the name of the step that must have ended before, Wait the time
	// from that end to this step's beginning. Empty: it begins at its time.
	After string
	Wait  time.Duration
	// Until are the detectors that end it early; each is a [detect.Sequential].
	Until []Expectation
	// ToTheEnd says that it is in force until all others have ended.
	ToTheEnd bool
}

// Duration is how long the run takes from its first hit to its last entry,
// without the environment's start and stop.
func (p *Plan) Duration() time.Duration {
	return p.SteadyFor + p.MethodFor + p.RecoverFor + p.SettleFor
}
