// Package balancer stands before the replicas of a service like a Kubernetes
// Service: it balances connections over the replicas that are ready, follows
// their readiness by probes of its own, and leaves connections that are open
// alone when a replica leaves the rotation.
//
// In its HTTP mode it balances requests instead, like an ingress, and asks
// another replica once when one cannot be reached.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Modes of balancing.
const (
	TCP  = "tcp"
	HTTP = "http"
)

// probeTimeout bounds one question about readiness, as Kubernetes does by
// default (timeoutSeconds 1).
const probeTimeout = time.Second

// Probe asks a replica whether it is ready; nil when it is.
type Probe func(context.Context) error

// Backend is one replica as the balancer knows it.
type Backend struct {
	Name string
	// Addresses are where its ports are reached: "http" to "127.0.0.1:20041".
	Addresses map[string]string
	Probe     Probe
}

// Balancer balances over the backends that are in rotation. Its zero value is
// not ready; use [New].
type Balancer struct {
	rule     subject.Balancer
	journal  journal.Recorder
	life     context.Context
	end      context.CancelFunc
	tasks    sync.WaitGroup
	services []*service

	mu       sync.Mutex
	members  []*member
	next     map[string]int // round robin, by port
	conns    map[net.Conn]struct{}
	finished bool
}

// member is a backend with what is known of it.
type member struct {
	Backend
	in      bool // in rotation
	drained bool // taken out on purpose
	kick    chan chan struct{}
	end     context.CancelFunc
	gone    chan struct{}
}

// New returns a balancer without listeners and without backends. Zero fields of
// the rule have their defaults.
func New(rule subject.Balancer, rec journal.Recorder) *Balancer {
	if rule.Period <= 0 {
		rule.Period = 500 * time.Millisecond
	}
	if rule.Failures <= 0 {
		rule.Failures = 2
	}
	life, end := context.WithCancel(context.Background())
	return &Balancer{
		rule: rule, journal: rec, life: life, end: end,
		next: map[string]int{}, conns: map[net.Conn]struct{}{},
	}
}

// Listen opens the listener for one port of the service.
func (b *Balancer) Listen(port, address string) error {
	l, err := new(net.ListenConfig).Listen(b.life, "tcp", address)
	if err != nil {
		return fmt.Errorf("balance port %s: %w", port, err)
	}
	s := &service{balancer: b, port: port, listener: l}
	b.services = append(b.services, s)
	if b.rule.Mode == HTTP {
		b.tasks.Go(s.serveHTTP)
	} else {
		b.tasks.Go(s.serveTCP)
	}
	return nil
}

// Add makes a backend known and begins to ask about its readiness. It is out of
// rotation until it has said that it is ready.
func (b *Balancer) Add(backend Backend) {
	ctx, end := context.WithCancel(b.life)
	m := &member{Backend: backend, kick: make(chan chan struct{}), end: end, gone: make(chan struct{})}
	b.mu.Lock()
	b.members = append(b.members, m)
	b.mu.Unlock()
	b.tasks.Go(func() {
		defer close(m.gone)
		b.follow(ctx, m)
	})
}

// Remove forgets a backend. Connections to it stay.
func (b *Balancer) Remove(name string) {
	m := b.member(name)
	if m == nil {
		return
	}
	m.end()
	<-m.gone
	b.set(m, false, "removed")
	b.mu.Lock()
	defer b.mu.Unlock()
	b.members = slices.DeleteFunc(b.members, func(o *member) bool { return o == m })
}

func (b *Balancer) member(name string) *member {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.members {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Check asks a backend about its readiness now, not only at its next turn, and
// returns when the answer has been acted on.
func (b *Balancer) Check(ctx context.Context, name string) error {
	m := b.member(name)
	if m == nil {
		return fmt.Errorf("balancer: no replica is called %q", name)
	}
	done := make(chan struct{})
	select {
	case m.kick <- done:
	case <-m.gone:
		return errors.New("the balancer has been closed")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-m.gone:
		return errors.New("the balancer has been closed")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Deregister takes a backend out of rotation whatever it says of itself, as a
// platform does before it stops a pod. It returns when that has reached the
// balancer, after the propagation delay.
func (b *Balancer) Deregister(ctx context.Context, name string) error {
	m := b.member(name)
	if m == nil {
		return fmt.Errorf("balancer: no replica is called %q", name)
	}
	if err := wait(ctx, b.rule.Propagation); err != nil {
		return err
	}
	b.mu.Lock()
	m.drained = true
	b.mu.Unlock()
	b.set(m, false, "drained")
	return nil
}

// Register puts a backend back under the rule of readiness, and asks it at
// once.
func (b *Balancer) Register(ctx context.Context, name string) error {
	m := b.member(name)
	if m == nil {
		return fmt.Errorf("balancer: no replica is called %q", name)
	}
	b.mu.Lock()
	m.drained = false
	b.mu.Unlock()
	return b.Check(ctx, name)
}

// In reports whether new connections go to a backend.
func (b *Balancer) In(name string) bool {
	m := b.member(name)
	if m == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return m.in
}

// set changes whether a backend is in rotation and records a change.
func (b *Balancer) set(m *member, in bool, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.in == in || in && m.drained {
		return
	}
	m.in = in
	b.journal.Record(journal.Entry{On: m.Name, Body: journal.Endpoint{In: in, Reason: reason}})
}

// pick is the next backend in rotation that is not excluded; nil when there is
// none.
func (b *Balancer) pick(port string, not *member) *member {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.members {
		i := b.next[port] % len(b.members)
		b.next[port] = i + 1
		if m := b.members[i]; m.in && m != not {
			return m
		}
	}
	return nil
}

// Close ends the listeners, the probes and all connections.
func (b *Balancer) Close() {
	b.end()
	b.mu.Lock()
	b.finished = true
	for c := range b.conns {
		_ = c.Close()
	}
	b.mu.Unlock()
	for _, s := range b.services {
		s.close()
	}
	b.tasks.Wait()
}

// keep remembers a connection until it is closed; false when the balancer has
// been closed already.
func (b *Balancer) keep(c net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		_ = c.Close()
		return false
	}
	b.conns[c] = struct{}{}
	return true
}

func (b *Balancer) drop(c net.Conn) {
	b.mu.Lock()
	delete(b.conns, c)
	b.mu.Unlock()
	_ = c.Close()
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
