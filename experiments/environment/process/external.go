package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// planExternal has the service use a PostgreSQL server that somebody else runs.
func (e *Environment) planExternal(s *server) {
	d := s.dependency
	s.direct = d.Address
	if d.Migrations != "" {
		d.Migrations = e.Subject.Path(d.Migrations)
	}
	s.start = func(ctx context.Context) (err error) {
		s.external, err = postgres.Attach(ctx, postgres.ExternalConfig{
			Dependency: d, Run: e.Options.Run, Secret: func(values ...string) { e.Secrets.Add(values...) },
		})
		if err == nil {
			e.Journal.Record(journal.Entry{On: d.Name, Body: journal.Note{
				Text: fmt.Sprintf("%s is PostgreSQL %s at %s, which runs already", d.Name, s.external.Version, d.Address),
			}})
		}
		return err
	}
	s.stop = func(ctx context.Context) error {
		if s.external == nil {
			return nil
		}
		return s.external.Stop(ctx)
	}
}

// externalTarget is a database on a server that somebody else runs, with what
// the subject allows there.
func (e *Environment) externalTarget(d *agent.Dependency, s *server, tap *fleet.Tap) faults.Target {
	t := externalTarget{sqlTarget{d, s}}
	restarts := restarter{environment: e, server: s}
	switch restartable := len(s.dependency.Restart) > 0; {
	case tap != nil && restartable:
		return struct {
			externalTarget
			fleet.Tap
			restarter
		}{t, *tap, restarts}
	case tap != nil:
		return struct {
			externalTarget
			fleet.Tap
		}{t, *tap}
	case restartable:
		return struct {
			externalTarget
			restarter
		}{t, restarts}
	}
	return t
}

// externalTarget is a database on a server that is no process of ours.
type externalTarget struct{ sqlTarget }

// Shared implements [faults.Shared].
func (t externalTarget) Shared() bool { return t.on.external.Shared() }

// restarter restarts a server by the command that its owner gave.
type restarter struct {
	environment *Environment
	server      *server
}

// restartWithin bounds the command and the server's way back.
const restartWithin = time.Minute

// Restart implements [faults.Restartable].
func (r restarter) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restartWithin)
	defer cancel()
	e, d := r.environment, r.server.dependency
	lines := e.NewLines(d.Name)
	program, err := exec.LookPath(d.Restart[0])
	if err != nil {
		return fmt.Errorf("restart %s: %w", d.Name, err)
	}
	exit, err := e.host.Spawner().Run(ctx, spawn.Spec{
		Path: program, Args: d.Restart[1:], Dir: e.Subject.Dir, Line: lines,
		Env: append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, e.marks()...),
	})
	if err != nil {
		return fmt.Errorf("restart %s: %w", d.Name, err)
	}
	if exit.Code != 0 {
		return fmt.Errorf("restart %s: %s %s%s", d.Name, d.Restart[0], exit, fleet.Printed(lines))
	}
	return r.answers(ctx)
}

// answers waits until the server takes connections.
func (r restarter) answers(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := r.server.external.Admin(ctx)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("restart %s: it does not answer: %w", r.server.dependency.Name, err)
		case <-tick.C:
		}
	}
}

var (
	_ faults.SQL         = externalTarget{}
	_ faults.Proxied     = externalTarget{}
	_ faults.Shared      = externalTarget{}
	_ faults.Restartable = struct {
		externalTarget
		restarter
	}{}
)
