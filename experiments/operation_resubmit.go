package experiments

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Resubmit sends writes again under their keys, to the replicas directly and in
// turns, as callers do who heard no answer. Keys come in two groups of the same
// size: one of the first is submitted, submitted again after its answer, and
// then sent with another body; one of the second is submitted several times at
// the same moment, and once more after that.
//
// It needs a traffic request with a write rule whose key is a variable of vars,
// so that another body can be sent under it.
type Resubmit struct {
	// Keys is the size of each group: a defect that shows with every twentieth
	// key stays hidden from 200 in 3.5 of 100,000 runs. Default 200.
	Keys int `yaml:"keys" json:"keys,omitempty"`
	// AtOnce is how often a key of the second group is submitted at the same
	// moment. Default 5.
	AtOnce int `yaml:"at_once" json:"at_once,omitempty"`
	// For is the time that the keys are spread over. Default 8s.
	For time.Duration `yaml:"for" json:"for,omitempty"`
	// Of names an earlier resubmit step: its keys are submitted once more each,
	// and nothing else, such as after a restart. Keys must be the same.
	Of string `yaml:"of" json:"of,omitempty"`
	// Routes restricts the writes to these requests of the traffic. Empty: all
	// that have a write rule.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
}

var _ = registerAction(ClassOperation, "resubmit", func() Action {
	return &Resubmit{Keys: 200, AtOnce: 5, For: 8 * time.Second}
})

// String is the operation in one line.
func (r *Resubmit) String() string {
	if r.Of != "" {
		return fmt.Sprintf("submit the %d keys of %s once more", 2*r.Keys, r.Of)
	}
	return fmt.Sprintf("submit %d keys again, and %d others %d times at once", r.Keys, r.Keys, r.AtOnce)
}

// Validate says what is wrong with the parameters.
func (r *Resubmit) Validate() error {
	if r.Keys < 1 || r.AtOnce < 2 || r.For <= 0 {
		return fmt.Errorf("resubmit: keys must be 1 or more, at_once 2 or more, for above zero")
	}
	return nil
}

// Length is how long the operation takes when its step does not say.
func (r *Resubmit) Length() time.Duration { return r.For }

// Supports takes the service as a whole, if its traffic has writes to follow.
func (r *Resubmit) Supports(s *subject.Subject, target string) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if len(Writing(s)) == 0 {
		return fmt.Errorf("no request of the traffic has a write rule (write: {key: …})")
	}
	return onService(target)
}

// Start submits; it returns at once.
func (r *Resubmit) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	spec := ResubmitSpec{Name: x.Step, Keys: r.Keys, AtOnce: r.AtOnce, For: r.For, Of: r.Of, Routes: r.Routes}
	return background(ctx, func(ctx context.Context) error { return x.Load.Resubmit(ctx, spec) }), nil
}

// Witness asks for submissions that were answered.
func (*Resubmit) Witness(j journal.Journal, _ string, w journal.Window) error {
	return answered(j, w, "submissions", func(s journal.Submission) (sent, ok bool) { return true, s.Code != 0 })
}

// Writing names the requests of the traffic whose writes the ledger follows.
func Writing(s *subject.Subject) []string {
	var names []string
	for _, r := range s.Traffic.Requests {
		if r.Write != nil && r.Weight > 0 {
			names = append(names, r.Name)
		}
	}
	return names
}
