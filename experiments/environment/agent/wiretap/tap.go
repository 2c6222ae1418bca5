// Package wiretap is a relay before a Postgres server that understands the
// protocol. It records the statements as the server sees them, and shapes the
// answers to those that an interference asks for; everything else passes as the
// bytes it came in: COPY, notifications, cancel requests, pipelines, messages
// that it does not know. Where it loses count of a connection's messages it
// says so in the journal and only relays from there on.
package wiretap

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// Config is one tap.
type Config struct {
	// Name is the dependency's.
	Name string
	// Upstream is the server's address.
	Upstream string
	// AnswerTLS lets clients that ask for TLS have it, with a certificate that
	// the tap made itself. Otherwise they are refused it, as by a server that
	// has no certificate.
	AnswerTLS bool
	// Canary is the word to look for in statements and parameters.
	Canary string
	// Now is the clock of the records.
	Now func() journal.Instant
	// Record takes a record down; it must not block.
	Record func(journal.Entry)
}

// Tap is a relay that listens. Make it with [Listen].
type Tap struct {
	config   Config
	listener net.Listener
	tls      *tls.Config // nil: refused
	canary   canary
	rules    atomic.Pointer[[]*rule] // in the order in which they were set
	serial   atomic.Uint64
	end      context.CancelFunc
	tasks    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	over  bool
}

// Listen starts a tap on an address; port 0 lets the system choose. It lives
// until [Tap.Close].
func Listen(ctx context.Context, address string, c Config) (*Tap, error) {
	t := &Tap{config: c, canary: newCanary(c.Canary), conns: map[net.Conn]bool{}}
	t.rules.Store(new([]*rule))
	if c.AnswerTLS {
		var err error
		if t.tls, err = selfSigned(); err != nil {
			return nil, fmt.Errorf("wire tap of %q: make a certificate: %w", c.Name, err)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("wire tap of %q: %w", c.Name, err)
	}
	t.listener = l
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	t.end = end
	t.tasks.Go(func() { t.accept(life) })
	return t, nil
}

// Address is where it listens.
func (t *Tap) Address() string { return t.listener.Addr().String() }

// Close ends the tap and all its connections, and waits for their end.
func (t *Tap) Close() {
	t.end()
	_ = t.listener.Close() // it is closed either way
	t.mu.Lock()
	t.over = true
	for c := range t.conns {
		_ = c.Close()
	}
	t.mu.Unlock()
	t.tasks.Wait()
}

// Interfere puts an interference in force; one of the same id is taken back
// first.
func (t *Tap) Interfere(id string, i faults.Interference) error {
	r, err := newRule(id, i)
	if err != nil {
		return err
	}
	t.change(id, r)
	return nil
}

// LeaveAlone takes an interference back: what it holds is let go.
func (t *Tap) LeaveAlone(id string) { t.change(id, nil) }

func (t *Tap) change(id string, add *rule) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var next []*rule
	for _, r := range *t.rules.Load() {
		if r.id == id {
			close(r.cleared)
			continue
		}
		next = append(next, r)
	}
	if add != nil {
		next = append(next, add)
	}
	t.rules.Store(&next)
}

func (t *Tap) accept(ctx context.Context) {
	for {
		client, err := t.listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			select { // out of descriptors, mostly
			case <-time.After(10 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if t.keep(client) {
			t.tasks.Go(func() {
				defer t.drop(client)
				t.serve(ctx, client)
			})
		}
	}
}

// keep remembers a connection, to be closed with the tap.
func (t *Tap) keep(c net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		_ = c.Close()
		return false
	}
	t.conns[c] = true
	return true
}

func (t *Tap) drop(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = c.Close()
	delete(t.conns, c)
}

// dial opens a connection to the server.
func (t *Tap) dial(ctx context.Context) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", t.config.Upstream)
	if err != nil {
		return nil, err
	}
	if !t.keep(c) {
		return nil, net.ErrClosed
	}
	return c, nil
}

// pick is the first interference that has a part in something.
func (t *Tap) pick(wants func(*rule) bool) *rule {
	rules := *t.rules.Load()
	if i := slices.IndexFunc(rules, wants); i >= 0 {
		return rules[i]
	}
	return nil
}
