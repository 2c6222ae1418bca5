package faults

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// FindSQL looks in a database for what faults by SQL have left there whose
// seatrial is dead: schemas of ours on whose names nobody holds the lock any
// more. Locks and connections of such a seatrial ended with it.
func FindSQL(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	var left []string
	err := eachAbandoned(ctx, conn, func(name string) error {
		left = append(left, name)
		return nil
	})
	return left, err
}

// ReapSQL drops what [FindSQL] finds, with the triggers on the service's tables,
// and returns it.
func ReapSQL(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	var gone []string
	err := eachAbandoned(ctx, conn, func(name string) error {
		err := dropSchema(ctx, conn, name)
		if err == nil {
			gone = append(gone, name)
		}
		return err
	})
	return gone, err
}

// eachAbandoned calls f for each schema of ours that belongs to nobody any more,
// while it holds the lock on its name.
func eachAbandoned(ctx context.Context, conn *pgx.Conn, f func(string) error) error {
	rows, err := conn.Query(
		ctx,
		"SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname, $1) ORDER BY 1",
		appPrefix,
	)
	if err != nil {
		return fmt.Errorf("look for schemas of seatrial: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look for schemas of seatrial: %w", err)
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, ifAbandoned(ctx, conn, name, f))
	}
	return errors.Join(errs...)
}

func ifAbandoned(ctx context.Context, conn *pgx.Conn, name string, f func(string) error) error {
	var free bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(hashtextextended($1, 0))", name).Scan(&free); err != nil {
		return fmt.Errorf("ask for the lock on %s: %w", name, err)
	}
	if !free {
		return nil // its seatrial lives
	}
	err := f(name)
	_, unlocked := conn.Exec(ctx, "SELECT pg_advisory_unlock(hashtextextended($1, 0))", name)
	return errors.Join(err, unlocked)
}
