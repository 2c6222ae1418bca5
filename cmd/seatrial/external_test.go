package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
)

// snared refuses writes for a moment, by triggers on all tables.
const snared = `version: 1
name: snared
title: Writes are refused
processor: low
steady_state: {for: 500ms}
method:
  - {name: refused, for: 20s, on: postgres, fault: {refuse_writes: {codes: ["40001"], tables: [public.orders]}}}
recovery: 500ms
settle: 50ms
expect:
  - success: {ratio: 0.9, during: fault}
`

// shore is a PostgreSQL server that somebody else runs.
type shore struct {
	t       *testing.T
	address string
	conn    *pgx.Conn // to the database app
}

func newShore(t *testing.T) *shore {
	t.Helper()
	s := &shore{t: t, address: postgrestest.Start(t)}
	var err error
	if s.conn, err = pgx.Connect(t.Context(), s.url("postgres", "app")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close(context.Background()) })
	return s
}

func (s *shore) url(role, database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", role, s.address, database)
}

// yard makes a yard whose service has a database on the server: one that is
// made for each run, or the one that is there.
func (s *shore) yard(t *testing.T, entry string) *yard {
	t.Helper()
	entry = fmt.Sprintf("kind: postgres, address: %q, admin_url: %q, disruptive: true, %s",
		s.address, s.url("postgres", "postgres"), entry)
	y := newYard(t, "dependencies:", "dependencies:\n  db: {"+entry+"}")
	y.file("experiments/snared.yaml", snared)
	y.file("tables/1_orders.sql", "CREATE TABLE orders (id int);")
	return y
}

// whatIsThere lists what trials make on the server: databases, roles, sessions,
// schemas, triggers, functions and locks that carry the name of seatrial.
const whatIsThere = `
SELECT 'database ' || datname FROM pg_database WHERE starts_with(datname, 'seatrial')
UNION SELECT 'role ' || rolname FROM pg_roles WHERE starts_with(rolname, 'seatrial')
UNION SELECT 'session ' || application_name FROM pg_stat_activity WHERE application_name LIKE 'seatrial%'
UNION SELECT 'schema ' || nspname FROM pg_namespace WHERE starts_with(nspname, 'seatrial')
UNION SELECT 'trigger ' || tgname FROM pg_trigger WHERE starts_with(tgname, 'seatrial')
UNION SELECT 'advisory lock ' || objid FROM pg_locks WHERE locktype = 'advisory'
UNION SELECT 'lock on ' || relation::regclass FROM pg_locks
  WHERE mode = 'AccessExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = 'app')`

func (s *shore) left() []string {
	s.t.Helper()
	rows, err := s.conn.Query(s.t.Context(), whatIsThere)
	if err != nil {
		s.t.Fatal(err)
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(left)
	return left
}

// clean holds that within a few seconds nothing is left on the server.
func (s *shore) clean() {
	s.t.Helper()
	over := time.Now().Add(5 * time.Second)
	for {
		left := s.left()
		if len(left) == 0 {
			return
		}
		if time.Now().After(over) {
			s.t.Errorf("left on the server:\n%s", strings.Join(left, "\n"))
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}

// TestShore tries a service on a PostgreSQL that somebody else runs: nothing is
// left there, whatever becomes of seatrial. Whole trials that end by themselves
// are made where SEATRIAL_LONG is set, too.
func TestShore(t *testing.T) {
	t.Parallel()
	s := newShore(t)
	for _, form := range []struct{ name, entry, leaves string }{
		{"a database of its own", "migrations: tables", "database seatrial_"},
		{"the one that is there", fmt.Sprintf("service_url: %q", s.url("app_service", "app")), "trigger seatrial-"},
	} {
		t.Run(form.name, func(t *testing.T) {
			s.t = t
			s.passes(form.entry)
			s.interrupted(form.entry)
			s.killed(form.entry, form.leaves)
		})
	}
}

func (s *shore) passes(entry string) {
	if os.Getenv("SEATRIAL_LONG") == "" {
		return
	}
	y := s.yard(s.t, entry)
	v := y.run("run", "dip", "--attempts=1")
	if code := v.wait(); code != experiments.ExitPassed && code != experiments.ExitInconclusive {
		s.t.Errorf("exit code %d:\n%s%s", code, v.out.String(), v.errors.String())
	}
	y.nothingLeft()
	s.clean()
}

func (s *shore) interrupted(entry string, flags ...string) {
	y := s.yard(s.t, entry)
	v := y.start(append([]string{"run", "snared", "--attempts=1"}, flags...)...)
	v.until("in force: refused")
	if len(s.left()) == 0 {
		s.t.Error("nothing is on the server while the fault is in force")
	}
	v.signal(syscall.SIGINT)
	v.ended(experiments.ExitAborted, "interrupted: putting everything back", "ABORTED")
	s.clean()
}

func (s *shore) killed(entry, leaves string) {
	y := s.yard(s.t, entry)
	v := y.start("run", "snared", "--attempts=1")
	v.until("in force: refused")
	v.signal(syscall.SIGKILL)
	v.ended(-1)
	trial := strings.ToLower(y.trial().ID)
	for _, what := range s.left() {
		if strings.HasPrefix(what, leaves) && !strings.Contains(strings.ReplaceAll(what, "_", "-"), trial) {
			s.t.Errorf("%s does not tell of which trial %s", what, trial)
		}
	}
	if !slices.ContainsFunc(s.left(), func(what string) bool { return strings.HasPrefix(what, leaves) }) {
		s.t.Errorf("nothing is left that begins with %q: %v", leaves, s.left())
	}
	v = y.run("doctor", "--reap", "--database", s.url("postgres", "app"))
	if out := v.out.String(); !strings.Contains(out, "removed: ") {
		s.t.Errorf("the doctor said:\n%s%s", out, v.errors.String())
	}
	s.clean()
}
