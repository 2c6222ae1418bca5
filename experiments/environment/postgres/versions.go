package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Oldest is the oldest major version of PostgreSQL that seatrial works with:
// what faults and observers send needs pg_current_xact_id and DROP DATABASE
// WITH (FORCE), which came with 13.
const Oldest = 13

// Supported returns a server's version as it prints it ("15.14"), or says that
// it is older than [Oldest].
func Supported(ctx context.Context, conn *pgx.Conn) (string, error) {
	var version string
	var number int
	err := conn.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('server_version_num')::int").
		Scan(&version, &number)
	if err != nil {
		return "", fmt.Errorf("ask for the server's version: %w", err)
	}
	return version, oldEnough(version, number)
}

// VersionAt asks a server for its version, by an administrator's URL. The error
// does not tell the URL.
func VersionAt(ctx context.Context, adminURL string) (string, error) {
	config, err := pgx.ParseConfig(adminURL)
	if err != nil {
		return "", errors.New("ask for the server's version: the URL is not understood")
	}
	config.ConnectTimeout = 5 * time.Second
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", err
	}
	version, err := Supported(ctx, conn)
	return version, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
}

func oldEnough(version string, number int) error {
	if number < Oldest*10_000 {
		return fmt.Errorf("the server is PostgreSQL %s, and seatrial works with %d and later; use a newer one",
			version, Oldest)
	}
	return nil
}
