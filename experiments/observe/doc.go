// Package observe records all through a run: it asks replicas whether they are
// ready and what they have counted, exchanges small messages with dependencies
// through their proxies, looks at the database from inside and at processes
// from outside, and keeps watch on the machine's own noise. It judges nothing.
package observe

import (
	"context"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Observer records what it sees until its context ends, and then returns nil
// with nothing of it left running. It returns earlier only with an error, or
// when there is nothing to be seen on this system.
type Observer interface {
	Observe(ctx context.Context, rec journal.Recorder) error
}

// each calls do at once and then at every interval until the context ends. A
// slow call lets ticks pass.
func each(ctx context.Context, interval time.Duration, do func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		do()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// overlapping is like each, but a slow call holds no other up: at most limit of
// them are under way at a time. It returns when the last one has.
func overlapping(ctx context.Context, interval time.Duration, limit int, do func()) {
	var under sync.WaitGroup
	defer under.Wait()
	free := make(chan struct{}, limit)
	each(ctx, interval, func() {
		select {
		case free <- struct{}{}:
			under.Go(func() {
				defer func() { <-free }()
				do()
			})
		default:
		}
	})
}

// ended says that the context has ended, or should have: a dial looks at its
// deadline before the context's own timer has fired. What fails then, we ended.
func ended(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// or is the first of two values unless it is zero.
func or(value, standard time.Duration) time.Duration {
	if value > 0 {
		return value
	}
	return standard
}
