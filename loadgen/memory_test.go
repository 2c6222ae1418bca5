package loadgen

import (
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// weigher keeps nothing of what is recorded and weighs the heap twice.
type weigher struct {
	start       time.Time
	n           atomic.Int64
	first, last int64
	at, end     int64
}

func (w *weigher) Now() journal.Instant { return journal.Instant(time.Since(w.start)) }
func (w *weigher) Record(journal.Entry) {}
func (w *weigher) Request(journal.Request) {
	switch n := w.n.Add(1); n {
	case w.at:
		w.first = heap()
	case w.end:
		w.last = heap()
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryDoesNotGrowWithTheLength(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"0123456789"}`)
	})
	const hits = 12_000
	w := &weigher{start: time.Now(), at: hits / 4, end: hits}
	end, err := Attack{
		Name: "load", Pacer: Count(hits, 6*time.Second), Source: mustCompile(t, orders, 1), BaseURL: url, MaxInFlight: 200,
	}.Run(t.Context(), w)
	if err != nil || w.n.Load() != hits || end.Sent < hits/10 { // a dropped hit is recorded, too
		t.Fatalf("%d recorded, %d sent: %v", w.n.Load(), end.Sent, err)
	}
	// Three quarters of the hits, at only 200 bytes kept of each, would be 1.8 MB.
	if grown := w.last - w.first; grown > 1<<20 {
		t.Errorf("the heap grew by %d kB over %d hits", grown>>10, hits*3/4)
	}
}
