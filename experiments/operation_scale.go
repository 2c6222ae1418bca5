package experiments

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Scale starts or stops replicas until there are To of them.
type Scale struct {
	// To is the number of replicas wanted. Required.
	To int `yaml:"to" json:"to"`
}

var _ = registerAction(ClassOperation, "scale", func() Action { return &Scale{} })

// String is the operation in one line.
func (s *Scale) String() string { return fmt.Sprintf("scale to %d replicas", s.To) }

// Validate says what is wrong with the parameters.
func (s *Scale) Validate() error {
	if s.To < 1 {
		return fmt.Errorf("scale: to must be at least 1")
	}
	return nil
}

// Supports takes the service as a whole, where its ports are not fixed.
func (s *Scale) Supports(sub *subject.Subject, target string) error {
	if err := s.Validate(); err != nil {
		return err
	}
	for name, port := range sub.Service.Ports {
		if port != 0 && s.To > 1 && sub.Environment != "docker" {
			return fmt.Errorf("scale: port %s of the service is fixed at %d, so there can be one replica only", name, port)
		}
	}
	return onService(target)
}

// Start begins scaling and returns at once.
func (s *Scale) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	return background(ctx, func(ctx context.Context) error { return x.Environment.Scale(ctx, s.To) }), nil
}

// Witness asks for a replica to have been started or to have ended in the
// window.
func (s *Scale) Witness(j journal.Journal, _ string, w journal.Window) error {
	for e := range j.Entries(journal.Started{}.Kind(), journal.Exited{}.Kind()) {
		if e.At >= w.From {
			return nil
		}
	}
	return fmt.Errorf("%w: no replica was started or stopped", faults.ErrNotInForce)
}
