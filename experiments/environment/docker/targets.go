package docker

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/observe"
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
type postgresTarget struct {
	serverTarget
	access
}

// access is the way into a PostgreSQL server past its proxy.
type access struct{ to *server }

// Admin implements [faults.SQL].
func (a access) Admin(ctx context.Context) (*pgx.Conn, error) {
	return a.to.connect(ctx, postgres.Superuser, a.to.database.Name)
}

// ServiceRole implements [faults.SQL].
func (a access) ServiceRole() string { return a.to.database.Service }

// ServiceDSN implements [faults.SQL].
func (a access) ServiceDSN() string { return a.to.database.References(a.to.outside)["url"] }

// tappedTarget is a PostgreSQL server with a wire tap before it.
type tappedTarget struct {
	postgresTarget
	fleet.Tap
}

// behind says what can be broken of a dependency beside what is behind a proxy;
// nil: nothing.
func (s *server) behind() func(*agent.Dependency, *fleet.Tap) faults.Target {
	if s.start == nil {
		return nil
	}
	return func(d *agent.Dependency, tap *fleet.Tap) faults.Target {
		t := serverTarget{d, s}
		switch {
		case s.dependency.Kind != subject.Postgres:
			return t
		case tap == nil:
			return postgresTarget{t, access{s}}
		}
		return tappedTarget{postgresTarget{t, access{s}}, *tap}
	}
}

var (
	_ faults.Proxied     = postgresTarget{}
	_ faults.Dialled     = postgresTarget{}
	_ observe.Beside     = postgresTarget{}
	_ faults.SQL         = postgresTarget{}
	_ faults.Signalled   = postgresTarget{}
	_ faults.Restartable = postgresTarget{}
	_ faults.Bounded     = postgresTarget{}
	_ faults.Networked   = postgresTarget{}
	_ faults.Tapped      = tappedTarget{}
	_ faults.Proxied     = serverTarget{}
	_ faults.Dialled     = serverTarget{}
	_ observe.Beside     = serverTarget{}
	_ observe.Beside     = tappedTarget{}
	_ faults.Signalled   = serverTarget{}
	_ faults.Restartable = serverTarget{}
	_ faults.Bounded     = serverTarget{}
	_ faults.Networked   = serverTarget{}
)
