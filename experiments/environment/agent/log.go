package agent

import (
	"context"
	"fmt"
	"sync"

	"github.com/seatrial/seatrial/experiments/journal"
)

// maxHeld bounds what the agent keeps for a reader that does not come.
const maxHeld = 1 << 20

// recordLog holds the entries that have not been read yet, in order. Entries
// are numbered from 1, so that a flush can name how many there must be.
type recordLog struct {
	clock clock
	mu    sync.Mutex
	held  []journal.Entry
	count uint64 // entries ever added
	lost  uint64 // entries thrown away because nobody read
	more  chan struct{}
}

func newRecordLog(c clock) *recordLog {
	return &recordLog{clock: c, more: make(chan struct{}, 1)}
}

// add takes an entry down and returns its number. The instant must be set.
func (l *recordLog) add(e journal.Entry) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) >= maxHeld {
		l.lost++
		return l.count
	}
	l.held = append(l.held, e)
	l.count++
	if len(l.held) == 1 {
		select {
		case l.more <- struct{}{}:
		default:
		}
	}
	return l.count
}

// total is how many entries there have been.
func (l *recordLog) total() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// take waits for entries and hands over all there are. What used to be handed
// over is taken back, to be filled again.
func (l *recordLog) take(ctx context.Context, used []journal.Entry) ([]journal.Entry, error) {
	clear(used)
	for {
		if batch := l.swap(used[:0]); len(batch) > 0 {
			return batch, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.more:
		}
	}
}

func (l *recordLog) swap(empty []journal.Entry) []journal.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.held
	if len(batch) > 0 {
		l.held = empty
	}
	if l.lost > 0 {
		batch = append(batch, journal.Entry{
			At:   l.clock.now(),
			Body: journal.Note{Text: fmt.Sprintf("the agent threw %d entries away because nobody read them", l.lost)},
		})
		l.count++
		l.lost = 0
	}
	return batch
}
