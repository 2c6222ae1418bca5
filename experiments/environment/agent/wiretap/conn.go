package wiretap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// conn is one connection that is relayed. Each direction has its goroutine;
// what they share is what has been asked and not yet answered.
type conn struct {
	tap            *Tap
	number         uint64
	client, server net.Conn
	blind          atomic.Bool // relay only
	up             *frames
	down           *frames
	over           chan struct{} // closed when the client has gone
	overOnce       sync.Once

	// Of the upward direction alone.
	texts    texts
	prepared map[string]*prepared
	portals  map[string]portal
	noted    map[*rule]uint64 // rules that a statement of this transaction suited
	copying  bool
	rollback bool // after the next Sync
	failing  bool // until the next Sync: the server passes everything over

	mu      sync.Mutex
	asked   queue
	tx      byte // 'I', 'T' or 'E', as far as is known
	pid     int
	wrote   bool // this transaction has stored something
	held    []byte
	holding bool // answers are held back until it is known whether they are cut off
	late    *op  // whose ReadyForQuery is held back
	ended   []*op
}

func newConn(t *Tap, o *opening) *conn {
	c := &conn{
		tap: t, number: t.serial.Add(1), client: o.client, server: o.server,
		over: make(chan struct{}), tx: ' ',
		prepared: map[string]*prepared{}, portals: map[string]portal{}, noted: map[*rule]uint64{},
	}
	c.up = newFrames(o.in, c.server)
	c.down = newFrames(c.server, c.client)
	_ = c.up.put(o.packet) // into the buffer
	c.blind.Store(o.blind)
	if !o.blind {
		c.asked.push(&op{kind: opStartup, at: t.config.Now(), statement: &o.startup})
	}
	return c
}

// relay goes on until both directions have ended.
func (c *conn) relay(ctx context.Context) {
	stop := context.AfterFunc(ctx, c.leave)
	defer stop()
	var down sync.WaitGroup
	down.Go(func() {
		_ = c.relayDown() // an end is an end
		c.cut()
	})
	err := c.relayUp()
	c.leave()
	var timeout net.Error
	if half, ok := c.server.(*net.TCPConn); ok && (err == nil || errors.Is(err, io.EOF)) && !errors.As(err, &timeout) {
		_ = half.CloseWrite() // the server ends the connection then
	} else {
		c.cut()
	}
	down.Wait()
	c.close()
}

func (c *conn) leave() { c.overOnce.Do(func() { close(c.over) }) }

// cut ends both sides at once.
func (c *conn) cut() {
	c.leave()
	_ = c.client.Close()
	_ = c.server.Close()
}

// lose stops looking at the messages: they are not what was asked for.
func (c *conn) lose(kind byte) {
	c.blind.Store(true)
	c.tap.config.Record(journal.Entry{
		At: c.tap.config.Now(), On: c.tap.config.Name,
		Body: journal.Note{Text: fmt.Sprintf("the wire tap lost count of connection %d at a message %q, and only "+
			"relays it from there on", c.number, string(rune(kind)))},
	})
}

// close records what was never answered.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.asked.all() {
		if o.statement != nil && o.executes() {
			o.statement.unfinished = o.statement.state == "" && o.statement.done != journal.DoneCut
			c.finish(o)
		}
	}
	c.flush("")
}

// finish ends an asked thing; it is recorded at the next ReadyForQuery.
func (c *conn) finish(o *op) {
	if o.statement == nil {
		return
	}
	o.statement.took = c.tap.config.Now().Sub(o.at)
	c.ended = append(c.ended, o)
	if len(c.ended) >= maxEnded {
		c.flush("")
	}
}

// maxEnded bounds how many answers wait for a ReadyForQuery to be recorded.
const maxEnded = 256

func (c *conn) flush(after string) {
	for _, o := range c.ended {
		e := o.statement.entry(c.number, c.pid)
		e.After = after
		c.tap.record(o.at, e)
	}
	c.ended = c.ended[:0]
}

// wait holds a ReadyForQuery back for as long as its rule says.
func (c *conn) wait(o *op) {
	began := time.Now()
	t := time.NewTimer(o.rule.Hold)
	defer t.Stop()
	select {
	case <-t.C:
	case <-o.rule.cleared:
	case <-c.over:
		o.statement.unfinished = true
	}
	o.statement.held = time.Since(began)
}

// choose is the rule that shapes a statement which is about to be executed.
func (c *conn) choose(s *statement) (*rule, uint64) {
	var by uint64
	r := c.tap.pick(func(r *rule) bool {
		key, ok := c.suits(r, s)
		if !ok || !r.draw() || r.SQLState != "" && !r.spend(key) {
			return false
		}
		by = key
		return true
	})
	return r, by
}

// suits is rule.suits with what is known of the transaction.
func (c *conn) suits(r *rule, s *statement) (uint64, bool) {
	if s.tx == 'E' || c.failing {
		return 0, false // it is refused in any case
	}
	if r.At != faults.AtCommit && !r.CutCommit {
		if r.SQLState != "" && s.controls() {
			return 0, false
		}
		return r.suits(s)
	}
	if s.commits() {
		if s.tx != 'T' {
			return 0, false
		}
		if r.Match == "" && r.PerParameter == 0 {
			return 0, true
		}
		key, ok := c.noted[r]
		return key, ok
	}
	key, ok := r.suits(s)
	if !ok || s.controls() {
		return 0, false
	}
	if s.tx == 'T' {
		if _, already := c.noted[r]; !already {
			c.noted[r] = key
		}
		return 0, false
	}
	return key, r.CutCommit && s.changes() // a statement that is a transaction by itself
}
