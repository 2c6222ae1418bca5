package docker

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// serverTarget is a dependency in a container behind its proxy.
type serverTarget struct {
	*agent.Dependency
	*server
}

// Name is the dependency's name.
func (t serverTarget) Name() string { return t.Dependency.Name() }

// postgresTarget is a PostgreSQL server behind its proxy.
type postgresTarget struct{ serverTarget }

// Admin implements [faults.SQL].
func (t postgresTarget) Admin(ctx context.Context) (*pgx.Conn, error) {
	return t.connect(ctx, postgres.Superuser, t.database.Name)
}

// ServiceRole implements [faults.SQL].
func (t postgresTarget) ServiceRole() string { return t.database.Service }

// ServiceDSN implements [faults.SQL].
func (t postgresTarget) ServiceDSN() string { return t.database.References(t.outside)["url"] }

// tappedTarget is a PostgreSQL server with a wire tap before it.
type tappedTarget struct {
	postgresTarget
	wire agent.Tapped
}

// Interfere implements [faults.Tapped].
func (t tappedTarget) Interfere(ctx context.Context, id string, i faults.Interference) error {
	return t.wire.Interfere(ctx, id, i)
}

// LeaveAlone implements [faults.Tapped].
func (t tappedTarget) LeaveAlone(ctx context.Context, id string) error {
	return t.wire.LeaveAlone(ctx, id)
}

func (e *Environment) target(s *server) (faults.Target, error) {
	d := e.agent.Dependency(s.Target)
	if d == nil {
		return nil, fmt.Errorf("the agent has no proxy for %s", s.Target)
	}
	switch {
	case s.dependency.Kind == subject.Postgres:
		t := postgresTarget{serverTarget{d, s}}
		if wire, ok := e.agent.Tapped(s.Target); ok {
			return tappedTarget{t, wire}, nil
		}
		return t, nil
	case s.dependency.Kind == subject.HTTP:
		if stub, ok := e.agent.Stub(s.Target); ok {
			return stub, nil
		}
		return nil, fmt.Errorf("the agent has no stub for %s", s.Target)
	case s.start != nil:
		return serverTarget{d, s}, nil
	}
	return d, nil
}

var (
	_ faults.Proxied     = postgresTarget{}
	_ faults.Dialled     = postgresTarget{}
	_ faults.SQL         = postgresTarget{}
	_ faults.Signalled   = postgresTarget{}
	_ faults.Restartable = postgresTarget{}
	_ faults.Tapped      = tappedTarget{}
	_ faults.Proxied     = serverTarget{}
	_ faults.Dialled     = serverTarget{}
	_ faults.Signalled   = serverTarget{}
	_ faults.Restartable = serverTarget{}
)
