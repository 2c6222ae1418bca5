package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// tallyToxic is the type of the toxic that counts what a proxy carries. It is
// the first of every chain, on both streams, so that it sees what comes in
// before any fault does something to it.
const tallyToxic = "seatrial_tally"

// tallyEvery is how often changed tallies are recorded.
const tallyEvery = 100 * time.Millisecond

func init() { toxics.Register(tallyToxic, new(tally)) }

// tallies holds the counters of all proxies of all agents in this process.
// Toxiproxy makes a toxic from its JSON attributes alone, so that a counter
// can only be found by its name.
var tallies sync.Map // string to *counter

// counter is what one proxy has carried.
type counter struct {
	conns, up, down, upChunks atomic.Uint64
	open                      atomic.Int64
}

func (c *counter) read() journal.Tally {
	return journal.Tally{
		Conns: c.conns.Load(), Open: int(c.open.Load()),
		UpBytes: c.up.Load(), DownBytes: c.down.Load(), UpChunks: c.upChunks.Load(),
	}
}

// tally passes all data through and counts it. Unlike Toxiproxy's noop it can
// be interrupted while it waits for the reader behind it: it keeps the chunk
// and sends it first when it runs again, so that nothing is lost or reordered
// and no toxic behind it can keep the API waiting here.
type tally struct {
	Key string `json:"key"` // of the counter
	Up  bool   `json:"up"`  // on the upstream link
}

// tallyState is one link's.
type tallyState struct{ pending *stream.StreamChunk }

// NewState is called once for every link.
func (t *tally) NewState() any {
	if c := t.counter(); t.Up {
		c.conns.Add(1)
		c.open.Add(1)
	}
	return new(tallyState)
}

func (t *tally) counter() *counter {
	c, _ := tallies.LoadOrStore(t.Key, new(counter))
	return c.(*counter)
}

// Pipe counts until the link is closed or interrupted.
func (t *tally) Pipe(stub *toxics.ToxicStub) {
	c, state := t.counter(), stub.State.(*tallyState)
	for {
		if state.pending == nil {
			select {
			case <-stub.Interrupt:
				return
			case chunk := <-stub.Input:
				if chunk == nil {
					t.closed(c)
					stub.Close()
					return
				}
				t.count(c, len(chunk.Data))
				state.pending = chunk
			}
		}
		select {
		case <-stub.Interrupt:
			return
		case stub.Output <- state.pending:
			state.pending = nil
		}
	}
}

func (t *tally) count(c *counter, n int) {
	if t.Up {
		c.up.Add(uint64(n))
		c.upChunks.Add(1)
		return
	}
	c.down.Add(uint64(n))
}

func (t *tally) closed(c *counter) {
	if t.Up {
		c.open.Add(-1)
	}
}

// tallyBook records the tallies of one agent's proxies.
type tallyBook struct {
	prefix string
	names  []string
	clock  clock
	log    *recordLog
	mu     sync.Mutex
	last   map[string]journal.Tally
}

func newTallyBook(prefix string, names []string, c clock, l *recordLog) *tallyBook {
	return &tallyBook{prefix: prefix, names: names, clock: c, log: l, last: map[string]journal.Tally{}}
}

func (b *tallyBook) key(proxy string) string { return b.prefix + "/" + proxy }

// run records what changed, every [tallyEvery], until the context ends.
func (b *tallyBook) run(ctx context.Context) {
	tick := time.NewTicker(tallyEvery)
	defer tick.Stop()
	for {
		b.record()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// record takes down every tally that differs from what was recorded last.
func (b *tallyBook) record() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range b.names {
		v, _ := tallies.LoadOrStore(b.key(name), new(counter))
		now := v.(*counter).read()
		now.Shaped = faults.Shaped(b.key(name)).Load()
		if last, seen := b.last[name]; seen && last == now {
			continue
		}
		b.last[name] = now
		b.log.add(journal.Entry{At: b.clock.now(), On: name, Body: now})
	}
}

// forget drops the counters.
func (b *tallyBook) forget() {
	for _, name := range b.names {
		tallies.Delete(b.key(name))
		faults.ForgetShaped(b.key(name))
	}
}
