package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
)

// Options are what one run differs by from another of its plan.
type Options struct {
	// Trial is the trial's id; everything that must not outlive it is marked
	// with it.
	Trial string
	// Version is seatrial's own, for the journal's header.
	Version string
	// Progress hears how far the run has come, several times a second. It may
	// be nil.
	Progress func(Status)
}

// stopWithin bounds taking the environment down.
const stopWithin = 20 * time.Second

// Run carries a plan out once, as the given attempt, and leaves its journal in
// the folder. The environment is taken down whatever happens.
//
// The error says that the harness, not the service, has a fault: the service
// does not build or start, a step cannot be carried out or taken back, the
// disk is full. Then, and when the context ends, the journal is complete up to
// there and holds a [journal.Aborted] entry. A cancelled context, a
// steady state that did not hold and a guardrail are no errors; they are judged.
func Run(
	ctx context.Context, p *experiments.Plan, attempt int, backend environment.Backend, dir string, o Options,
) (err error) {
	r := &run{
		plan: p, options: o,
		id:    fmt.Sprintf("%s-%s-%d", o.Trial, shortName(p.Name), attempt),
		board: newBoard(o.Progress, p.Name, attempt),
	}
	folder, err := journal.Create(dir, r.header(backend, attempt))
	if err != nil {
		return err
	}
	r.sofar = journal.Follow(dir)
	r.rec = &counted{
		Folder: folder, board: r.board,
		measured: map[string]journal.Quantity{}, attacks: map[string]journal.Instant{},
	}
	defer func() {
		if broken := recover(); broken != nil {
			err = errors.Join(err, fmt.Errorf("run %s: panic: %v", p.Name, broken))
		}
		err = errors.Join(err, folder.Close())
	}()
	defer every(context.WithoutCancel(ctx), statusEvery, r.board.turn)()
	if err := r.whole(ctx, backend); err != nil {
		err = clean(err, r.env, p.Subject)
		r.aborted(ctx, err)
		if ctx.Err() == nil && !errors.Is(err, errGate) && !errors.Is(err, errGuardrail) {
			return fmt.Errorf("run %s: %w", p.Name, err)
		}
	}
	return nil
}

// run is one attempt at a plan while it goes on.
type run struct {
	plan    *experiments.Plan
	options Options
	id      string
	rec     *counted
	sofar   *journal.Follower
	board   *board
	env     environment.Environment
	load    *loader
	ends    []chan struct{} // of the method's steps: closed when one has ended
}

func (r *run) header(backend environment.Backend, attempt int) journal.Header {
	return r.plan.Header(experiments.RunInfo{
		Trial: r.options.Trial, Run: r.id, Attempt: attempt, Version: r.options.Version, Environment: backend.Name(),
	})
}

// whole is the road of a run: up, setup, steady state, gate, method, recovery,
// settle, ledger, down.
func (r *run) whole(ctx context.Context, backend environment.Backend) (err error) {
	r.phase("up", r.plan.Duration())
	s := r.plan.Subject
	env, err := backend.Start(ctx, s, r.rec, environment.Options{
		Trial: r.options.Trial, Run: r.id, Seed: r.plan.Seed, Next: r.plan.NeedsNext(),
		Progress: func(what string) { r.board.set(func(s *Status) { s.Doing = what }) },
	})
	if err != nil {
		return err
	}
	r.env = env
	defer func() {
		r.phase("down", 0)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if stopped := env.Stop(ctx); stopped != nil {
			err = errors.Join(err, fmt.Errorf("take the environment down: %w", stopped))
		}
	}()
	return r.inside(ctx)
}

// inside is what happens while the environment is up.
func (r *run) inside(ctx context.Context) error {
	r.phase("setup", r.plan.Duration())
	if err := r.fill(ctx); err != nil {
		return err
	}
	load, err := r.newLoader(ctx)
	if err != nil {
		return err
	}
	r.load = load
	endObservers := r.observe(ctx)
	err = r.underLoad(ctx)
	if err == nil {
		r.phase("settle", r.plan.SettleFor)
		err = until(ctx, time.Now().Add(r.plan.SettleFor))
	}
	endObservers()
	ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if flushed := r.env.Flush(ended); flushed != nil {
		err = errors.Join(err, fmt.Errorf("collect what the agent recorded: %w", flushed))
	}
	r.readLedger(ended)
	return errors.Join(err, r.rec.Err())
}

// underLoad drives the load through steady state, gate, method and recovery.
func (r *run) underLoad(ctx context.Context) error {
	background, err := r.load.background(ctx)
	if err != nil {
		return err
	}
	err = r.trying(ctx)
	return errors.Join(err, background.end())
}

func (r *run) trying(ctx context.Context) error {
	r.phase("steady", r.plan.Duration())
	if err := until(ctx, time.Now().Add(r.plan.SteadyFor)); err != nil {
		return err
	}
	if err := r.gate(); err != nil {
		return err
	}
	r.phase("method", r.plan.MethodFor+r.plan.RecoverFor+r.plan.SettleFor)
	if err := r.method(ctx); err != nil {
		return err
	}
	r.phase("recovery", r.plan.RecoverFor+r.plan.SettleFor)
	return until(ctx, time.Now().Add(r.plan.RecoverFor))
}

// errGate says that the steady state did not hold; nothing was broken then.
var errGate = errors.New("the steady state did not hold before the first fault")

// gate asks the steady-state hypothesis on what has been recorded so far.
func (r *run) gate() error {
	if r.plan.Rate == 0 {
		return nil // no load, no steady state; the method's own attacks are judged
	}
	findings, err := r.ask(journal.PurposeGate, r.plan.Experiment.SteadyState.Expect)
	for _, f := range findings {
		if f.Outcome != detect.Held && f.Outcome != detect.NotApplicable {
			return fmt.Errorf("%w: %s", errGate, f.Reason)
		}
	}
	return err
}

// ask judges what has been recorded so far, and records the answers.
func (r *run) ask(purpose string, expectations []experiments.Expectation) ([]detect.Finding, error) {
	head, err := r.recorded()
	if err != nil {
		return nil, err
	}
	var findings []detect.Finding
	for _, e := range expectations {
		f := e.Detector.Detect(head)
		r.answered(f.Detector, purpose, f, head.Extent)
		findings = append(findings, f)
	}
	return findings, nil
}

// answered records what a detector said of the journal's head.
func (r *run) answered(on, purpose string, f detect.Finding, seen journal.Extent) {
	r.rec.Record(journal.Entry{On: on, Body: journal.Assessment{
		Purpose: purpose, Detector: f.Detector, Outcome: string(f.Outcome),
		Reason: f.Reason, Quantities: f.Quantities, Seen: &seen,
	}})
}

// recorded is the journal as far as it has been recorded.
func (r *run) recorded() (journal.Head, error) {
	if err := r.rec.Flush(); err != nil {
		return journal.Head{}, err
	}
	return r.sofar.Head()
}

// aborted records why the run was ended before its plan was carried out.
func (r *run) aborted(ctx context.Context, err error) {
	by := "error"
	switch {
	case ctx.Err() != nil:
		by = "interrupt"
	case errors.Is(err, errGate):
		by = "gate"
	case errors.Is(err, errGuardrail):
		by = "guardrail"
	}
	r.rec.Record(journal.Entry{Body: journal.Aborted{By: by, Reason: err.Error()}})
}

// phase marks a part of the run; left is the planned time to the run's end.
func (r *run) phase(name string, left time.Duration) {
	r.rec.Record(journal.Entry{Body: journal.Phase{Name: name}})
	r.board.endsIn(left)
	r.board.set(func(s *Status) { s.Phase, s.Doing = name, "" })
}

// shortName makes a name fit for a header and an application_name.
func shortName(name string) string {
	short := []byte(name)
	for i, c := range short {
		if c == '/' || c == ' ' {
			short[i] = '.'
		}
	}
	return string(short)
}
