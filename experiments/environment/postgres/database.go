package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database is the service's database on a server, wherever that runs: its name,
// the service's own role beside the owner's, and their passwords.
type Database struct {
	Name, Service                  string
	OwnerPassword, ServicePassword string
	// Owner is the owner's role. Empty: [Owner].
	Owner string
	// SSLMode is libpq's sslmode in connection strings. Empty: disable.
	SSLMode string
}

func (d Database) owner() string { return or(d.Owner, Owner) }

// Connect opens a connection to a database of a server as a role.
type Connect func(ctx context.Context, role, database string) (*pgx.Conn, error)

// Dial opens a connection of seatrial's own to a dependency, by parameters that
// say where it is and who asks.
func Dial(ctx context.Context, dependency string, c *pgx.ConnConfig) (*pgx.Conn, error) {
	c.Fallbacks = nil
	c.RuntimeParams["application_name"] = "seatrial"
	c.ConnectTimeout = 5 * time.Second
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect to %s as %s: %w", dependency, c.User, err)
	}
	return conn, nil
}

// References are what a subject may refer to, by the part after the
// dependency's name, for a server that is reached at address.
func (d Database) References(address string) map[string]string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	dsn := func(user, password string) string {
		u := url.URL{
			Scheme: "postgres", User: url.UserPassword(user, password), Host: address,
			Path: "/" + d.Name, RawQuery: "sslmode=" + or(d.SSLMode, "disable"),
		}
		return u.String()
	}
	return map[string]string{
		"url": dsn(d.Service, d.ServicePassword), "owner_url": dsn(d.owner(), d.OwnerPassword),
		"host": host, "port": port, "address": address,
		"user": d.Service, "password": d.ServicePassword, "database": d.Name,
	}
}

// Make makes the roles and the database, and gives the service its rights.
func (d Database) Make(ctx context.Context, connect Connect) error {
	owner, service, db := quote(d.owner()), quote(d.Service), quote(d.Name)
	err := each(ctx, connect, Superuser,
		"CREATE ROLE "+owner+" LOGIN", "CREATE ROLE "+service+" LOGIN",
		"CREATE DATABASE "+db+" OWNER "+owner+" TEMPLATE template0", "GRANT CONNECT ON DATABASE "+db+" TO "+service)
	if err != nil {
		return fmt.Errorf("make the service's database: %w", err)
	}
	rights := "ALTER DEFAULT PRIVILEGES FOR ROLE " + owner + " GRANT "
	err = each(ctx, connect, d.Name,
		"ALTER SCHEMA public OWNER TO "+owner,
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC", "GRANT USAGE ON SCHEMA public TO "+service,
		rights+"SELECT, INSERT, UPDATE, DELETE ON TABLES TO "+service,
		rights+"USAGE, SELECT ON SEQUENCES TO "+service, rights+"USAGE ON SCHEMAS TO "+service)
	if err != nil {
		return fmt.Errorf("make the service's roles: %w", err)
	}
	return nil
}

// Open sets the roles' passwords, so that they can be used. A server that is
// older than seatrial works with is an error.
func (d Database) Open(ctx context.Context, connect Connect) error {
	c, err := connect(ctx, Superuser, d.Name)
	if err != nil {
		return err
	}
	if _, err := Supported(ctx, c); err != nil {
		return errors.Join(err, c.Close(ctx))
	}
	var statements []string
	for role, password := range map[string]string{d.owner(): d.OwnerPassword, d.Service: d.ServicePassword} {
		verifier, err := verifier(password)
		if err != nil {
			return errors.Join(err, c.Close(ctx))
		}
		statements = append(statements, "ALTER ROLE "+quote(role)+" PASSWORD "+literal(verifier))
	}
	if err := errors.Join(execAll(ctx, c, statements...), c.Close(ctx)); err != nil {
		return fmt.Errorf("set the roles' passwords: %w", err)
	}
	return nil
}

// each executes statements as the superuser on one connection.
func each(ctx context.Context, connect Connect, database string, statements ...string) error {
	c, err := connect(ctx, Superuser, database)
	if err != nil {
		return err
	}
	return errors.Join(execAll(ctx, c, statements...), c.Close(ctx))
}
