package experiments

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// RestartAll stops all replicas at once and starts all of them again at once,
// as after the loss of a node, or in a rollout without any pace. A replica that
// is not ready yet, or ends by itself, is no error of the operation: as a
// platform would, it starts one that ended again after a second. It ends by
// itself, when every replica is ready or its patience is over.
type RestartAll struct {
	// Patience is how long after its start a replica that ends is started
	// again. Default 45s.
	Patience time.Duration `yaml:"patience" json:"patience,omitempty"`
}

var _ = registerAction(ClassOperation, "restart_all", func() Action {
	return &RestartAll{Patience: 45 * time.Second}
})

// String is the operation in one line.
func (r *RestartAll) String() string { return "restart of all replicas at once" }

// Supports takes the service as a whole.
func (r *RestartAll) Supports(_ *subject.Subject, target string) error { return onService(target) }

// Start begins the restart and returns at once.
func (r *RestartAll) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	return background(ctx, func(ctx context.Context) error {
		all := x.Environment.Replicas()
		if err := eachAtOnce(all, func(rep environment.Replica) error { return stopReplica(ctx, x, rep) }); err != nil {
			return err
		}
		return eachAtOnce(all, func(rep environment.Replica) error { return startAgain(ctx, x, rep, r.Patience) })
	}), nil
}

// Witness asks for every replica to have been stopped and started again.
func (r *RestartAll) Witness(j journal.Journal, _ string, w journal.Window) error {
	for _, name := range j.Header().Replicas {
		if err := restarted(j, name, w); err != nil {
			return err
		}
	}
	return nil
}

// startAgainAfter is how soon a replica that ended before it was ready is
// started again. Kubernetes doubles its wait each time, from 10 s on.
const startAgainAfter = time.Second

// startAgain starts a replica until it runs, and has it registered.
func startAgain(ctx context.Context, x *Execution, rep environment.Replica, patience time.Duration) error {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := rep.Start(patient)
		if ctx.Err() != nil {
			return fmt.Errorf("start %s again: %w", rep.Name(), context.Cause(ctx))
		}
		if err == nil || rep.PID() != 0 {
			note(x, rep, err)
			return register(ctx, x, rep)
		}
		note(x, rep, err)
		if wait(patient, startAgainAfter) != nil {
			return nil // it has ended for good; that is in the journal
		}
	}
}

// eachAtOnce does one thing with all replicas at the same time and joins the
// errors.
func eachAtOnce(all []environment.Replica, do func(environment.Replica) error) error {
	errs := make([]error, len(all))
	var doing sync.WaitGroup
	for i, rep := range all {
		doing.Go(func() { errs[i] = do(rep) })
	}
	doing.Wait()
	return errors.Join(errs...)
}
