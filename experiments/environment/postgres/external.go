package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/subject"
)

// External is the service's database on a server that somebody else runs.
type External struct {
	// Version is the server's.
	Version string

	name     string // the dependency's
	address  string
	admin    *pgx.ConnConfig
	database Database
	made     bool // by us; otherwise the user's own
	keeper   *pgx.Conn
}

// ExternalConfig is what a server is used with that somebody else runs.
type ExternalConfig struct {
	// Dependency says where it is and how it is administered.
	Dependency subject.Dependency
	// Run is the run's id; what is made there carries it.
	Run string
	// Secret hears of the passwords.
	Secret func(values ...string)
}

// Attach makes a database with roles of its own on a server that somebody else
// runs, and runs the migrations in it; or, where the dependency says service_url,
// takes the database that this names, as it is. On error nothing is left.
func Attach(ctx context.Context, c ExternalConfig) (*External, error) {
	e := &External{name: c.Dependency.Name, address: c.Dependency.Address}
	err := e.read(c)
	if err == nil {
		c.Secret(e.admin.Password, e.database.OwnerPassword, e.database.ServicePassword)
		err = e.attach(ctx, c.Dependency)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", e.name, err), e.Stop(context.WithoutCancel(ctx)))
	}
	return e, nil
}

// ExternalPrefix begins the names of all databases and roles that seatrial makes
// on servers of others.
const ExternalPrefix = "seatrial_"

// externalName is a run's name in a form that needs no quotes in SQL, with room
// for the roles' endings within PostgreSQL's 63 bytes.
func externalName(run string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(run))
	return ExternalPrefix + plain[:min(len(plain), 38)] + "_" + strings.ToLower(rand.Text()[:6])
}

// read takes the addresses apart.
func (e *External) read(c ExternalConfig) error {
	var err error
	if e.admin, err = pgx.ParseConfig(c.Dependency.AdminURL); err != nil {
		return errors.New(
			"admin_url is not understood; want postgres://user:password@host:port/database",
		) // it holds a password
	}
	e.admin.ConnectTimeout = 5 * time.Second
	e.database.SSLMode = sslMode(c.Dependency.AdminURL)
	if c.Dependency.ServiceURL == "" {
		e.made = true
		name := externalName(c.Run)
		e.database.Name, e.database.Owner, e.database.Service = name, name+"_owner", name+"_service"
		e.database.OwnerPassword, e.database.ServicePassword = rand.Text(), rand.Text()
		e.admin.RuntimeParams["application_name"] = name
		return nil
	}
	service, err := pgx.ParseConfig(c.Dependency.ServiceURL)
	if err != nil {
		return errors.New("service_url is not understood; want postgres://user:password@host:port/database")
	}
	e.admin.RuntimeParams["application_name"] = "seatrial"
	e.database.Name, e.database.Service, e.database.ServicePassword = service.Database, service.User, service.Password
	e.database.Owner, e.database.OwnerPassword = e.admin.User, e.admin.Password
	e.database.SSLMode = sslMode(c.Dependency.ServiceURL)
	return nil
}

// sslMode is the sslmode of a URL; a certificate's name cannot be checked
// through a proxy.
func sslMode(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	mode := u.Query().Get("sslmode")
	if strings.HasPrefix(mode, "verify-") {
		return "require"
	}
	return mode
}

func (e *External) attach(ctx context.Context, d subject.Dependency) error {
	keeper, err := e.connect(ctx, Superuser, Superuser)
	if err != nil {
		return err
	}
	e.keeper = keeper
	if e.Version, err = Supported(ctx, keeper); err != nil {
		return err
	}
	// From 14 on, a server may end sessions that are idle for long.
	const stay = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout'"
	if _, err := keeper.Exec(ctx, stay); err != nil {
		return fmt.Errorf("keep a session: %w", err)
	}
	var super bool
	if err := keeper.QueryRow(ctx, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&super); err != nil {
		return fmt.Errorf("ask what %s may do: %w", e.admin.User, err)
	}
	if !super {
		return fmt.Errorf("%s of admin_url is no superuser; name one", e.admin.User)
	}
	if !e.made {
		return e.alone(ctx)
	}
	if err := e.database.Make(ctx, e.connect); err != nil {
		return err
	}
	if err := e.database.Open(ctx, e.connect); err != nil {
		return err
	}
	return e.database.Migrate(ctx, e.connect, d.Migrations)
}

// alone says that somebody else is connected as the service's role: what the
// observers see could not be told apart.
func (e *External) alone(ctx context.Context) error {
	var others int
	const count = "SELECT count(*) FROM pg_stat_activity " +
		"WHERE usename = $1 AND datname = $2 AND application_name NOT LIKE 'seatrial%'"
	if err := e.keeper.QueryRow(ctx, count, e.database.Service, e.database.Name).Scan(&others); err != nil {
		return fmt.Errorf("ask who uses %s: %w", e.database.Name, err)
	}
	if others > 0 {
		return fmt.Errorf("%d connections of the role %s to %s are open already, and could not be told from the service's; "+
			"close them, or give the service a role of its own in service_url", others, e.database.Service, e.database.Name)
	}
	return nil
}

// connect opens a connection of the administrator's, or, for another role, one
// that acts as that.
func (e *External) connect(ctx context.Context, role, database string) (*pgx.Conn, error) {
	c := e.admin.Copy()
	if database != Superuser {
		c.Database = database
	}
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect to %s as %s: %w", e.name, e.admin.User, err)
	}
	if role == Superuser || role == e.admin.User {
		return conn, nil
	}
	if _, err := conn.Exec(ctx, "SET SESSION AUTHORIZATION "+quote(role)); err != nil {
		return nil, errors.Join(fmt.Errorf("act as %s: %w", role, err), conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// Admin opens a superuser's connection to the service's database that does not
// pass the proxy.
func (e *External) Admin(ctx context.Context) (*pgx.Conn, error) {
	return e.connect(ctx, Superuser, e.database.Name)
}

// ServiceRole is the role that the service connects as.
func (e *External) ServiceRole() string { return e.database.Service }

// ServiceDSN is the service's own connection string, past the proxy.
func (e *External) ServiceDSN() string { return e.References(e.address)["url"] }

// Shared reports whether others may use the service's database, too.
func (e *External) Shared() bool { return !e.made }

// References are what a subject may refer to, by the part after the
// dependency's name, for a server that is reached at address.
func (e *External) References(address string) map[string]string {
	return e.database.References(address)
}

// Stop drops what was made. It is safe to call twice.
func (e *External) Stop(ctx context.Context) error {
	if e.keeper == nil {
		return nil
	}
	keeper := e.keeper
	e.keeper = nil
	if !e.made {
		return keeper.Close(ctx)
	}
	if keeper.Ping(ctx) != nil { // the server was restarted meanwhile
		_ = keeper.Close(ctx)
		again, err := e.connect(ctx, Superuser, Superuser)
		if err != nil {
			return fmt.Errorf("drop the database %s: %w; seatrial doctor --reap --database URL drops it later",
				e.database.Name, err)
		}
		keeper = again
	}
	return errors.Join(drop(ctx, keeper, e.database.Name), keeper.Close(ctx))
}

// drop drops a database and its roles, whoever is connected.
func drop(ctx context.Context, conn *pgx.Conn, name string) error {
	err := execAll(ctx, conn, "SET client_min_messages = warning",
		"DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)",
		"DROP ROLE IF EXISTS "+quote(name+"_service"), "DROP ROLE IF EXISTS "+quote(name+"_owner"))
	if err != nil {
		return fmt.Errorf("drop what the trial made: %w", err)
	}
	return nil
}

// FindExternal looks on a server for databases and roles of runs whose seatrial
// is dead: nobody is connected any more under the name of one.
func FindExternal(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	const abandoned = `
SELECT name FROM (
  SELECT datname::text AS name FROM pg_database WHERE starts_with(datname, $1)
  UNION
  SELECT regexp_replace(rolname, '_(owner|service)$', '') FROM pg_roles
  WHERE starts_with(rolname, $1) AND rolname ~ '_(owner|service)$') AS made
WHERE NOT EXISTS (
  SELECT FROM pg_stat_activity
  WHERE application_name = name OR datname = name AND application_name LIKE 'seatrial%')
ORDER BY 1`
	rows, err := conn.Query(ctx, abandoned, ExternalPrefix)
	if err != nil {
		return nil, fmt.Errorf("look for databases of seatrial: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for databases of seatrial: %w", err)
	}
	return names, nil
}

// ReapExternal drops what [FindExternal] finds, and returns it.
func ReapExternal(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	names, err := FindExternal(ctx, conn)
	if err != nil {
		return nil, err
	}
	var gone []string
	var errs []error
	for _, name := range names {
		if err := drop(ctx, conn, name); err != nil {
			errs = append(errs, err)
			continue
		}
		gone = append(gone, name)
	}
	return gone, errors.Join(errs...)
}
