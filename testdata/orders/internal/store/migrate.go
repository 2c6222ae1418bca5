package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema up to date as the owner of the tables and gives
// the service's role what it needs, and no more. Of several migrators at once
// one works and the others wait for it, at most 30 s. A statement that cannot
// get its lock within 2 s gives up rather than make others queue behind it.
func Migrate(ctx context.Context, ownerURL, serviceRole string) (applied int, err error) {
	cfg, err := pgx.ParseConfig(ownerURL)
	if err != nil {
		return 0, fmt.Errorf("migrate: owner's database url: %w", err)
	}
	cfg.RuntimeParams["application_name"] = "orders-migrate"
	cfg.RuntimeParams["lock_timeout"] = "2s"
	db := stdlib.OpenDB(*cfg)
	defer func() { _ = db.Close() }()

	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 30))
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
	results, err := provider.Up(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	return len(results), grant(ctx, db, serviceRole)
}

func grant(ctx context.Context, db *sql.DB, role string) error {
	name := pgx.Identifier{role}.Sanitize()
	for _, statement := range []string{
		"GRANT SELECT, INSERT ON orders, order_items TO " + name,
		"GRANT UPDATE (status) ON orders TO " + name,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("migrate: grant to %s: %w", role, err)
		}
	}
	return nil
}
