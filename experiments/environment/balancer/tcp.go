package balancer

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// dialTimeout bounds the connect to a replica whose backlog is full.
const dialTimeout = 10 * time.Second

// service is one port of the service with its listener.
type service struct {
	balancer *Balancer
	port     string
	listener net.Listener

	mu   sync.Mutex
	http *http.Server
}

func (s *service) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		_ = s.http.Close()
	}
}

func (s *service) serveTCP() {
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or the like
			if wait(s.balancer.life, 5*time.Millisecond) != nil {
				return
			}
			continue
		}
		if s.balancer.keep(c) {
			s.balancer.tasks.Go(func() { s.carry(c) })
		}
	}
}

// carry carries one connection to a backend. When there is none, or it does
// not answer, the connection is reset, as near to a refused one as a listener
// can come.
func (s *service) carry(client net.Conn) {
	b := s.balancer
	defer b.drop(client)
	m := b.pick(s.port, nil)
	if m == nil {
		reset(client)
		return
	}
	upstream, err := dial(b.life, m.Addresses[s.port])
	if err != nil || !b.keep(upstream) {
		reset(client)
		return
	}
	defer b.drop(upstream)
	pipe(client, upstream)
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, "tcp", address)
}

// pipe copies both ways until both ends are done. An end of file on one side
// is passed on as such, a reset as a reset.
func pipe(a, b net.Conn) {
	var broken atomic.Bool
	oneWay := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		if err != nil {
			if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
				reset(to)
				reset(from)
			}
			if broken.CompareAndSwap(false, true) {
				_ = to.Close()
				_ = from.Close()
			}
			return
		}
		if t, ok := to.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	}
	var other sync.WaitGroup
	other.Go(func() { oneWay(a, b) })
	oneWay(b, a)
	other.Wait()
}

// reset has the connection closed with a reset.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
}
