package observe

import (
	"context"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Sleeper keeps watch on the machine's own noise: one control sleeper sleeps
// 20 ms again and again, another 200 ms, and by how much they overshot is
// recorded each second.
type Sleeper struct{}

// Observe sleeps until the context ends.
func (*Sleeper) Observe(ctx context.Context, rec journal.Recorder) error {
	var both sync.WaitGroup
	for _, d := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond} {
		both.Go(func() { sleeper(ctx, rec, d) })
	}
	both.Wait()
	return nil
}

// sleeper records one sleeper's overshoots, and at the end those of the last
// part of a second.
func sleeper(ctx context.Context, rec journal.Recorder, d time.Duration) {
	const flushEvery = time.Second
	var overshoots []time.Duration
	flush := func() {
		if len(overshoots) > 0 {
			rec.Record(journal.Entry{Body: journal.Sleeper{Sleep: d, Overshoots: overshoots}})
			overshoots = nil
		}
	}
	defer flush()
	timer := time.NewTimer(d)
	defer timer.Stop()
	for flushed := rec.Now(); ; {
		began := rec.Now()
		timer.Reset(d)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := rec.Now()
		overshoots = append(overshoots, max(now.Sub(began)-d, 0))
		if now.Sub(flushed) >= flushEvery {
			flush()
			flushed = now
		}
	}
}
