package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// FaultAction makes a fault an action: starting it injects the fault, stopping
// it takes the fault back.
type FaultAction struct {
	Fault faults.Fault
}

func newFaultAction(kind string) (*FaultAction, error) {
	f, err := faults.New(kind)
	if err != nil {
		return nil, err
	}
	return &FaultAction{Fault: f}, nil
}

func faultKinds() []string { return faults.Kinds() }

// String is the fault in one line.
func (a *FaultAction) String() string { return a.Fault.String() }

// Supports asks the fault about a target of the kind the subject has under
// that name.
func (a *FaultAction) Supports(s *subject.Subject, target string) error {
	t, err := plannedTarget(s, target)
	if err != nil {
		return err
	}
	return a.Fault.Supports(t)
}

// Start injects the fault.
func (a *FaultAction) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	t, err := x.Environment.Target(x.Target)
	if err != nil {
		return nil, err
	}
	if err := a.Fault.Supports(t); err != nil {
		return nil, err
	}
	fault, err := a.given(ctx, x)
	if err != nil {
		return nil, err
	}
	injection, err := fault.Inject(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("inject %s into %s: %w", fault, x.Target, err)
	}
	return func(ctx context.Context) error {
		err := injection.Revert(ctx)
		if r, ok := injection.(faults.Reporter); ok {
			r.Report(x.Recorder)
		}
		return err
	}, nil
}

// given is the fault with the figure that it follows; what was made of it is
// recorded as the step's.
func (a *FaultAction) given(ctx context.Context, x *Execution) (faults.Fault, error) {
	f, ok := a.Fault.(faults.Following)
	if !ok || f.Follows() == "" {
		return a.Fault, nil
	}
	figure, ok := x.measured(ctx, f.Follows())
	if !ok {
		return nil, fmt.Errorf("inject %s into %s: no earlier step has measured %s; add measure_%s",
			f, x.Target, f.Follows(), f.Follows())
	}
	fault, made := f.Given(figure.Value)
	x.Recorder.Record(journal.Entry{On: x.Step, Body: journal.Measured{Quantity: made}})
	return fault, nil
}

// Witness is the fault's own.
func (a *FaultAction) Witness(j journal.Journal, target string, w journal.Window) error {
	return a.Fault.Witness(j, target, w)
}

// taps reports whether the fault can break a postgres dependency only with a
// wire tap before it.
func (a *FaultAction) taps() bool {
	bare := plannedPostgres{named: named{"postgres", subject.Postgres}}
	return a.Fault.Supports(bare) != nil && a.Fault.Supports(plannedTapped{plannedPostgres: bare}) == nil
}

// The planned targets stand for a target of one kind before there is one. They
// have the capabilities that the kind can have in any backend; only their name
// and kind may be asked.
type (
	named           struct{ name, kind string }
	plannedPostgres struct {
		named
		proxied
		sql
		process
	}
	plannedTapped struct {
		plannedPostgres
		tapped
	}
	plannedExternal struct {
		named
		proxied
		sql
		tapped
	}
	plannedRestarted struct {
		named
		proxied
		sql
		tapped
		restartable
	}
	plannedRedis struct {
		named
		proxied
		process
	}
	plannedHTTP struct {
		named
		proxied
		stub
	}
	plannedTCP struct {
		named
		proxied
	}
	plannedReplica struct {
		named
		process
	}
	containedPostgres struct {
		named
		proxied
		sql
		tapped
		process
		contained
	}
	containedRedis struct {
		named
		proxied
		process
		contained
	}
	containedReplica struct {
		named
		process
		contained
	}
	proxied struct {
		faults.Proxied
		dialled
	}
	dialled struct{ faults.Dialled }
	sql     struct{ faults.SQL }
	tapped  struct{ wire }
	wire    interface {
		Interfere(ctx context.Context, id string, i faults.Interference) error
		LeaveAlone(ctx context.Context, id string) error
	}
	stub    struct{ faults.Stub }
	process struct {
		faults.Signalled
		restartable
	}
	restartable struct{ faults.Restartable }
	contained   struct {
		bounded
		networked
	}
	bounded   struct{ faults.Bounded }
	networked struct{ faults.Networked }
)

// Name is the name in the subject.
func (n named) Name() string { return n.name }

// Kind is the kind in the subject, or replica.
func (n named) Kind() string { return n.kind }

// inContainers is the environment whose targets are containers.
const inContainers = "docker"

// KindReplica is the kind of a target that is a copy of the service.
const KindReplica = "replica"

func plannedTarget(s *subject.Subject, target string) (faults.Target, error) {
	for _, d := range s.Dependencies {
		if d.Name != target {
			continue
		}
		n := named{target, d.Kind}
		switch {
		case d.Kind == subject.Postgres && s.Environment == inContainers:
			return containedPostgres{named: n}, nil
		case d.Kind == subject.Redis && s.Environment == inContainers:
			return containedRedis{named: n}, nil
		}
		switch d.Kind {
		case subject.Postgres:
			return plannedDatabase(n, d), nil
		case subject.Redis:
			return plannedRedis{named: n}, nil
		case subject.HTTP:
			return plannedHTTP{named: n}, nil
		default:
			return plannedTCP{named: n}, nil
		}
	}
	if slices.Contains(ReplicaNames(s, s.Service.Replicas), target) {
		n := named{target, KindReplica}
		if s.Environment == inContainers {
			return containedReplica{named: n}, nil
		}
		return plannedReplica{named: n}, nil
	}
	if target == "" {
		return nil, errors.New("it is not said what to break; name a dependency, a kind of one, replica or replicas with on")
	}
	return nil, fmt.Errorf("the subject has no dependency and no replica called %q", target)
}

// plannedDatabase is a database; one that somebody else runs is no process of
// ours, and starts again only where the subject says how.
func plannedDatabase(n named, d subject.Dependency) faults.Target {
	switch {
	case !d.External():
		return plannedTapped{plannedPostgres: plannedPostgres{named: n}}
	case len(d.Restart) > 0:
		return plannedRestarted{named: n}
	}
	return plannedExternal{named: n}
}

var (
	_ interface {
		faults.Proxied
		faults.Dialled
		faults.SQL
		faults.Signalled
		faults.Restartable
		faults.Tapped
	} = plannedTapped{}
	_ interface {
		faults.Proxied
		faults.Dialled
		faults.Signalled
		faults.Restartable
	} = plannedRedis{}
	_ interface {
		faults.Proxied
		faults.Dialled
		faults.Stub
	} = plannedHTTP{}
	_ interface {
		faults.Proxied
		faults.Dialled
	} = plannedTCP{}
	_ interface {
		faults.Signalled
		faults.Restartable
	} = plannedReplica{}
	_ interface {
		faults.Proxied
		faults.Dialled
		faults.SQL
		faults.Signalled
		faults.Restartable
		faults.Tapped
		faults.Bounded
		faults.Networked
	} = containedPostgres{}
	_ interface {
		faults.Proxied
		faults.Dialled
		faults.Signalled
		faults.Restartable
		faults.Bounded
		faults.Networked
	} = containedRedis{}
	_ interface {
		faults.Signalled
		faults.Restartable
		faults.Bounded
		faults.Networked
	} = containedReplica{}
)
