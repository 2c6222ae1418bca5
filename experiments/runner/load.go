package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/loadgen"
)

// loadName is the name of the attack that is the experiment's own load.
const loadName = "load"

// loader starts the run's attacks.
type loader struct {
	run    *run
	source *loadgen.Source
}

// newLoader compiles the traffic and does its setup once.
func (r *run) newLoader(ctx context.Context) (*loader, error) {
	traffic := r.plan.Subject.Traffic
	source, err := loadgen.Compile(traffic, r.plan.Seed)
	if err != nil {
		return nil, err
	}
	if err := source.Setup(ctx, r.env.Endpoint(traffic.Port)); err != nil {
		return nil, err
	}
	return &loader{run: r, source: source}, nil
}

// part is the traffic that an attack is restricted to.
func (l *loader) part(routes []string, uses string) (*loadgen.Source, error) {
	s, err := l.source.Only(routes...)
	if err != nil || uses == "" {
		return s, err
	}
	return s.Using(uses)
}

func (l *loader) timeout(own time.Duration) time.Duration {
	if own != 0 {
		return own
	}
	return l.run.plan.Subject.Traffic.Timeout
}

// base is where an attack goes: to one replica, or through the balancer.
func (l *loader) base(replica string) (string, error) {
	port := l.run.plan.Subject.Traffic.Port
	if replica == "" {
		return l.run.env.Endpoint(port), nil
	}
	for _, rep := range l.run.env.Replicas() {
		if rep.Name() == replica {
			return rep.Endpoint(port), nil
		}
	}
	return "", fmt.Errorf("there is no replica called %q now", replica)
}

// ordinary is the load that runs beside the method.
type ordinary struct {
	run    *run
	pacer  *loadgen.Extended
	cancel context.CancelFunc
	done   chan error
}

// background starts the experiment's own load. Without one it does nothing.
func (l *loader) background(ctx context.Context) (*ordinary, error) {
	p := l.run.plan
	o := &ordinary{run: l.run, done: make(chan error, 1)}
	if p.Rate == 0 {
		o.cancel = func() {}
		o.done <- nil
		return o, nil
	}
	load := p.Experiment.Load
	source, err := l.part(load.Routes, load.Uses)
	if err != nil {
		return nil, err
	}
	base, err := l.base("")
	if err != nil {
		return nil, err
	}
	o.pacer = pacer(p)
	a := loadgen.Attack{
		Name: loadName, RunID: l.run.id, Pacer: o.pacer, Source: source, BaseURL: base,
		Timeout: l.timeout(load.Timeout),
	}
	ctx, o.cancel = context.WithCancel(ctx)
	go func() {
		_, err := a.Run(ctx, l.run.rec)
		o.done <- err
	}()
	return o, nil
}

// pacer is the load's plan: steady at its rate, then its shape, then on at the
// last rate until the method and the recovery are over.
func pacer(p *experiments.Plan) *loadgen.Extended {
	load, length := p.Experiment.Load, p.LoadFor()
	moving := p.MethodFor + p.RecoverFor
	steady := loadgen.Constant(p.Rate, p.SteadyFor)
	switch load.Shape {
	case "ramp":
		return loadgen.Extend(loadgen.Join(steady, loadgen.Ramp(p.Rate, load.To, moving)), load.To)
	case "steps":
		return loadgen.Extend(loadgen.Join(steady, loadgen.Steps(p.Rate, load.To, load.Steps, moving)), load.To)
	case "spike":
		third := p.MethodFor / 3
		return loadgen.Extend(loadgen.SpikeAt(p.Rate, load.To, p.SteadyFor+third, third, length), p.Rate)
	}
	return loadgen.Extend(loadgen.Constant(p.Rate, length), p.Rate)
}

// end ends the load now, as planned, and waits for its last answer.
func (o *ordinary) end() error {
	defer o.cancel()
	if o.pacer != nil {
		if from, ok := o.run.rec.began(loadName); ok {
			o.pacer.EndAt(o.run.rec.Now().Sub(from))
		}
	}
	limit := o.run.plan.Subject.Traffic.Timeout + o.run.plan.Experiment.Load.Timeout + stopWithin
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-o.done:
		return err
	case <-timer.C:
		o.cancel()
		return errors.Join(fmt.Errorf("the load did not end within %v", limit), <-o.done)
	}
}

// Attack runs an attack for an action.
func (l *loader) Attack(ctx context.Context, spec experiments.AttackSpec) error {
	source, err := l.part(spec.Routes, spec.Uses)
	if err != nil {
		return err
	}
	base, err := l.base(spec.Replica)
	if err != nil {
		return err
	}
	plan := loadgen.Constant(spec.Rate, spec.For)
	if spec.Count > 0 {
		plan = loadgen.Count(spec.Count, spec.For)
	}
	if spec.Enough != nil {
		ending := loadgen.Extend(plan, 0)
		plan = ending
		defer l.endWhen(ctx, spec, ending)()
	}
	_, err = loadgen.Attack{
		Name: spec.Name, RunID: l.run.id, Pacer: plan, Source: source, BaseURL: base,
		Timeout: l.timeout(spec.Timeout), NewConnections: spec.NewConnections, HangUpAfter: spec.HangUpAfter,
		Header: spec.Header, ForwardedFor: spec.ForwardedFor,
		Retries: spec.Retries,
		Strange: spec.Strange, BrokenTrace: spec.BrokenTrace,
	}.Run(ctx, l.run.rec)
	return err
}

// endWhen ends an attack's plan when enough has been seen of it; the function
// it returns ends the wait for that.
func (l *loader) endWhen(ctx context.Context, spec experiments.AttackSpec, plan *loadgen.Extended) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-spec.Enough:
			if from, ok := l.run.rec.began(spec.Name); ok {
				plan.EndAt(l.run.rec.Now().Sub(from))
			}
		case <-ctx.Done():
		}
	})
	return func() {
		cancel()
		waiting.Wait()
	}
}

// ClosedLoop runs a closed loop for an action.
func (l *loader) ClosedLoop(ctx context.Context, spec experiments.ClosedLoopSpec) (float64, error) {
	source, err := l.part(spec.Routes, spec.Uses)
	if err != nil {
		return 0, err
	}
	base, err := l.base(spec.Replica)
	if err != nil {
		return 0, err
	}
	return loadgen.ClosedLoop{
		Name: spec.Name, RunID: l.run.id, Source: source, BaseURL: base,
		Connections: spec.Connections, For: spec.For, Timeout: l.timeout(0),
	}.Run(ctx, l.run.rec)
}

// Resubmit sends writes several times for an action.
func (l *loader) Resubmit(ctx context.Context, spec experiments.ResubmitSpec) error {
	source, err := l.part(spec.Routes, "")
	if err != nil {
		return err
	}
	if source, err = source.Writing(); err != nil {
		return err
	}
	return loadgen.Resubmission{
		Name: spec.Name, RunID: l.run.id, Source: source, Places: l.places(), Keys: spec.Keys, AtOnce: spec.AtOnce,
		For: spec.For, Of: spec.Of, Timeout: l.timeout(0),
	}.Run(ctx, l.run.rec)
}

// PlantSQL sends SQL in every value of the traffic's requests, for an action.
func (l *loader) PlantSQL(ctx context.Context, spec experiments.PlantSQLSpec) error {
	source, err := l.part(spec.Routes, spec.Uses)
	if err != nil {
		return err
	}
	base, err := l.base("")
	if err != nil {
		return err
	}
	return loadgen.Planting{
		Name: spec.Name, RunID: l.run.id, Source: source, BaseURL: base, Pause: spec.Pause, Timeout: l.timeout(0),
	}.Run(ctx, l.run.rec)
}

// ReadAcross writes at each replica and reads at the others, for an action.
func (l *loader) ReadAcross(ctx context.Context, spec experiments.ReadAcrossSpec) error {
	return loadgen.ReadAcross{
		Name: spec.Name, RunID: l.run.id, Source: l.source, Places: l.places(), Writes: spec.Writes, For: spec.For,
		Timeout: l.timeout(0),
	}.Run(ctx, l.run.rec)
}

// Registers writes and reads registers, for an action.
func (l *loader) Registers(ctx context.Context, spec experiments.RegistersSpec) error {
	return loadgen.Registers{
		Name: spec.Name, RunID: l.run.id, Source: l.source, Places: l.places(), Keys: spec.Keys, Callers: spec.Callers,
		Pause: spec.Pause, For: spec.For, Timeout: l.timeout(0),
	}.Run(ctx, l.run.rec)
}

// places are the replicas that there are now.
func (l *loader) places() []loadgen.Place {
	var all []loadgen.Place
	for _, rep := range l.run.env.Replicas() {
		all = append(all, loadgen.Place{Name: rep.Name(), URL: rep.Endpoint(l.run.plan.Subject.Traffic.Port)})
	}
	return all
}

// Target fills in a request of the traffic.
func (l *loader) Target(route, attack string, seq uint64) (loadgen.Target, error) {
	part, err := l.source.Only(route)
	if err != nil {
		return loadgen.Target{}, err
	}
	return part.Target(attack, seq)
}

var _ experiments.Loader = (*loader)(nil)

// began is when an attack began; false before it has.
func (c *counted) began(attack string) (journal.Instant, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.attacks[attack]
	return at, ok
}
