package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/alicebob/miniredis/v2"
	"github.com/rs/zerolog"

	"github.com/seatrial/seatrial/experiments/environment/agent/wiretap"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
)

// bindWithin is how long a listener's port is asked for again: after a
// replacement the dead process may still hold it for a moment.
const bindWithin = 3 * time.Second

// anyPort is a port of loopback that the system chooses.
const anyPort = "127.0.0.1:0"

// Role is the agent's, for a program that is started again.
const Role = "agent"

var _ = reexec.Register(Role, func(ctx context.Context, _ []string) error {
	return Main(ctx, os.Stdin, os.Stdout)
})

// server is everything that one agent hosts.
type server struct {
	config  Config
	clock   clock
	log     *recordLog
	tallies *tallyBook
	stubs   map[string]*stub
	redis   map[string]*miniredis.Miniredis
	taps    map[string]*wiretap.Tap
	toxic   *toxiproxy.ApiServer
	api     *http.Server // Toxiproxy's
	control *http.Server
	holds   holds
	shake   Handshake
}

var servers atomic.Uint64 // numbers the servers of this process

// Main is the agent process's body: it reads a [Config] as JSON from stdin,
// starts everything in it, prints the [Handshake] as one line on stdout, and
// serves until stdin reaches its end (so that it dies with its parent) or the
// context ends.
func Main(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	c, rest, err := readConfig(stdin)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := newServer(c)
	defer s.stop()
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("start agent: %w", err)
	}
	s.shake.Now = s.clock.now()
	if err := json.NewEncoder(stdout).Encode(s.shake); err != nil {
		return fmt.Errorf("print the agent's handshake: %w", err)
	}
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, rest) // its end is what counts
	}()
	<-ctx.Done()
	return nil
}

// readConfig reads the configuration and returns what is left of the stream.
func readConfig(r io.Reader) (Config, io.Reader, error) {
	dec := json.NewDecoder(r)
	var raw json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return Config{}, nil, fmt.Errorf("read agent configuration from standard input: %w", err)
	}
	c, err := DecodeConfig(newReader(raw))
	return c, r, err
}

func newServer(c Config) *server {
	clk := clock{start: time.Now()}
	l := newRecordLog(clk)
	names := make([]string, 0, len(c.Proxies))
	for _, p := range c.Proxies {
		names = append(names, p.Name)
	}
	prefix := strconv.FormatUint(servers.Add(1), 10)
	return &server{
		config: c, clock: clk, log: l,
		tallies: newTallyBook(prefix, names, clk, l),
		stubs:   map[string]*stub{},
		redis:   map[string]*miniredis.Miniredis{},
		taps:    map[string]*wiretap.Tap{},
		shake: Handshake{
			PID: os.Getpid(), Counters: prefix,
			Proxies: map[string]string{}, Stubs: map[string]string{}, Redis: map[string]string{},
		},
	}
}

func (s *server) start(ctx context.Context) error {
	ids := newIDs(s.config.Seed)
	for _, c := range s.config.Stubs {
		st, err := newStub(c, ids, s.clock, s.log)
		if err != nil {
			return err
		}
		s.stubs[c.Name] = st
		if s.shake.Stubs[c.Name], err = st.listen(ctx, c.Listen); err != nil {
			return err
		}
	}
	for _, c := range s.config.Redis {
		m := miniredis.NewMiniRedis()
		if err := m.StartAddr(c.Listen); err != nil {
			return fmt.Errorf("redis %q: listen on %s: %w", c.Name, c.Listen, err)
		}
		s.redis[c.Name] = m
		s.shake.Redis[c.Name] = m.Addr()
	}
	if err := s.startTaps(ctx); err != nil {
		return err
	}
	if err := s.startToxiproxy(ctx); err != nil {
		return err
	}
	go s.tallies.run(ctx)
	return s.startControl(ctx)
}

// startToxiproxy serves Toxiproxy's API and makes the proxies through it.
func (s *server) startToxiproxy(ctx context.Context) error {
	zerolog.SetGlobalLevel(zerolog.Disabled) // its toxics also log past the server's own logger
	s.toxic = toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l, err := listen(ctx, cmp.Or(s.config.API, anyPort))
	if err != nil {
		return err
	}
	s.shake.ToxiproxyURL = "http://" + l.Addr().String()
	s.api = serve(l, s.toxic.Routes())
	for _, p := range s.config.Proxies {
		upstream := p.Upstream
		if t := s.taps[p.Name]; t != nil {
			upstream = t.Address()
		} else if upstream == "" {
			upstream = s.local(p.Name)
		}
		address, err := createProxy(ctx, s.shake.ToxiproxyURL, p, upstream, s.tallies.key(p.Name))
		if err != nil {
			return err
		}
		s.shake.Proxies[p.Name] = address
	}
	return nil
}

func (s *server) local(name string) string {
	if a, ok := s.shake.Stubs[name]; ok {
		return a
	}
	return s.shake.Redis[name]
}

// stop ends everything. It is for hosts that live on; a process just exits.
func (s *server) stop() {
	for _, h := range []*http.Server{s.control, s.api} {
		if h != nil {
			_ = h.Close()
		}
	}
	s.holds.releaseAll()
	if s.toxic != nil {
		_ = s.toxic.Collection.Clear()
	}
	for _, t := range s.taps {
		t.Close()
	}
	for _, st := range s.stubs {
		_ = st.http.Close()
	}
	for _, m := range s.redis {
		m.Close()
	}
	s.tallies.forget()
}

// serve serves a handler on a listener until the server is closed.
func serve(l net.Listener, h http.Handler) *http.Server {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 15 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Printf("seatrial agent: %v", err)
		}
	}()
	return srv
}

// listen listens on an address, and asks again for a while when it is in use.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var l net.Listener
	err := again(ctx, func() (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// again calls f until it succeeds or [bindWithin] is over.
func again(ctx context.Context, f func() error) error {
	deadline := time.NewTimer(bindWithin)
	defer deadline.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		pause := time.NewTimer(20 * time.Millisecond)
		select {
		case <-pause.C:
		case <-deadline.C:
			return err
		case <-ctx.Done():
			pause.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
