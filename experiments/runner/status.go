package runner

import (
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Status is how far a run has come, for a person who waits.
type Status struct {
	Experiment string
	Attempt    int
	// Phase is one of the names of journal.Phase: up, setup, steady, method,
	// recovery, settle, down.
	Phase string
	// Doing says what takes time while the environment comes up.
	Doing string
	// Faults are the steps in force now, by name.
	Faults []string
	// Rate is how many hits were due in the last second, Errors how many of
	// those were no success.
	Rate, Errors int
	// Left is the planned time to the end of the run, not below zero.
	Left time.Duration
}

// statusEvery is how often a run tells its status.
const statusEvery = 200 * time.Millisecond

// board keeps the status that several goroutines contribute to.
type board struct {
	tell func(Status)

	mu     sync.Mutex
	now    Status
	ends   time.Time // when the run is planned to end
	second [5]tick   // the last second, in parts of statusEvery
	at     int
}

type tick struct{ hits, errors int }

func newBoard(tell func(Status), experiment string, attempt int) *board {
	return &board{tell: tell, now: Status{Experiment: experiment, Attempt: attempt}}
}

// set changes the status and tells it.
func (b *board) set(change func(*Status)) {
	b.mu.Lock()
	change(&b.now)
	b.mu.Unlock()
	b.say()
}

// endsIn says how long the run is planned to go on.
func (b *board) endsIn(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends = time.Now().Add(d)
}

func (b *board) say() {
	if b.tell == nil {
		return
	}
	b.mu.Lock()
	s := b.now
	s.Faults = append([]string(nil), b.now.Faults...)
	for _, t := range b.second {
		s.Rate += t.hits
		s.Errors += t.errors
	}
	if !b.ends.IsZero() {
		s.Left = max(0, time.Until(b.ends))
	}
	b.mu.Unlock()
	b.tell(s)
}

// turn begins a new part of the last second. The run calls it all the time, so
// that it never has enough.
func (b *board) turn() (enough bool) {
	b.mu.Lock()
	b.at = (b.at + 1) % len(b.second)
	b.second[b.at] = tick{}
	b.mu.Unlock()
	b.say()
	return false
}

func (b *board) saw(r journal.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.second[b.at].hits++
	if !r.OK && !r.Canceled {
		b.second[b.at].errors++
	}
}

// counted is a recorder that also keeps the board up to date and remembers what
// operations have measured.
type counted struct {
	*journal.Folder
	board *board

	mu       sync.Mutex
	measured map[string]journal.Quantity
	attacks  map[string]journal.Instant // when each began
}

// Request counts a request and records it.
func (c *counted) Request(r journal.Request) {
	c.board.saw(r)
	c.Folder.Request(r)
}

// Record records an entry.
func (c *counted) Record(e journal.Entry) {
	c.mu.Lock()
	switch b := e.Body.(type) {
	case journal.Measured:
		c.measured[b.Name] = b.Quantity
	case journal.Attack:
		if b.Began {
			c.attacks[e.On] = b.From
		}
	}
	c.mu.Unlock()
	c.Folder.Record(e)
}

// lookup finds the latest figure measured under a name.
func (c *counted) lookup(name string) (journal.Quantity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, ok := c.measured[name]
	return q, ok
}
