package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

const (
	setNote = `
INSERT INTO order_notes (order_id, note) SELECT id, $2 FROM orders WHERE id = $1
ON CONFLICT (order_id) DO UPDATE SET note = excluded.note`
	selectNote = `
SELECT note FROM order_notes WHERE order_id = $1`
)

// SetNote stores an order's note in place of the one before.
func (p *Postgres) SetNote(ctx context.Context, id, note string) error {
	return p.do(ctx, "set note", func(ctx context.Context, conn *sql.Conn) error {
		return retrySerialization(ctx, func() error { // the statement is a transaction of its own
			result, err := conn.ExecContext(ctx, setNote, id, note)
			if err != nil {
				return fmt.Errorf("write note: %w", unsure(err))
			}
			n, err := result.RowsAffected()
			if err != nil {
				return fmt.Errorf("write note: %w", err)
			}
			if n == 0 {
				return orders.ErrNotFound
			}
			return nil
		})
	})
}

// Note returns an order's note.
func (p *Postgres) Note(ctx context.Context, id string) (string, error) {
	var note string
	err := p.do(ctx, "get note", func(ctx context.Context, conn *sql.Conn) error {
		err := conn.QueryRowContext(ctx, selectNote, id).Scan(&note)
		if errors.Is(err, sql.ErrNoRows) {
			return orders.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("read note: %w", err)
		}
		return nil
	})
	return note, err
}
