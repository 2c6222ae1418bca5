// Command orders is an order API: "orders serve" answers requests, "orders
// migrate" brings the database's schema up to date, "orders reconcile" gives up
// orders that were left pending.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/seatrial/seatrial/testdata/orders/internal/app"
	"github.com/seatrial/seatrial/testdata/orders/internal/config"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1) //nolint:forbidigo // this is the service's own cmd
	}
}

func run(ctx context.Context, args []string) error {
	command := "serve"
	if len(args) > 0 {
		command = args[0]
	}
	switch command {
	case "serve":
		cfg, err := config.Serve(os.LookupEnv)
		if err != nil {
			return err
		}
		return app.Serve(ctx, cfg, os.Stdout)
	case "migrate":
		cfg, err := config.Migrate(os.LookupEnv)
		if err != nil {
			return err
		}
		return app.Migrate(ctx, cfg, os.Stdout)
	case "reconcile":
		cfg, err := config.Reconcile(os.LookupEnv)
		if err != nil {
			return err
		}
		return app.Reconcile(ctx, cfg, os.Stdout)
	default:
		return fmt.Errorf("unknown command %q: want serve, migrate or reconcile", command)
	}
}
