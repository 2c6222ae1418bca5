//go:build next

package store

import (
	"embed"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

// What the next version of the service differs by from the present one: it
// writes customer_key, by which the version after it will find a customer's
// orders. Orders that the present version wrote have none until they are
// filled in, so that nothing reads it yet.

//go:embed migrations/*.sql
var migrations embed.FS

// statuses are those that this version knows.
var statuses = []orders.Status{orders.Pending, orders.Paid, orders.Failed}

const insertOrder = `
INSERT INTO orders (id, idempotency_key, fingerprint, customer, status, total_cents, customer_key)
VALUES ($1, $2, $3, $4, 'pending', $5, lower($4))
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING created_at`
