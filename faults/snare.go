package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seatrial/seatrial/experiments/journal"
)

// snare is a schema of ours in the service's database: a function that triggers
// call, a sequence that counts the attempts, and slots, sequences too, that keep
// when each attempt was made: what a sequence holds is not rolled back. The
// connection that made the schema holds an advisory lock on its name, so that
// others can tell whether it still belongs to anybody.
type snare struct {
	kind   string
	target SQL
	name   string // of the schema and the triggers
	within time.Duration
	began  int64 // microseconds since the epoch, on the server's clock
	conn   *pgx.Conn
	clear  func(context.Context) error // what must be undone before, or nil
	codeOf func(n int64) string        // what the nth attempt was refused with
	refuse int
	commit bool

	dropped  bool
	attempts []journal.Attempt
	ages     []time.Duration // of the attempts, at the instant read
	read     time.Time
}

// slots is how many attempts are kept with their time. Later ones are counted.
const slots = 256

// newSnare opens a connection and takes the name.
func newSnare(ctx context.Context, kind string, t SQL, within time.Duration) (*snare, error) {
	s := &snare{kind: kind, target: t, within: within, name: schemaName(Mark(t))}
	conn, err := admin(ctx, t)
	if err != nil {
		return nil, err
	}
	s.conn = conn
	err = conn.QueryRow(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint
FROM pg_advisory_lock(hashtextextended($1, 0))`, s.name).Scan(&s.began)
	if err != nil {
		return nil, errors.Join(err, closing(conn)(ctx))
	}
	return s, nil
}

// longestName is PostgreSQL's own bound on names, with room for a number.
const longestName = 63 - 12

// lay makes a snare for a fault on tables (none: on all), and has it set there.
// On error nothing is left.
func lay(
	ctx context.Context, kind string, f Fault, t Target, within time.Duration, tables []string,
	set func(s *snare, tables []string) error,
) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	s, err := newSnare(ctx, kind, t.(SQL), within)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	tables, err = tablesOf(ctx, s.conn, tables)
	if err == nil {
		err = set(s, tables)
	}
	if err != nil {
		return nil, s.fail(ctx, fmt.Errorf("%s: %w", kind, err))
	}
	return s, nil
}

// met counts the attempts to write to a target in a window, and those of them
// that were refused.
func met(j journal.Journal, target string, w journal.Window) (all, refused int) {
	for e, a := range journal.Of[journal.Attempt](j) {
		if e.On == target && w.Contains(e.At) {
			all++
			if a.Code != "" {
				refused++
			}
		}
	}
	return all, refused
}

func schemaName(mark string) string {
	if len(mark) > longestName {
		mark = mark[:longestName]
	}
	return unique(mark)
}

// in is the quoted name of what is in the schema.
func (s *snare) in(name string) string { return pgx.Identifier{s.name, name}.Sanitize() }

// note is the statement that keeps when attempt n was made, and by which
// backend.
func (s *snare) note() string {
	return fmt.Sprintf(`IF n <= %d THEN
    PERFORM setval(format('%s', n)::regclass,
      ((extract(epoch FROM clock_timestamp()) * 1e6)::bigint - %d) * 4194304 + pg_backend_pid() + 1);
  END IF;`, slots, quoted(s.in("slot_%s")), s.began)
}

// quoted is text within a literal of SQL.
func quoted(text string) string { return strings.ReplaceAll(text, "'", "''") }

// body is that of the trigger's function, with what becomes of attempt n. An
// attempt is a transaction: that it was let through is remembered in a setting
// that ends with it.
func (s *snare) body(then string) string {
	const body = `
DECLARE
  n bigint;
BEGIN
  IF current_setting('seatrial.let', true) = pg_current_xact_id()::text THEN
    RETURN NULL;
  END IF;
  n := nextval('%s');
  %s
%s
END`
	return fmt.Sprintf(body, quoted(s.in("attempts")), s.note(), then)
}

// letThrough is the statements that let an attempt through.
const letThrough = `PERFORM set_config('seatrial.let', pg_current_xact_id()::text, true);
  RETURN NULL;`

// function makes the trigger's function. It runs with our rights, so that the
// service's role needs none on what is in the schema.
func (s *snare) function(body, settings string) string {
	return fmt.Sprintf("CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER "+
		"SET search_path = pg_catalog %s AS $seatrial$%s$seatrial$", s.in("act"), settings, body)
}

// build makes the schema with the function, and then the triggers; nothing of
// it is there when it returns an error and the snare has been reverted.
func (s *snare) build(ctx context.Context, function string, triggers []string) error {
	schema := pgx.Identifier{s.name}.Sanitize()
	statements := []string{
		"BEGIN", fmt.Sprintf("SET LOCAL lock_timeout = %d", s.within.Milliseconds()),
		"CREATE SCHEMA " + schema, "CREATE SEQUENCE " + s.in("attempts"),
		fmt.Sprintf("DO $seatrial$ BEGIN FOR i IN 1..%d LOOP EXECUTE 'CREATE SEQUENCE ' || format('%s', i); "+
			"END LOOP; END $seatrial$", slots, quoted(s.in("slot_%s"))),
		function,
	}
	statements = append(append(statements, triggers...), "COMMIT")
	_, err := s.conn.PgConn().Exec(ctx, strings.Join(statements, ";\n")).ReadAll()
	if err != nil {
		_, undone := s.conn.PgConn().Exec(context.WithoutCancel(ctx), "ROLLBACK").ReadAll()
		return errors.Join(err, undone)
	}
	return nil
}

// fail reverts after an error in the middle of an injection.
func (s *snare) fail(ctx context.Context, err error) error {
	return errors.Join(err, s.Revert(context.WithoutCancel(ctx)))
}

// Revert makes the function harmless, reads what it counted, and drops the
// schema and the triggers with it.
func (s *snare) Revert(ctx context.Context) error {
	if s.dropped {
		return nil
	}
	if err := s.revert(ctx); err != nil {
		return fmt.Errorf("%s: take it back: %w", s.kind, err)
	}
	s.dropped = true
	return closing(s.conn)(ctx)
}

func (s *snare) revert(ctx context.Context) error {
	if s.clear != nil {
		if err := s.clear(ctx); err != nil {
			return err
		}
		s.clear = nil
	}
	if s.conn.Ping(ctx) != nil { // the server was restarted meanwhile
		conn, err := admin(ctx, s.target)
		if err != nil {
			return err
		}
		s.conn = conn
	}
	var there bool
	const asked = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"
	if err := s.conn.QueryRow(ctx, asked, s.name).Scan(&there); err != nil || !there {
		return err
	}
	if _, err := s.conn.Exec(ctx, s.function("BEGIN RETURN NULL; END", "")); err != nil {
		return err
	}
	if err := s.count(ctx); err != nil {
		return err
	}
	return dropSchema(ctx, s.conn, s.name)
}

// count reads the attempts from the slots.
func (s *snare) count(ctx context.Context) error {
	var now int64
	asked := time.Now()
	if err := s.conn.QueryRow(ctx, "SELECT (extract(epoch FROM clock_timestamp()) * 1e6)::bigint").Scan(&now); err != nil {
		return err
	}
	s.read = asked.Add(time.Since(asked) / 2)
	rows, err := s.conn.Query(ctx, `SELECT substr(sequencename, 6)::bigint, last_value FROM pg_sequences
WHERE schemaname = $1 AND sequencename LIKE 'slot\_%' AND last_value IS NOT NULL ORDER BY 1`, s.name)
	if err != nil {
		return err
	}
	s.attempts, s.ages = nil, nil
	var n, v int64
	_, err = pgx.ForEachRow(rows, []any{&n, &v}, func() error {
		s.attempts = append(s.attempts, journal.Attempt{
			N: int(n), PID: int(v%4194304) - 1, Code: s.codeOf(n), Refuse: s.refuse, Commit: s.commit,
		})
		s.ages = append(s.ages, time.Duration(now-s.began-v/4194304)*time.Microsecond)
		return nil
	})
	return err
}

// Report records the attempts.
func (s *snare) Report(rec journal.Recorder) {
	read := rec.Now().Add(-time.Since(s.read))
	for i, a := range s.attempts {
		rec.Record(journal.Entry{At: read.Add(-s.ages[i]), On: s.target.Name(), Body: a})
	}
	s.attempts = nil
}

// dropWithin bounds one try to get the locks of all tables that a schema's
// triggers are on: whoever comes meanwhile waits behind us.
const dropWithin = 500 * time.Millisecond

// dropSchema drops a schema with all that depends on it, again and again while
// transactions of the service are in its way.
func dropSchema(ctx context.Context, conn *pgx.Conn, name string) error {
	drop := fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = %d; SET LOCAL client_min_messages = warning; "+
		"DROP SCHEMA IF EXISTS %s CASCADE; COMMIT", dropWithin.Milliseconds(), pgx.Identifier{name}.Sanitize())
	for {
		_, err := conn.PgConn().Exec(ctx, drop).ReadAll()
		if err == nil {
			return nil
		}
		_, undone := conn.PgConn().Exec(context.WithoutCancel(ctx), "ROLLBACK").ReadAll()
		var pg *pgconn.PgError
		inTheWay := errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "40P01")
		if !inTheWay || undone != nil || ctx.Err() != nil {
			return fmt.Errorf("drop the schema %s: %w", name, errors.Join(err, undone, ctx.Err()))
		}
	}
}
