package experiments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// RollingRestart replaces every replica, one after the other, as a platform
// does with maxUnavailable 1: deregister (for services that promise
// drain: prestop), stop signal, wait for the exit, start, wait until ready. It
// ends by itself.
type RollingRestart struct {
	// Pause between a replica being ready and the next one's stop. Default 1s.
	Pause time.Duration `yaml:"pause" json:"pause,omitempty"`
	// Down is how long nothing runs in a replica's place, from its exit to its
	// start. Platforms take a second and more; a replica that is back at once
	// hides that its listener closed too soon. Default 1s.
	Down time.Duration `yaml:"down" json:"down,omitempty"`
}

var _ = registerAction(ClassOperation, "rolling_restart", func() Action {
	return &RollingRestart{Pause: time.Second, Down: time.Second}
})

// String is the operation in one line.
func (r *RollingRestart) String() string { return "rolling restart of all replicas" }

// Supports takes the service as a whole.
func (r *RollingRestart) Supports(_ *subject.Subject, target string) error { return onService(target) }

// Start begins the roll and returns at once.
func (r *RollingRestart) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	return background(ctx, func(ctx context.Context) error {
		for i, rep := range x.Environment.Replicas() {
			if i > 0 {
				if err := wait(ctx, r.Pause); err != nil {
					return err
				}
			}
			if err := restartReplica(ctx, x, rep, r.Down); err != nil {
				return fmt.Errorf("rolling restart: %s: %w", rep.Name(), err)
			}
		}
		return nil
	}), nil
}

// Witness asks for every replica to have been stopped and started again.
func (r *RollingRestart) Witness(j journal.Journal, _ string, w journal.Window) error {
	for _, name := range j.Header().Replicas {
		if err := restarted(j, name, w); err != nil {
			return err
		}
	}
	return nil
}

// RestartOne restarts one replica as a platform does.
type RestartOne struct {
	// Down is how long nothing runs in its place, from its exit to its start.
	// Default 1s.
	Down time.Duration `yaml:"down" json:"down,omitempty"`
}

var _ = registerAction(ClassOperation, "restart_one", func() Action { return &RestartOne{Down: time.Second} })

// String is the operation in one line.
func (r *RestartOne) String() string { return "restart of one replica" }

// Supports takes one replica.
func (r *RestartOne) Supports(s *subject.Subject, target string) error { return onReplica(s, target) }

// Start begins the restart and returns at once.
func (r *RestartOne) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	rep, err := replica(x, x.Target)
	if err != nil {
		return nil, err
	}
	return background(ctx, func(ctx context.Context) error { return restartReplica(ctx, x, rep, r.Down) }), nil
}

// Witness asks for the replica to have been stopped and started again.
func (r *RestartOne) Witness(j journal.Journal, target string, w journal.Window) error {
	return restarted(j, target, w)
}

func restartReplica(ctx context.Context, x *Execution, rep environment.Replica, down time.Duration) error {
	if err := stopReplica(ctx, x, rep); err != nil {
		return err
	}
	if err := wait(ctx, down); err != nil {
		return err
	}
	if err := rep.Start(ctx); err != nil {
		return err
	}
	return register(ctx, x, rep)
}

// stopReplica takes a replica down as a platform does. That it had to be killed
// after its grace is in the journal, and no error.
func stopReplica(ctx context.Context, x *Execution, rep environment.Replica) error {
	promises := x.Plan.Subject.Promises
	if promises.Drain == "prestop" {
		if err := rep.Deregister(ctx); err != nil {
			return err
		}
		if err := wait(ctx, promises.DrainDelay); err != nil {
			return err
		}
	}
	late := rep.Terminate(ctx, x.Plan.Subject.Service.Stop.Grace)
	if late != nil && ctx.Err() != nil {
		return late
	}
	note(x, rep, late)
	return nil
}

// register puts a replica back that [stopReplica] took out of the rotation.
func register(ctx context.Context, x *Execution, rep environment.Replica) error {
	if x.Plan.Subject.Promises.Drain == "prestop" {
		return rep.Register(ctx)
	}
	return nil
}

// note takes an error down that is the service's, and no end of the operation.
func note(x *Execution, rep environment.Replica, err error) {
	if err != nil {
		x.Recorder.Record(journal.Entry{On: rep.Name(), Body: journal.Note{Text: err.Error()}})
	}
}

func restarted(j journal.Journal, replica string, w journal.Window) error {
	exited := false
	for e := range j.Entries(journal.Exited{}.Kind(), journal.Started{}.Kind()) {
		if e.On != replica || e.At < w.From {
			continue
		}
		switch e.Body.(type) {
		case journal.Exited:
			exited = true
		case journal.Started:
			if exited {
				return nil
			}
		}
	}
	if !exited {
		return fmt.Errorf("%w: %s did not exit", faults.ErrNotInForce, replica)
	}
	return fmt.Errorf("%w: %s was not started again", faults.ErrNotInForce, replica)
}

// wait waits for a while, or until the context ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errors.Join(ctx.Err(), context.Cause(ctx))
	}
}
