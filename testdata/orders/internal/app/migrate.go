package app

import (
	"context"
	"io"
	"time"

	"github.com/seatrial/seatrial/testdata/orders/internal/config"
	"github.com/seatrial/seatrial/testdata/orders/internal/store"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// Migrate brings the database's schema up to date, within five minutes.
func Migrate(ctx context.Context, cfg config.Migration, stdout io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	applied, err := store.Migrate(ctx, cfg.DatabaseURL.Reveal(), cfg.ServiceRole)
	if err != nil {
		return err
	}
	telemetry.NewLogger(stdout, cfg.Environment, "migrate").Info("schema is up to date", "applied", applied)
	return nil
}
