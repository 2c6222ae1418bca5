package experiments

import (
	"context"
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Container reads the service's image, layer by layer, and starts one more
// replica of it, which gets no traffic, with a root that cannot be written,
// without capabilities and without a way to new ones; when it is ready it is
// told to stop. It is for the docker environment.
type Container struct{}

var _ = registerAction(ClassProbe, "container", func() Action { return &Container{} })

// String is the probe in one line.
func (*Container) String() string { return "read the image, run one more replica confined" }

// Supports takes the service as a whole, in containers.
func (*Container) Supports(s *subject.Subject, target string) error {
	if s.Environment != "docker" {
		return errors.New("container: there are containers only with environment: docker")
	}
	return onService(target)
}

// Start does both and records [journal.Image] and [journal.Confined].
func (*Container) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	e, ok := x.Environment.(environment.Contained)
	if !ok {
		return nil, errors.New("container: this environment has no containers")
	}
	service := x.Plan.Subject.Name
	return background(ctx, func(ctx context.Context) error {
		image, err := e.Image(ctx)
		if err != nil {
			image.Err = err.Error()
		}
		x.Recorder.Record(journal.Entry{On: service, Body: image})
		confined, err := e.Confine(ctx)
		if err != nil {
			return fmt.Errorf("container: %w", err)
		}
		x.Recorder.Record(journal.Entry{On: service, Body: confined})
		return nil
	}), nil
}

// Witness wants to have seen both.
func (*Container) Witness(j journal.Journal, _ string, _ journal.Window) error {
	for range journal.Of[journal.Image](j) {
		for range journal.Of[journal.Confined](j) {
			return nil
		}
	}
	return fmt.Errorf("%w: nobody looked at the container", faults.ErrNotInForce)
}
