//go:build !next

package store

import (
	"embed"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

// What the present version of the service differs by from the next one, which
// is built with the tag next.

//go:embed migrations/00001_orders.sql
var migrations embed.FS

// statuses are those that this version knows.
var statuses = []orders.Status{orders.Pending, orders.Paid, orders.Failed}

const insertOrder = `
INSERT INTO orders (id, idempotency_key, fingerprint, customer, status, total_cents)
VALUES ($1, $2, $3, $4, 'pending', $5)
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING created_at`
