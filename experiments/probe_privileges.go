package experiments

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Privileges asks a Postgres database what the roles may do under which the
// service is connected at that moment: the flags of the roles, what they own,
// where they may create, and whether CREATE TABLE is refused. The table, should
// it be created, is rolled back.
type Privileges struct{}

var _ = registerAction(ClassProbe, "privileges", func() Action { return &Privileges{} })

// String is the probe in one line.
func (*Privileges) String() string { return "ask what the service's database role may do" }

// Supports takes a Postgres database.
func (*Privileges) Supports(s *subject.Subject, target string) error {
	t, err := plannedTarget(s, target)
	if err != nil {
		return err
	}
	if _, ok := t.(faults.SQL); !ok {
		return fmt.Errorf("privileges: %s is a %s, not a database", target, t.Kind())
	}
	return nil
}

// Start asks, and records [journal.Privileges] for each role.
func (p *Privileges) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	t, err := x.Environment.Target(x.Target)
	if err != nil {
		return nil, err
	}
	db, ok := t.(faults.SQL)
	if !ok {
		return nil, fmt.Errorf("privileges: %s is a %s, not a database", x.Target, t.Kind())
	}
	all, err := rolesInUse(ctx, db)
	if err != nil {
		all = []journal.Privileges{{Role: db.ServiceRole(), Err: journal.Reason(err)}}
	}
	for _, role := range all {
		x.Recorder.Record(journal.Entry{On: x.Target, Body: role})
	}
	return func(context.Context) error { return nil }, nil
}

// Witness wants an answer.
func (*Privileges) Witness(j journal.Journal, target string, _ journal.Window) error {
	for e, p := range journal.Of[journal.Privileges](j) {
		if e.On == target && p.Err == "" {
			return nil
		}
	}
	return fmt.Errorf("%w: %s did not say what its roles may do", faults.ErrNotInForce, target)
}

// rolesInUse describes the roles under which anybody but us is connected, or
// the one that was meant for the service where nobody is.
func rolesInUse(ctx context.Context, db faults.SQL) ([]journal.Privileges, error) {
	conn, err := db.Admin(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `SELECT DISTINCT usename::text FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
  AND application_name NOT LIKE 'seatrial%' ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	connected, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	roles := connected
	if len(roles) == 0 || faults.IsShared(db) {
		roles = []string{db.ServiceRole()}
	}
	var all []journal.Privileges
	for _, name := range roles {
		p, err := describeRole(ctx, conn, name)
		if err != nil {
			return nil, err
		}
		p.Connected = slices.Contains(connected, name)
		if p.Refused, err = tryCreate(ctx, conn, db, name); err != nil {
			return nil, err
		}
		p.Tried = true
		all = append(all, p)
	}
	return all, nil
}

// A role has the attributes of those that it can become (SET ROLE), and the
// rights of those that it can become or inherits from. Up to PostgreSQL 15 a
// member can always become the role; since 16 a grant says whether it can (WITH
// SET) and whether it inherits (WITH INHERIT). For a superuser all roles count.
const (
	becomes = "CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END"
	uses    = "CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET, USAGE' END"
)

const roleFlags = `
SELECT bool_or(r.rolsuper AND own), bool_or(r.rolcreatedb AND own), bool_or(r.rolcreaterole AND own),
       bool_or(r.rolreplication AND own), bool_or(r.rolbypassrls AND own),
       coalesce(array_agg(r.rolname::text ORDER BY r.rolname)
         FILTER (WHERE r.rolname IN ('pg_write_server_files', 'pg_execute_server_program')
           AND pg_has_role($1, r.oid, ` + uses + `)), '{}')
FROM pg_roles r, LATERAL (SELECT r.rolname = $1 OR pg_has_role($1, r.oid, ` + becomes + `) AS own) AS may`

const ownedTables = `
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
  AND pg_has_role($1, c.relowner, ` + uses + `)
ORDER BY 1`

const createsIn = `
SELECT 'schema ' || nspname FROM pg_namespace
WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\_%' AND has_schema_privilege($1, oid, 'CREATE')
UNION ALL
SELECT 'database ' || current_database() WHERE has_database_privilege($1, current_database(), 'CREATE')
ORDER BY 1`

// ownedNamed bounds how many tables are named.
const ownedNamed = 5

func describeRole(ctx context.Context, conn *pgx.Conn, role string) (journal.Privileges, error) {
	p := journal.Privileges{Role: role}
	err := conn.QueryRow(ctx, roleFlags, role).
		Scan(&p.Superuser, &p.CreateDB, &p.CreateRole, &p.Replication, &p.BypassRLS, &p.Server)
	if err != nil {
		return p, err
	}
	owned, err := names(ctx, conn, ownedTables, role)
	if err != nil {
		return p, err
	}
	p.Owns, p.Owned = len(owned), owned[:min(len(owned), ownedNamed)]
	p.Creates, err = names(ctx, conn, createsIn, role)
	return p, err
}

func names(ctx context.Context, conn *pgx.Conn, query, role string) ([]string, error) {
	rows, err := conn.Query(ctx, query, role)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// tryCreate tries CREATE TABLE with the service's own connection string, or as
// another role in whose name the service is connected, and returns with which
// SQLSTATE it was refused.
func tryCreate(ctx context.Context, admin *pgx.Conn, db faults.SQL, role string) (string, error) {
	conn := admin
	if role == db.ServiceRole() {
		own, err := connectAs(ctx, db)
		if err != nil {
			return "", err
		}
		defer own.Close(context.WithoutCancel(ctx))
		conn = own
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		return "", err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // with it goes all that was tried
	if conn == admin {
		if _, err := tx.Exec(ctx, "SET LOCAL SESSION AUTHORIZATION "+pgx.Identifier{role}.Sanitize()); err != nil {
			return "", err
		}
	}
	table := faults.Mark(db) + "-probe"
	_, err = tx.Exec(ctx, "CREATE TABLE "+pgx.Identifier{strings.ReplaceAll(table, "-", "_")}.Sanitize()+" ()")
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code, nil
	}
	return "", err
}

// connectAs opens a connection of ours with the service's own connection
// string.
func connectAs(ctx context.Context, db faults.SQL) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(db.ServiceDSN())
	if err != nil {
		return nil, errors.New("the service's connection string cannot be read") // it holds a password
	}
	config.RuntimeParams["application_name"] = faults.Mark(db)
	return pgx.ConnectConfig(ctx, config)
}
