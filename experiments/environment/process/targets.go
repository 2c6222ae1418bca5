package process

import (
	"context"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// database is the service's database on a server, whoever runs that.
type database interface {
	Admin(context.Context) (*pgx.Conn, error)
	ServiceRole() string
	ServiceDSN() string
	References(address string) map[string]string
}

func (s *server) database() database {
	if s.external != nil {
		return s.external
	}
	return s.postgres
}

// sqlTarget is a PostgreSQL database behind its proxy. The target is made while
// the server may still be starting; it is used when both are up.
type sqlTarget struct {
	*agent.Dependency
	on *server
}

// Kind is "postgres".
func (sqlTarget) Kind() string { return subject.Postgres }

// Admin implements [faults.SQL].
func (t sqlTarget) Admin(ctx context.Context) (*pgx.Conn, error) { return t.on.database().Admin(ctx) }

// ServiceRole implements [faults.SQL].
func (t sqlTarget) ServiceRole() string { return t.on.database().ServiceRole() }

// ServiceDSN implements [faults.SQL].
func (t sqlTarget) ServiceDSN() string { return t.on.database().ServiceDSN() }

// postgresTarget is a PostgreSQL server of ours.
type postgresTarget struct {
	sqlTarget
	server *server
}

// Signal implements [faults.Signalled].
func (t *postgresTarget) Signal(ctx context.Context, s os.Signal) error {
	return t.server.postgres.Signal(ctx, s)
}

// WaitExit implements [faults.Signalled].
func (t *postgresTarget) WaitExit(ctx context.Context) error { return t.server.postgres.WaitExit(ctx) }

// Restart implements [faults.Restartable].
func (t *postgresTarget) Restart(ctx context.Context) error { return t.server.postgres.Restart(ctx) }

// tappedTarget is a PostgreSQL server with a wire tap before it.
type tappedTarget struct {
	*postgresTarget
	fleet.Tap
}

// redisTarget is a redis-server behind its proxy.
type redisTarget struct {
	*agent.Dependency
	*redisServer
}

var (
	_ faults.Proxied     = (*postgresTarget)(nil)
	_ faults.Dialled     = (*postgresTarget)(nil)
	_ faults.SQL         = (*postgresTarget)(nil)
	_ faults.Signalled   = (*postgresTarget)(nil)
	_ faults.Restartable = (*postgresTarget)(nil)
	_ faults.SQL         = (*tappedTarget)(nil)
	_ faults.Restartable = (*tappedTarget)(nil)
	_ faults.Tapped      = (*tappedTarget)(nil)
	_ faults.Proxied     = redisTarget{}
	_ faults.Dialled     = redisTarget{}
	_ faults.Signalled   = redisTarget{}
	_ faults.Restartable = redisTarget{}
)
