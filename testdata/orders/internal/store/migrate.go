package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// Migrate brings the schema up to date as the owner of the tables and gives
// the service's role what it needs, and no more. Of several migrators at once
// one works and the others wait for it, as long as ctx allows. A statement that
// cannot get its lock within 0.3 s gives up rather than make others queue
// behind it, and is tried again a little later.
func Migrate(ctx context.Context, ownerURL, serviceRole string) (applied int, err error) {
	cfg, err := pgx.ParseConfig(ownerURL)
	if err != nil {
		return 0, fmt.Errorf("migrate: owner's database url: %w", err)
	}
	cfg.RuntimeParams["application_name"] = "orders-migrate"
	cfg.RuntimeParams["lock_timeout"] = "300ms"
	db := stdlib.OpenDB(*cfg)
	defer func() { _ = db.Close() }()

	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return 0, fmt.Errorf("migrate: locker: %w", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, fmt.Errorf("migrate: embedded files: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	applied, err = up(ctx, provider)
	if err != nil {
		return applied, fmt.Errorf("migrate: %w", err)
	}
	return applied, grant(ctx, db, serviceRole)
}

// lockTries bounds how often a migration is tried that does not get its lock.
const lockTries = 60

// up applies what is missing, again after a wait where a lock was not free.
func up(ctx context.Context, provider *goose.Provider) (applied int, err error) {
	for try := 1; ; try++ {
		results, err := provider.Up(ctx)
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			results = partial.Applied
		}
		applied += len(results)
		var pg *pgconn.PgError
		if err == nil || try == lockTries || !errors.As(err, &pg) || pg.Code != "55P03" {
			return applied, err
		}
		timer := time.NewTimer(200*time.Millisecond + telemetry.Jitter(300*time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return applied, ctx.Err()
		case <-timer.C:
		}
	}
}

func grant(ctx context.Context, db *sql.DB, role string) error {
	name := pgx.Identifier{role}.Sanitize()
	for _, statement := range []string{
		"GRANT SELECT, INSERT ON orders, order_items TO " + name,
		"GRANT UPDATE (status) ON orders TO " + name,
		"GRANT SELECT, INSERT, UPDATE (note) ON order_notes TO " + name,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("migrate: grant to %s: %w", role, err)
		}
	}
	return nil
}
