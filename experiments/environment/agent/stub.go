package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// PingPath is a stub's own path for round trips: answered with 204, never
// recorded and never shaped.
const PingPath = "/.seatrial/ping"

// stub is one programmable HTTP dependency. Every call is read to its end,
// shaped by what is in force, answered by its route, and recorded.
type stub struct {
	name       string
	requestID  string // headers
	key        string
	clock      clock
	log        *recordLog
	mux        *http.ServeMux
	routes     map[string]bool // by name
	behaviours behaviours
	http       *http.Server
	tls        *tls.Config // nil: it does not speak TLS
	conns      atomic.Uint64

	mu   sync.Mutex
	open map[*call]bool
}

func newStub(c StubConfig, ids *ids, clk clock, l *recordLog) (*stub, error) {
	s := &stub{
		name: c.Name, clock: clk, log: l,
		requestID: cmp.Or(c.RequestID, journal.RequestIDHeader),
		key:       cmp.Or(c.IdempotencyKey, journal.IdempotencyKeyHeader),
		mux:       http.NewServeMux(), routes: map[string]bool{}, open: map[*call]bool{},
	}
	if c.Certificate != "" || c.Key != "" {
		own, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key))
		if err != nil {
			return nil, fmt.Errorf("stub %q: its certificate: %w", c.Name, err)
		}
		s.tls = &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12}
	}
	fallback := true
	for _, r := range c.Routes {
		pattern := r.Pattern()
		a, err := newAnswer(s, r, ids)
		if err == nil {
			err = r.Handle(s.mux, a)
		}
		if err != nil {
			return nil, fmt.Errorf("stub %q: route %q: %w", c.Name, pattern, err)
		}
		s.routes[a.name] = true
		fallback = fallback && pattern != "/"
	}
	if fallback {
		a, err := newAnswer(s, subject.Route{}, ids)
		if err != nil {
			return nil, err
		}
		a.name = ""
		s.mux.Handle("/", a)
	}
	s.http = &http.Server{ //nolint:gosec // a stub is as patient as the trial: whatever the service does is recorded
		Handler: http.HandlerFunc(s.serve),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, &connection{number: s.conns.Add(1)})
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	return s, nil
}

// serve answers and records one call.
func (s *stub) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == PingPath {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	c := s.begin(r)
	defer c.end()
	stop := c.watch(r.Context())
	defer stop()
	if err := c.read(r); err != nil {
		panic(http.ErrAbortHandler)
	}
	s.mux.ServeHTTP(&statusWriter{ResponseWriter: w, call: c}, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

type callKey struct{}

// answerGrace is how long flush waits for answers that have been begun: the
// caller may have read the last byte before the handler has returned.
const answerGrace = 100 * time.Millisecond

// flush records the calls that still go on.
func (s *stub) flush() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(answerGrace); s.answering() && time.Now().Before(deadline); {
		<-tick.C
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.record(true)
	}
}

// answering says whether some call's answer has been begun and not ended.
func (s *stub) answering() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.begun() {
			return true
		}
	}
	return false
}

// listen serves on the address until the server is closed.
func (s *stub) listen(ctx context.Context, address string) (string, error) {
	l, err := listen(ctx, address)
	if err != nil {
		return "", fmt.Errorf("stub %q: %w", s.name, err)
	}
	address = l.Addr().String()
	if s.tls != nil {
		l = tls.NewListener(l, s.tls)
	}
	go func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Printf("seatrial agent: stub %q: %v", s.name, err)
		}
	}()
	return address, nil
}
