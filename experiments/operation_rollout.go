package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Migrate brings the schema to the service's next version, by the subject's own
// commands (next.migrate), while the service goes on. On a postgres dependency
// the run records who holds and waits for locks there, every 50 ms. A migrator
// that fails is recorded, for detectors to judge. It ends by itself, half a
// second after the last migrator.
type Migrate struct {
	// AtOnce is how many migrators are started at the same moment, as when
	// every replica of a deployment migrates first. Default 1.
	AtOnce int `yaml:"at_once" json:"at_once,omitempty"`
	// Rows is how many rows the subject's next.fill puts in before the load
	// begins, so that the migration has something to do. Default 0: none.
	Rows int `yaml:"rows" json:"rows,omitempty"`
	// Estimate is how long the plan allows for it; it may take longer or end
	// sooner. Default 3s.
	Estimate time.Duration `yaml:"estimate" json:"estimate,omitempty"`
}

var _ = registerAction(ClassOperation, "migrate", func() Action {
	return &Migrate{AtOnce: 1, Estimate: 3 * time.Second}
})

// String is the operation in one line.
func (m *Migrate) String() string {
	text := "migrate to the next version"
	if m.AtOnce > 1 {
		text += fmt.Sprintf(", %d at once", m.AtOnce)
	}
	if m.Rows > 0 {
		text += fmt.Sprintf(", with %d more rows", m.Rows)
	}
	return text
}

// Validate says what is wrong with the parameters.
func (m *Migrate) Validate() error {
	if m.AtOnce < 1 || m.Rows < 0 || m.Estimate <= 0 {
		return fmt.Errorf("migrate: at_once must be 1 or more, rows not negative, and estimate above zero")
	}
	return nil
}

// Supports takes a postgres dependency, or the service as a whole where no lock
// is to be watched.
func (m *Migrate) Supports(s *subject.Subject, target string) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if s.Next == nil || len(s.Next.Migrate) == 0 {
		return errNoNext
	}
	if m.Rows > 0 && s.Next.Fill == nil {
		return errors.New("the subject does not say how to make tables large (next: {fill: {dependency: …, sql: …}})")
	}
	if d, ok := s.Dependency(target); target != "" && (!ok || d.Kind != subject.Postgres) {
		return fmt.Errorf("%s is no postgres dependency", target)
	}
	return nil
}

var errNoNext = errors.New("the subject has no next version to migrate to (next: {build: …, migrate: …})")

// Start begins the migration and returns at once.
func (m *Migrate) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	migrator, ok := x.Environment.(environment.Migrator)
	if !ok {
		return nil, fmt.Errorf("migrate: this environment cannot run migrations")
	}
	return background(ctx, func(ctx context.Context) error {
		var all sync.WaitGroup
		for n := range m.AtOnce {
			all.Go(func() { m.run(ctx, x, migrator, n+1) })
		}
		all.Wait()
		return wait(ctx, locksAfter)
	}), nil
}

// locksAfter is how long the step goes on after the last migrator's end, so that
// the locks are seen to be gone.
const locksAfter = 500 * time.Millisecond

func (m *Migrate) run(ctx context.Context, x *Execution, migrator environment.Migrator, n int) {
	record := func(body journal.Migrated) {
		body.Migrator = n
		x.Recorder.Record(journal.Entry{On: x.Step, Body: body})
	}
	record(journal.Migrated{Began: true})
	began := x.Recorder.Now()
	done := journal.Migrated{}
	if err := migrator.Migrate(ctx); err != nil {
		done.Err = err.Error()
	}
	done.Took = x.Recorder.Now().Sub(began)
	record(done)
}

// Witness asks for a migrator to have ended.
func (m *Migrate) Witness(j journal.Journal, _ string, _ journal.Window) error {
	for _, done := range journal.Of[journal.Migrated](j) {
		if !done.Began {
			return nil
		}
	}
	return fmt.Errorf("%w: no migrator ended", faults.ErrNotInForce)
}

// RollTo replaces replicas by ones of another version of the service, one after
// the other, as a rollout does. A replica that does not become ready is
// recorded, for detectors to judge, and the roll goes on. It ends by itself.
type RollTo struct {
	// Version is next, or current for the way back. Required.
	Version string `yaml:"version" json:"version"`
	// Replicas is how many are replaced, from the first on. Default 0: all that
	// do not run that version yet.
	Replicas int `yaml:"replicas" json:"replicas,omitempty"`
}

var _ = registerAction(ClassOperation, "roll_to", func() Action { return &RollTo{} })

// String is the operation in one line.
func (r *RollTo) String() string {
	switch {
	case r.Replicas == 1:
		return fmt.Sprintf("roll a replica to the %s version", r.Version)
	case r.Replicas > 1:
		return fmt.Sprintf("roll %d replicas to the %s version", r.Replicas, r.Version)
	}
	return fmt.Sprintf("roll all replicas to the %s version", r.Version)
}

// Validate says what is wrong with the parameters.
func (r *RollTo) Validate() error {
	if r.Version != subject.NextVersion && r.Version != subject.CurrentVersion {
		return fmt.Errorf("roll_to: version must be next or current")
	}
	if r.Replicas < 0 {
		return fmt.Errorf("roll_to: replicas must not be negative")
	}
	return nil
}

// Supports takes the service as a whole.
func (r *RollTo) Supports(s *subject.Subject, target string) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if s.Next == nil {
		return errNoNext
	}
	return onService(target)
}

// Start begins the roll and returns at once.
func (r *RollTo) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	return background(ctx, func(ctx context.Context) error {
		replicas := x.Environment.Replicas()
		if r.Replicas > 0 {
			replicas = replicas[:min(r.Replicas, len(replicas))]
		}
		for _, rep := range replicas {
			if rep.Version() == r.Version {
				continue
			}
			if err := rep.Use(r.Version); err != nil {
				return fmt.Errorf("roll to %s: %w", r.Version, err)
			}
			done := journal.Rolled{Version: r.Version}
			if err := restartReplica(ctx, x, rep, 0); err != nil {
				if ctx.Err() != nil {
					return fmt.Errorf("roll to %s: %s: %w", r.Version, rep.Name(), err)
				}
				done.Err = err.Error()
			}
			x.Recorder.Record(journal.Entry{On: rep.Name(), Body: done})
		}
		return nil
	}), nil
}

// Witness asks for a replica to have been replaced.
func (r *RollTo) Witness(j journal.Journal, _ string, w journal.Window) error {
	for e, done := range journal.Of[journal.Rolled](j) {
		if e.At >= w.From && done.Version == r.Version {
			return nil
		}
	}
	return fmt.Errorf("%w: no replica was replaced by one of the %s version", faults.ErrNotInForce, r.Version)
}

// WatchesLocks reports whether a step of the plan migrates a dependency, or
// reads it for long, so that its locks are to be recorded.
func (p *Plan) WatchesLocks(dependency string) bool {
	return slices.ContainsFunc(p.Steps, func(s PlannedStep) bool {
		if s.Target != dependency {
			return false
		}
		switch do := s.Do.(type) {
		case *Migrate:
			return true
		case *FaultAction:
			_, reads := do.Fault.(*faults.LongReader)
			return reads
		}
		return false
	})
}

// FillRows is how many rows are put into the subject's tables before the load
// begins.
func (p *Plan) FillRows() int {
	rows := 0
	for _, s := range p.Steps {
		if m, ok := s.Do.(*Migrate); ok {
			rows = max(rows, m.Rows)
		}
	}
	return rows
}

// NeedsNext reports whether the plan runs the service's next version.
func (p *Plan) NeedsNext() bool {
	for _, s := range p.Steps {
		switch s.Do.(type) {
		case *Migrate, *RollTo:
			return true
		}
	}
	return false
}

// ReadAcross writes at each replica in turns and reads what was written at
// every other, so that each version reads what the other wrote: by the
// traffic's GET requests that pick what a write's answer gives to capture.
type ReadAcross struct {
	// Writes is how many. Default 60.
	Writes int `yaml:"writes" json:"writes,omitempty"`
	// For is the time that they are spread over. Default 4s.
	For time.Duration `yaml:"for" json:"for,omitempty"`
}

var _ = registerAction(ClassOperation, "read_across", func() Action {
	return &ReadAcross{Writes: 60, For: 4 * time.Second}
})

// String is the operation in one line.
func (r *ReadAcross) String() string {
	return fmt.Sprintf("write %d times, and read at the other replicas", r.Writes)
}

// Validate says what is wrong with the parameters.
func (r *ReadAcross) Validate() error {
	if r.Writes < 1 || r.For <= 0 {
		return fmt.Errorf("read_across: writes must be 1 or more, and for above zero")
	}
	return nil
}

// Length is how long the operation takes when its step does not say.
func (r *ReadAcross) Length() time.Duration { return r.For }

// Supports takes the service as a whole.
func (r *ReadAcross) Supports(_ *subject.Subject, target string) error {
	if err := r.Validate(); err != nil {
		return err
	}
	return onService(target)
}

// Start writes and reads; it returns at once.
func (r *ReadAcross) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	spec := ReadAcrossSpec{Name: x.Step, Writes: r.Writes, For: r.For}
	return background(ctx, func(ctx context.Context) error { return x.Load.ReadAcross(ctx, spec) }), nil
}

// Witness asks for a read that was answered.
func (r *ReadAcross) Witness(j journal.Journal, _ string, _ journal.Window) error {
	for _, read := range journal.Of[journal.CrossRead](j) {
		if read.Code != 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: no read at another replica was answered", faults.ErrNotInForce)
}
