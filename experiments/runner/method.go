package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/journal"
)

// revertWithin bounds the taking back of one fault; an operation may take its
// step's time on top.
const revertWithin = 30 * time.Second

// method carries the steps out, each in a goroutine of its own, and returns
// when every one has ended and has been taken back: also when one fails or the
// context ends, in which case what is in force is taken back at once.
func (r *run) method(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer r.guard(ctx, cancel)()
	start := time.Now()
	errs := make([]error, len(r.plan.Steps))
	r.ends = make([]chan struct{}, len(r.plan.Steps))
	for i := range r.ends {
		r.ends[i] = make(chan struct{})
	}
	var steps sync.WaitGroup
	for i := range r.plan.Steps {
		steps.Go(func() {
			defer close(r.ends[i])
			if errs[i] = r.step(ctx, i, start); errs[i] != nil {
				cancel(errs[i]) // the others end early and are taken back
			}
		})
	}
	steps.Wait()
	if ended := ctx.Err(); ended != nil {
		errs = append(errs, context.Cause(ctx))
	}
	return errors.Join(unique(errs)...)
}

// unique drops errors that are another one's cause again, as those of steps
// that ended early because of it.
func unique(errs []error) []error {
	var kept []error
	for _, err := range errs {
		if err == nil || slices.ContainsFunc(kept, func(k error) bool { return errors.Is(k, err) || errors.Is(err, k) }) {
			continue
		}
		kept = append(kept, err)
	}
	return kept
}

// step carries one step out.
func (r *run) step(ctx context.Context, i int, start time.Time) (err error) {
	step := r.plan.Steps[i]
	if err := r.begins(ctx, step, start); err != nil {
		return nil // the run ends before this step began: that is told elsewhere
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("step %s: panic: %v", step.Name, p)
		}
		if err != nil {
			r.mark(i, journal.PhaseFailed, err)
			err = fmt.Errorf("step %s: %w", step.Name, err)
		}
	}()
	if err := r.rec.Err(); err != nil {
		return err
	}
	r.mark(i, journal.PhaseBegin, nil)
	enough := r.newStopRule(step)
	stop, err := r.start(ctx, step, enough)
	if err != nil {
		return err
	}
	r.mark(i, journal.PhaseInForce, nil)
	defer enough.watch(ctx)()
	r.inForce(step.Name, true)
	defer r.inForce(step.Name, false)
	if step.Class == experiments.ClassOperation {
		return r.finish(ctx, i, stop)
	}
	r.hold(ctx, i, enough)
	return r.revert(ctx, i, stop)
}

// offset is when the step begins, counted from the beginning of the method.
func (r *run) offset(step experiments.PlannedStep) time.Duration {
	return step.At.Duration() - r.plan.SteadyFor
}

// begins waits for the step's time, which may count from another one's end.
func (r *run) begins(ctx context.Context, step experiments.PlannedStep, start time.Time) error {
	if step.After == "" {
		return until(ctx, start.Add(r.offset(step)))
	}
	err := r.ended(ctx, func(s experiments.PlannedStep) bool { return s.Of == step.After })
	if err != nil {
		return err
	}
	return until(ctx, time.Now().Add(step.Wait))
}

// ended waits for the end of the steps that are meant.
func (r *run) ended(ctx context.Context, meant func(experiments.PlannedStep) bool) error {
	for i, s := range r.plan.Steps {
		if !meant(s) {
			continue
		}
		select {
		case <-r.ends[i]:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// start begins the action; a panic in it is an error, not the end of the run.
func (r *run) start(ctx context.Context, step experiments.PlannedStep, enough *stopRule) (
	stop func(context.Context) error, err error,
) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return step.Do.Start(ctx, &experiments.Execution{
		Environment: r.env, Recorder: r.rec, Target: step.Target, Step: step.Name,
		Plan: r.plan, Load: r.load, Measured: r.rec.lookup, Enough: enough.reached(),
		Recorded: func() (journal.Journal, error) { return r.recorded() },
	})
}

// hold waits as long as the step is to be in force, or until enough has been
// seen of it, or the run ends: it is taken back all the same.
func (r *run) hold(ctx context.Context, i int, enough *stopRule) {
	step := r.plan.Steps[i]
	if toTheEnd(step) {
		_ = r.ended(ctx, func(s experiments.PlannedStep) bool { return !toTheEnd(s) })
		return
	}
	timer := time.NewTimer(step.For)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-enough.reached():
	case <-ctx.Done():
	}
}

// toTheEnd says that a step is in force until the others have ended.
func toTheEnd(s experiments.PlannedStep) bool {
	return s.ToTheEnd || s.For == 0 && s.Class != experiments.ClassOperation
}

// revert takes a fault or probe back, with a deadline that does not depend on
// the run's.
func (r *run) revert(ctx context.Context, i int, stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revertWithin)
	defer cancel()
	r.mark(i, journal.PhaseRevert, nil)
	if err := stop(ctx); err != nil {
		return fmt.Errorf("take it back: %w", err)
	}
	r.mark(i, journal.PhaseReverted, nil)
	return nil
}

// finish waits for an operation to end by itself; when the run ends first, the
// operation's own context has told it to.
func (r *run) finish(ctx context.Context, i int, stop func(context.Context) error) error {
	limit := r.plan.Steps[i].For + r.plan.MethodFor + revertWithin
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	err := stop(wait)
	r.mark(i, journal.PhaseRevert, nil)
	if err != nil && ctx.Err() == nil {
		return err
	}
	r.mark(i, journal.PhaseReverted, nil)
	return nil
}

func (r *run) mark(i int, phase string, err error) {
	event := journal.StepEvent{Step: i, Phase: phase}
	if err != nil {
		event.Error = err.Error()
	}
	r.rec.Record(journal.Entry{On: r.plan.Steps[i].Name, Body: event})
}

func (r *run) inForce(name string, in bool) {
	r.board.set(func(s *Status) {
		if in {
			s.Faults = append(s.Faults, name)
			return
		}
		if at := slices.Index(s.Faults, name); at >= 0 {
			s.Faults = slices.Delete(s.Faults, at, at+1)
		}
	})
}

// until waits for an instant; it returns why when the context ends first.
func until(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
