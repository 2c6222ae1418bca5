package process

import (
	"context"
	"os"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// postgresTarget is a PostgreSQL server behind its proxy. The target is made
// while the server may still be starting; it is used when both are up.
type postgresTarget struct {
	*agent.Dependency
	server *server
}

// Kind is "postgres".
func (*postgresTarget) Kind() string { return subject.Postgres }

// Admin implements [faults.SQL].
func (t *postgresTarget) Admin(ctx context.Context) (*pgx.Conn, error) {
	return t.server.postgres.Admin(ctx)
}

// ServiceRole implements [faults.SQL].
func (t *postgresTarget) ServiceRole() string { return t.server.postgres.ServiceRole() }

// ServiceDSN implements [faults.SQL].
func (t *postgresTarget) ServiceDSN() string { return t.server.postgres.ServiceDSN() }

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
	wire agent.Tapped
}

// Interfere implements [faults.Tapped].
func (t *tappedTarget) Interfere(ctx context.Context, id string, i faults.Interference) error {
	return t.wire.Interfere(ctx, id, i)
}

// LeaveAlone implements [faults.Tapped].
func (t *tappedTarget) LeaveAlone(ctx context.Context, id string) error {
	return t.wire.LeaveAlone(ctx, id)
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
