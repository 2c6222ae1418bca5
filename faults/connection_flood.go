package faults

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ConnectionFlood opens idle connections to a Postgres database as the service's
// role, until a number is reached or the server takes no more. The service's
// open connections stay; new ones are refused.
//
// In force: pg_stat_activity shows the flood's connections (named "seatrial-"
// and the run): all that were asked for, or enough to leave fewer than a tenth
// of the server's. Exercised: the service opened connections in the window.
type ConnectionFlood struct {
	// Connections is how many to open. Zero, the default: all that the server
	// gives to ordinary roles.
	Connections int `yaml:"connections" json:"connections,omitempty"`
}

var _ = register("connection_flood", func() Fault { return new(ConnectionFlood) })

// String is the fault in one line.
func (f *ConnectionFlood) String() string {
	if f.Connections == 0 {
		return "flood of connections, all that there are"
	}
	return fmt.Sprintf("flood of %d connections", f.Connections)
}

// Harm implements [Harmful].
func (*ConnectionFlood) Harm() string { return "it takes the connections that others need" }

// Supports wants a database.
func (f *ConnectionFlood) Supports(t Target) error {
	if f.Connections < 0 {
		return fmt.Errorf("connection_flood: connections %d is negative", f.Connections)
	}
	_, err := sqlTarget("connection_flood", t)
	return err
}

// maxFlood bounds a flood, and floodAtOnce how many connections are opened at
// the same time.
const (
	maxFlood    = 5000
	floodAtOnce = 8
)

// Inject opens the connections.
func (f *ConnectionFlood) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	s := t.(SQL)
	config, err := pgx.ParseConfig(s.ServiceDSN())
	if err != nil {
		return nil, errors.New("connection_flood: the service's connection string cannot be read") // it holds a password
	}
	config.RuntimeParams["application_name"] = Mark(t)
	want := f.Connections
	if want == 0 {
		want = maxFlood
	}
	u := new(undo)
	opened, err := flood(ctx, config, want, u)
	if err == nil && (opened == 0 || f.Connections > opened) {
		err = fmt.Errorf("the server takes only %d connections", opened)
	}
	if err != nil {
		return nil, u.fail(ctx, fmt.Errorf("connection_flood: %w", err))
	}
	return u, nil
}

// flood opens connections until there are enough or the server refuses, and
// returns how many there are.
func flood(ctx context.Context, config *pgx.ConnConfig, want int, u *undo) (int, error) {
	opened := 0
	for opened < want {
		n := min(floodAtOnce, want-opened)
		conns := make([]*pgx.Conn, n)
		var g errgroup.Group
		for i := range n {
			g.Go(func() (err error) {
				conns[i], err = pgx.ConnectConfig(ctx, config.Copy())
				return err
			})
		}
		err := g.Wait()
		for _, c := range conns {
			if c != nil {
				u.add(closing(c))
				opened++
			}
		}
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "53300" { // too_many_connections
			return opened, nil
		}
		if err != nil {
			return opened, err
		}
	}
	return opened, nil
}

// Witness counts the flood's connections.
func (f *ConnectionFlood) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	samples := s.samples(w)
	if len(samples) == 0 {
		return notInForce("pg_stat_activity of %q was not seen in the window", target)
	}
	first := samples[0]
	flooded, all := first.of(ours), len(first.Backends)
	switch {
	case f.Connections > 0 && flooded < f.Connections:
		return notInForce("%d of the flood's %d connections to %q were there", flooded, f.Connections, target)
	case flooded == 0:
		return notInForce("none of the flood's connections to %q was there", target)
	case f.Connections == 0 && all < first.MaxConnections-max(first.MaxConnections/10, 8):
		return notInForce("of the %d connections of %q only %d were taken", first.MaxConnections, target, all)
	}
	if s.flow(w).conns <= 0 {
		return notExercised("the service opened no connection to %q in the window", target)
	}
	return nil
}
