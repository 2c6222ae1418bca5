package runner

import (
	"context"
	"sync"
	"time"
)

// every calls f once an interval, never twice at a time, until f says
// that it has had enough, the context ends, or the function it returns is
// called, which returns when no call is under way any more.
func every(ctx context.Context, interval time.Duration, f func() (enough bool)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var calling sync.WaitGroup
	calling.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if f() {
				return
			}
		}
	})
	return func() {
		cancel()
		calling.Wait()
	}
}
