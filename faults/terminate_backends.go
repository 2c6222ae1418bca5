package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// TerminateBackends ends the service's connections to a Postgres database from
// the server's side, once or again and again, as a failover or an
// administrator does.
//
// In force: backends of the service's role that were in pg_stat_activity just
// before are gone just after. Exercised: there were any.
type TerminateBackends struct {
	// Every is the time between two rounds. Zero, the default: once.
	Every time.Duration `yaml:"every" json:"every,omitempty"`
}

var _ = register("terminate_backends", func() Fault { return new(TerminateBackends) })

// String is the fault in one line.
func (f *TerminateBackends) String() string {
	if f.Every > 0 {
		return fmt.Sprintf("terminate backends every %v", f.Every)
	}
	return "terminate backends"
}

// Supports wants a database.
func (f *TerminateBackends) Supports(t Target) error {
	if f.Every < 0 || f.Every > 0 && f.Every < 10*time.Millisecond {
		return fmt.Errorf("terminate_backends: every %v is neither zero nor at least 10ms", f.Every)
	}
	_, err := sqlTarget("terminate_backends", t)
	return err
}

const terminate = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE usename = $1 AND datname = current_database() AND pid <> pg_backend_pid()
  AND application_name NOT LIKE 'seatrial-%'`

// Inject ends the backends for the first time.
func (f *TerminateBackends) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	s := t.(SQL)
	conn, err := admin(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("terminate_backends: %w", err)
	}
	u := new(undo)
	u.add(closing(conn))
	if _, err := conn.Exec(ctx, terminate, s.ServiceRole()); err != nil {
		return nil, u.fail(ctx, fmt.Errorf("terminate_backends: %w", err))
	}
	if f.Every == 0 {
		return new(undo), u.Revert(ctx)
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		done <- f.repeat(life, func() error {
			_, err := conn.Exec(life, terminate, s.ServiceRole())
			return err
		})
	}()
	u.add(func(context.Context) error { // runs before the connection is closed
		stop()
		err := <-done
		done <- nil // a second revert has nothing more to say
		return err
	})
	return u, nil
}

// repeat does a round every so often until the context ends.
func (f *TerminateBackends) repeat(ctx context.Context, round func() error) error {
	tick := time.NewTicker(f.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := round(); err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("terminate_backends: %w", err)
			}
		}
	}
}

// Witness compares the backends before and after.
func (f *TerminateBackends) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	before := map[int]bool{}
	for _, a := range s.samples(s.justBefore()) {
		for _, b := range a.Backends {
			before[b.PID] = before[b.PID] || !ours(b)
		}
	}
	after := s.samples(journal.Window{From: w.From.Add(tallyLag)})
	if len(after) == 0 {
		return notInForce("pg_stat_activity of %q was not seen afterwards", target)
	}
	gone := 0
	for pid, theirs := range before {
		if theirs && after[0].of(func(b journal.Backend) bool { return b.PID == pid }) == 0 {
			gone++
		}
	}
	switch {
	case len(before) == 0:
		return notExercised("the service had no connection to %q in the %v before", target, justSoon)
	case gone == 0:
		return notInForce("all %d backends of the service in %q lived on", len(before), target)
	}
	return nil
}
