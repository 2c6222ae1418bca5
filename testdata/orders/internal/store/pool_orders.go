package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

// Create stores a pending order, or returns the one with the same key.
func (p *Pool) Create(ctx context.Context, o orders.Order, key, fingerprint string) (orders.Order, string, error) {
	stored, print := o, fingerprint
	err := p.inTx(ctx, "create order", func(ctx context.Context, tx pgx.Tx) error {
		stored, print = o, fingerprint
		err := tx.QueryRow(ctx, insertOrder, o.ID, key, fingerprint, o.Customer, o.TotalCents).Scan(&stored.CreatedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			stored.Items = o.Items
			return tx.QueryRow(ctx, selectByKey, key).Scan(&stored.ID, &stored.Customer, known{&stored.Status},
				&stored.TotalCents, &stored.CreatedAt, &print)
		}
		if err != nil {
			return fmt.Errorf("insert order: %w", err)
		}
		skus, quantities, prices := columns(o.Items)
		if _, err := tx.Exec(ctx, insertItems, o.ID, skus, quantities, prices); err != nil {
			return fmt.Errorf("insert items: %w", err)
		}
		return nil
	})
	return stored, print, err
}

// Settle moves a pending order to its final status; doing it twice is harmless.
func (p *Pool) Settle(ctx context.Context, id string, to orders.Status) error {
	return p.do(ctx, "settle order", func(ctx context.Context, conn *pgxpool.Conn) error {
		return retrySerialization(ctx, func() error { // the statement is a transaction of its own
			tag, err := conn.Exec(ctx, settleOrder, id, string(to))
			if err != nil {
				return fmt.Errorf("update order: %w", unsure(err))
			}
			if n := tag.RowsAffected(); n != 1 {
				return fmt.Errorf("update order: %d rows: %w", n, errNotPending)
			}
			return nil
		})
	})
}

// Get returns one order with its items.
func (p *Pool) Get(ctx context.Context, id string) (orders.Order, error) {
	var o orders.Order
	err := p.do(ctx, "get order", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, _ := conn.Query(ctx, selectOrder, id) // the rows tell its error
		var i orders.Item
		_, err := pgx.ForEachRow(rows, []any{
			&o.ID, &o.Customer, known{&o.Status}, &o.TotalCents, &o.CreatedAt, &i.SKU, &i.Quantity, &i.PriceCents,
		}, func() error {
			o.Items = append(o.Items, i)
			return nil
		})
		if err != nil {
			return fmt.Errorf("select order: %w", err)
		}
		if o.ID == "" {
			return orders.ErrNotFound
		}
		return nil
	})
	return o, err
}

// Pending returns the oldest orders that have been pending for longer than age,
// without their items.
func (p *Pool) Pending(ctx context.Context, age time.Duration, limit int) ([]orders.Order, error) {
	var pending []orders.Order
	err := p.do(ctx, "list pending orders", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, _ := conn.Query(ctx, selectPending, age.Seconds(), limit) // the rows tell its error
		o := orders.Order{Status: orders.Pending}
		_, err := pgx.ForEachRow(rows, []any{&o.ID, &o.TotalCents}, func() error {
			pending = append(pending, o)
			return nil
		})
		if err != nil {
			return fmt.Errorf("select pending: %w", err)
		}
		return nil
	})
	return pending, err
}

// List returns the next newest orders without their items, sorted as asked for.
func (p *Pool) List(ctx context.Context, cursor string, by orders.Sort, limit int) ([]orders.Order, string, error) {
	before, err := after(cursor)
	if err != nil {
		return nil, "", err
	}
	page := make([]orders.Order, 0, limit)
	err = p.do(ctx, "list orders", func(ctx context.Context, conn *pgxpool.Conn) error {
		rows, _ := conn.Query(ctx, sortedPage(by), before, limit) // the rows tell its error
		var o orders.Order
		_, err := pgx.ForEachRow(rows, []any{
			&before, &o.ID, &o.Customer, known{&o.Status}, &o.TotalCents, &o.CreatedAt,
		}, func() error {
			page = append(page, o)
			return nil
		})
		if err != nil {
			return fmt.Errorf("select page: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return page, nextCursor(page, limit, before), nil
}
