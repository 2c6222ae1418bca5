package journal

import (
	"iter"
	"slices"
	"sync"
	"time"
)

// Memory is a journal and a recorder in memory, for tests and for prefixes
// that are judged while the run goes on. The zero value is not ready; use
// [NewMemory].
type Memory struct {
	mu       sync.RWMutex
	start    time.Time
	header   Header
	entries  []Entry
	requests []Request
}

// NewMemory returns an empty journal whose clock starts now.
func NewMemory(h Header) *Memory { return &Memory{header: h, start: time.Now()} }

// Now is the time since the journal was made.
func (m *Memory) Now() Instant { return Instant(time.Since(m.start)) }

// Record appends an entry.
func (m *Memory) Record(e Entry) {
	if e.At == 0 {
		e.At = m.Now()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, e)
}

// Request appends a request.
func (m *Memory) Request(r Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, r)
}

// Header returns the header given to [NewMemory].
func (m *Memory) Header() Header { return m.header }

// Entries yields what had been recorded when the iteration began.
func (m *Memory) Entries(kinds ...string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		m.mu.RLock()
		entries := m.entries
		m.mu.RUnlock()
		for _, e := range entries {
			if len(kinds) > 0 && !slices.Contains(kinds, e.Body.Kind()) {
				continue
			}
			if !yield(e) {
				return
			}
		}
	}
}

// Requests yields the requests due in the window.
func (m *Memory) Requests(w Window) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		m.mu.RLock()
		requests := m.requests
		m.mu.RUnlock()
		for _, r := range requests {
			if w.Contains(r.Due) && !yield(r) {
				return
			}
		}
	}
}

// Steps are the steps as carried out so far.
func (m *Memory) Steps() []Step { return CollectSteps(m.header, Of[StepEvent](m)) }

var (
	_ Journal  = (*Memory)(nil)
	_ Recorder = (*Memory)(nil)
)
