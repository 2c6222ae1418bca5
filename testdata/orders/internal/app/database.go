package app

import (
	"context"

	"github.com/seatrial/seatrial/testdata/orders/internal/api"
	"github.com/seatrial/seatrial/testdata/orders/internal/config"
	"github.com/seatrial/seatrial/testdata/orders/internal/health"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/store"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// database keeps the orders, on any of the pools.
type database interface {
	orders.Store
	health.Pinger
	api.Driller
	Watch(m *telemetry.Metrics)
	Close() error
}

// openDatabase prepares the pool that the configuration asks for.
func openDatabase(
	ctx context.Context, cfg config.Service, name string, limits store.Limits, observe telemetry.Observer,
) (database, error) {
	switch url := cfg.DatabaseURL.Reveal(); cfg.Pool {
	case config.PoolPgx:
		return store.OpenPool(ctx, url, name, limits, observe)
	case config.PoolPQ:
		return store.OpenPQ(url, name, limits, observe)
	default:
		return store.Open(url, name, limits, observe)
	}
}
