package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ErrNotHere says that there are targets of that sort that the fault breaks, but
// not in this environment or on this machine. An experiment that needs it is not
// applicable.
var ErrNotHere = errors.New("not supported here")

// Bounded is a target in a container, whose processors and memory can be bounded
// while it runs.
type Bounded interface {
	Target
	// BoundCPUs bounds its processors (0.5: half of one), BoundMemory its memory
	// in bytes, until it is told otherwise, also for its next start. Zero gives
	// back what the subject grants it.
	BoundCPUs(ctx context.Context, cpus float64) error
	BoundMemory(ctx context.Context, bytes int64) error
	// Usage is what the engine says of it now.
	Usage(context.Context) (journal.Usage, error)
}

// bounded says why a target is in no container.
func bounded(kind string, t Target) (Bounded, error) {
	b, ok := t.(Bounded)
	if ok {
		return b, nil
	}
	if _, process := t.(Signalled); process {
		return nil, fmt.Errorf("%s: %w: %q is a process, and only a container is bounded; use environment: docker",
			kind, ErrNotHere, t.Name())
	}
	return nil, fmt.Errorf("%s: %q (%s) is not a container that can be bounded", kind, t.Name(), t.Kind())
}

// usageEvery is how often a bounded container is looked at.
const usageEvery = 250 * time.Millisecond

// squeeze is an injection that looks at its target until it is taken back.
type squeeze struct {
	undo
	target Bounded
	end    context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	usages []journal.Usage
	at     []time.Time // of each
}

// look takes down what the engine says now.
func (q *squeeze) look(ctx context.Context) {
	u, err := q.target.Usage(ctx)
	if err != nil {
		u.Err = err.Error()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.usages, q.at = append(q.usages, u), append(q.at, time.Now())
}

// watch looks again and again, until the first step of taking it back.
func (q *squeeze) watch(ctx context.Context) {
	q.look(ctx)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	q.end, q.done = end, make(chan struct{})
	go func() {
		defer close(q.done)
		tick := time.NewTicker(usageEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				q.look(life)
			case <-life.Done():
				return
			}
		}
	}()
	q.add(func(ctx context.Context) error {
		q.end()
		<-q.done
		q.look(ctx)
		return nil
	})
}

// Report records what was seen.
func (q *squeeze) Report(rec journal.Recorder) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := rec.Now()
	for i, u := range q.usages {
		rec.Record(journal.Entry{At: now.Add(-time.Since(q.at[i])), On: q.target.Name(), Body: u})
	}
	q.usages, q.at = nil, nil
}

// usages are what the engine said of the target just before the window, of which
// the injection is a part, and in it.
func (s scene) usages() (before, during []journal.Usage) {
	just := s.before()
	for e, u := range journal.Of[journal.Usage](s.j) {
		switch {
		case e.On != s.target || u.Err != "":
		case s.w.Contains(e.At):
			during = append(during, u)
		case just.Contains(e.At):
			before = append(before, u)
		}
	}
	return before, during
}

var _ Reporter = (*squeeze)(nil)
