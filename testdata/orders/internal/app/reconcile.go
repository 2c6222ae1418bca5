package app

import (
	"context"
	"io"
	"time"

	"github.com/seatrial/seatrial/testdata/orders/internal/config"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/payments"
	"github.com/seatrial/seatrial/testdata/orders/internal/store"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// Reconcile gives up orders that have been pending for too long, within five
// minutes. It is run by a timer; two at once do no harm.
func Reconcile(ctx context.Context, cfg config.Reconciliation, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	metrics := telemetry.NewMetrics(cfg.Environment)
	db, err := store.Open(cfg.DatabaseURL.Reveal(), "orders-reconcile", store.Limits{
		MaxOpen: 1, Statement: 10 * time.Second,
	}, metrics.Observe)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	pay := payments.New(cfg.PaymentsURL, metrics)
	defer pay.Close()
	settled, err := orders.NewReconciler(db, pay).GiveUp(ctx, cfg.Age, cfg.Limit)
	telemetry.NewLogger(stdout, cfg.Environment, "reconcile").Info("reconciled", "given_up", settled)
	return err
}
