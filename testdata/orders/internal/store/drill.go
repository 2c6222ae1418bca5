package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const (
	drillStatement = "SELECT 1"
	drillPanic     = "drill: a panic in the middle of a transaction"
)

// Drill panics in the middle of a transaction; the error is that it could not
// begin one.
func (p *Postgres) Drill(ctx context.Context) error {
	return p.inTx(ctx, "drill", func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, drillStatement); err != nil {
			return fmt.Errorf("drill: %w", err)
		}
		panic(drillPanic)
	})
}

// Drill is as [Postgres.Drill].
func (p *Pool) Drill(ctx context.Context) error {
	return p.inTx(ctx, "drill", func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, drillStatement); err != nil {
			return fmt.Errorf("drill: %w", err)
		}
		panic(drillPanic)
	})
}
