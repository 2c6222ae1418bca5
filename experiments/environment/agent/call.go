package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// keptBody is how much of a request's body templates can see.
const keptBody = 1 << 20

// maxText bounds what is recorded of one header or path.
const maxText = 256

// connection numbers the calls of one connection to a stub.
type connection struct {
	number uint64
	calls  atomic.Int64
}

type connectionKey struct{}

// call is one request under way at a stub. Its journal form holds no header
// but those that tie attempts together, and of the body only hash and size.
type call struct {
	stub    *stub
	arrived time.Time
	at      journal.Instant
	gone    <-chan struct{} // closed when the caller has left
	body    []byte          // the first keptBody bytes, for templates

	mu       sync.Mutex
	seen     journal.Call
	recorded bool
}

// begin takes down what the head of a request says.
func (s *stub) begin(r *http.Request) *call {
	c := &call{stub: s, arrived: time.Now(), at: s.clock.now(), gone: r.Context().Done()}
	c.seen = journal.Call{
		Method:         cut(r.Method),
		Path:           cut(r.URL.Path),
		QueryHash:      hashed(r.URL.RawQuery),
		RequestID:      cut(r.Header.Get(s.requestID)),
		IdempotencyKey: cut(r.Header.Get(s.key)),
	}
	c.seen.TakeTrace(func(name string) string { return cut(r.Header.Get(name)) })
	if conn, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		c.seen.Conn, c.seen.Nth = conn.number, int(conn.calls.Add(1))
	}
	s.mu.Lock()
	s.open[c] = true
	s.mu.Unlock()
	return c
}

func cut(s string) string {
	if len(s) > maxText {
		return s[:maxText]
	}
	return s
}

// watch notes when the caller hangs up, until the returned function is called.
// net/http notices it only once the body has been read.
func (c *call) watch(ctx context.Context) (stop func()) {
	noted := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(noted)
		c.hungUp()
	})
	return func() {
		if !cancel() {
			<-noted
		}
	}
}

func (c *call) hungUp() {
	c.update(func(seen *journal.Call) {
		if !seen.HungUp && seen.Answered == 0 {
			seen.HungUp, seen.HungUpAfter = true, time.Since(c.arrived)
		}
	})
}

func (c *call) update(f func(*journal.Call)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.seen)
}

// read reads the whole body, and keeps its hash, its size and its beginning.
func (c *call) read(r *http.Request) error {
	sum := sha256.New()
	kept := &head{max: keptBody}
	n, err := io.Copy(io.MultiWriter(sum, kept), r.Body)
	c.body = kept.data
	c.update(func(seen *journal.Call) {
		seen.BodyBytes, seen.BodyRead = n, err == nil
		seen.BodyHash = digest(sum, n)
	})
	if err != nil {
		c.hungUp()
	}
	return err
}

// hashed is what is kept of a query: enough to tell one from another.
func hashed(query string) string {
	sum := sha256.New()
	n, _ := io.WriteString(sum, query)
	return digest(sum, int64(n))
}

func digest(sum hash.Hash, n int64) string {
	if n == 0 {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

// head keeps the first bytes written to it.
type head struct {
	data []byte
	max  int
}

// Write never fails.
func (h *head) Write(p []byte) (int, error) {
	if room := h.max - len(h.data); room > 0 {
		h.data = append(h.data, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// answered notes that the last byte of the answer has been handed over, if
// there was still somebody to take it.
func (c *call) answered() {
	if isClosed(c.gone) {
		c.hungUp()
		return
	}
	c.update(func(seen *journal.Call) {
		if !seen.HungUp {
			seen.Answered = time.Since(c.arrived)
		}
	})
}

// begun says that an answer has been begun.
func (c *call) begun() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.Status != 0
}

// end records the call, unless it was recorded as open before.
func (c *call) end() {
	c.stub.mu.Lock()
	delete(c.stub.open, c)
	c.stub.mu.Unlock()
	c.record(false)
}

// record takes the call down once: open when it still goes on.
func (c *call) record(open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recorded {
		return
	}
	c.recorded = true
	seen := c.seen
	seen.Open = open
	if open || seen.Answered == 0 && !seen.HungUp {
		seen.Age = time.Since(c.arrived)
	}
	c.stub.log.add(journal.Entry{At: c.at, On: c.stub.name, Body: seen})
}
