package payments

import (
	"sync"
	"time"
)

// budget bounds retries as a share of calls, so that a failing dependency is
// not asked many times as often as a healthy one: every call earns a fifth of
// a retry, and every second ten more.
type budget struct {
	mu     sync.Mutex
	tokens float64
	last   time.Time
}

const (
	budgetShare     = 0.2
	budgetPerSecond = 10
	budgetMost      = 100
)

func newBudget() *budget { return &budget{tokens: budgetMost, last: time.Now()} }

// earn is called once for each call.
func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+budgetShare, budgetMost)
}

// spend says whether one more attempt may be made.
func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.tokens = min(b.tokens+now.Sub(b.last).Seconds()*budgetPerSecond, budgetMost)
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
