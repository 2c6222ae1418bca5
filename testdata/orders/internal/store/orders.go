package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

const (
	insertItems = `
INSERT INTO order_items (order_id, line, sku, quantity, price_cents)
SELECT $1, line, sku, quantity, price_cents
FROM unnest($2::text[], $3::integer[], $4::bigint[]) WITH ORDINALITY AS t (sku, quantity, price_cents, line)`
	selectByKey = `
SELECT id, customer, status, total_cents, created_at, fingerprint
FROM orders WHERE idempotency_key = $1`
	settleOrder = `
UPDATE orders SET status = $2 WHERE id = $1 AND status IN ('pending', $2)`
	selectOrder = `
SELECT o.id, o.customer, o.status, o.total_cents, o.created_at, i.sku, i.quantity, i.price_cents
FROM orders o JOIN order_items i ON i.order_id = o.id
WHERE o.id = $1 ORDER BY i.line`
	selectPending = `
SELECT id, total_cents FROM orders
WHERE status = 'pending' AND created_at < now() - $1 * interval '1 second' ORDER BY created_at LIMIT $2`
	selectPage = `
SELECT min(seq) OVER (), id, customer, status, total_cents, created_at FROM (SELECT seq, id, customer, status,
total_cents, created_at FROM orders WHERE seq < $1 ORDER BY seq DESC LIMIT $2) page ORDER BY `
)

// Create stores a pending order, or returns the one with the same key.
func (p *Postgres) Create(ctx context.Context, o orders.Order, key, fingerprint string) (orders.Order, string, error) {
	stored, print := o, fingerprint
	err := p.inTx(ctx, "create order", func(ctx context.Context, tx *sql.Tx) error {
		stored, print = o, fingerprint
		err := tx.QueryRowContext(ctx, insertOrder, o.ID, key, fingerprint, o.Customer, o.TotalCents).
			Scan(&stored.CreatedAt)
		if errors.Is(err, sql.ErrNoRows) {
			stored.Items = o.Items
			return tx.QueryRowContext(ctx, selectByKey, key).Scan(&stored.ID, &stored.Customer, known{&stored.Status},
				&stored.TotalCents, &stored.CreatedAt, &print)
		}
		if err != nil {
			return fmt.Errorf("insert order: %w", err)
		}
		skus, quantities, prices := columns(o.Items)
		if _, err := tx.ExecContext(ctx, insertItems, o.ID, skus, quantities, prices); err != nil {
			return fmt.Errorf("insert items: %w", err)
		}
		return nil
	})
	return stored, print, err
}

func columns(items []orders.Item) (skus []string, quantities, prices []int64) {
	for _, i := range items {
		skus = append(skus, i.SKU)
		quantities = append(quantities, int64(i.Quantity))
		prices = append(prices, i.PriceCents)
	}
	return skus, quantities, prices
}

// Settle moves a pending order to its final status; doing it twice is harmless.
func (p *Postgres) Settle(ctx context.Context, id string, to orders.Status) error {
	return p.do(ctx, "settle order", func(ctx context.Context, conn *sql.Conn) error {
		return retrySerialization(ctx, func() error { // the statement is a transaction of its own
			result, err := conn.ExecContext(ctx, settleOrder, id, to)
			if err != nil {
				return fmt.Errorf("update order: %w", unsure(err))
			}
			if n, err := result.RowsAffected(); err != nil || n != 1 {
				return fmt.Errorf("update order: %d rows: %w", n, errors.Join(err, errNotPending))
			}
			return nil
		})
	})
}

var errNotPending = errors.New("order is not pending")

// unsure marks an error of a write that was sent and not answered.
func unsure(err error) error {
	var answer *pgconn.PgError
	if errors.As(err, &answer) || pgconn.SafeToRetry(err) || errors.Is(err, driver.ErrBadConn) {
		return err
	}
	return fmt.Errorf("%w: %w", orders.ErrUncertain, err)
}

// Get returns one order with its items.
func (p *Postgres) Get(ctx context.Context, id string) (orders.Order, error) {
	var o orders.Order
	err := p.do(ctx, "get order", func(ctx context.Context, conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, selectOrder, id)
		if err != nil {
			return fmt.Errorf("select order: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var i orders.Item
			if err := rows.Scan(&o.ID, &o.Customer, known{&o.Status}, &o.TotalCents, &o.CreatedAt,
				&i.SKU, &i.Quantity, &i.PriceCents); err != nil {
				return fmt.Errorf("scan order: %w", err)
			}
			o.Items = append(o.Items, i)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read order: %w", err)
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
func (p *Postgres) Pending(ctx context.Context, age time.Duration, limit int) ([]orders.Order, error) {
	var pending []orders.Order
	err := p.do(ctx, "list pending orders", func(ctx context.Context, conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, selectPending, age.Seconds(), limit)
		if err != nil {
			return fmt.Errorf("select pending: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			o := orders.Order{Status: orders.Pending}
			if err := rows.Scan(&o.ID, &o.TotalCents); err != nil {
				return fmt.Errorf("scan pending: %w", err)
			}
			pending = append(pending, o)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read pending: %w", err)
		}
		return nil
	})
	return pending, err
}

// List returns the next newest orders without their items, sorted as asked for.
func (p *Postgres) List(ctx context.Context, cursor string, by orders.Sort, limit int) ([]orders.Order, string, error) {
	before, invalid := after(cursor)
	if invalid != nil {
		return nil, "", invalid
	}
	query := sortedPage(by)
	page := make([]orders.Order, 0, limit)
	err := p.do(ctx, "list orders", func(ctx context.Context, conn *sql.Conn) error {
		rows, err := conn.QueryContext(ctx, query, before, limit)
		if err != nil {
			return fmt.Errorf("select page: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var o orders.Order
			if err := rows.Scan(&before, &o.ID, &o.Customer, known{&o.Status}, &o.TotalCents, &o.CreatedAt); err != nil {
				return fmt.Errorf("scan page: %w", err)
			}
			page = append(page, o)
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("read page: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return page, nextCursor(page, limit, before), nil
}

// known scans a status that this version of the service knows. Another one is
// an error: what it means for the order cannot be guessed.
type known struct{ status *orders.Status }

// Scan implements [sql.Scanner].
func (k known) Scan(value any) error {
	text, _ := value.(string)
	*k.status = orders.Status(text)
	if !slices.Contains(statuses, *k.status) {
		return fmt.Errorf("an order has the status %q, which is not known here", text)
	}
	return nil
}

// passThrough tells answers apart from a database that cannot be asked.
func passThrough(err error) bool { return errors.Is(err, orders.ErrNotFound) }

func outcome(err error) string {
	switch {
	case err == nil, passThrough(err):
		return "ok"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	default:
		return "error"
	}
}
