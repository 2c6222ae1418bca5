package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

// SetNote stores an order's note in place of the one before.
func (p *Pool) SetNote(ctx context.Context, id, note string) error {
	return p.do(ctx, "set note", func(ctx context.Context, conn *pgxpool.Conn) error {
		return retrySerialization(ctx, func() error { // the statement is a transaction of its own
			tag, err := conn.Exec(ctx, setNote, id, note)
			if err != nil {
				return fmt.Errorf("write note: %w", unsure(err))
			}
			if tag.RowsAffected() == 0 {
				return orders.ErrNotFound
			}
			return nil
		})
	})
}

// Note returns an order's note.
func (p *Pool) Note(ctx context.Context, id string) (string, error) {
	var note string
	err := p.do(ctx, "get note", func(ctx context.Context, conn *pgxpool.Conn) error {
		err := conn.QueryRow(ctx, selectNote, id).Scan(&note)
		if errors.Is(err, pgx.ErrNoRows) {
			return orders.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("read note: %w", err)
		}
		return nil
	})
	return note, err
}
