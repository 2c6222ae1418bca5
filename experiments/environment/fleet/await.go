package fleet

import (
	"context"
	"fmt"
	"time"
)

// Await asks what was started every so often until it answers. Where it ends
// before that, the error says how; where it takes longer than allowed, what the
// last answer was. Both call it what it is.
func Await(
	ctx context.Context, p Process, what string, within, every time.Duration, ask func(context.Context) error,
) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%s does not answer after %v", what, within))
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s %s", what, p.Exit())
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
