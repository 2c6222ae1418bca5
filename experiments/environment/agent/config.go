// Package agent is the one process of a trial that stands between the service
// and its dependencies: Toxiproxy's own server with a proxy per dependency,
// programmable HTTP stubs, and where asked a small Redis. [Main] is its body;
// [Supervise] starts it, keeps it alive, and brings what it sees into a
// journal.
package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Config is what one agent hosts. It crosses the border to the agent's process
// as one JSON object.
type Config struct {
	// Trial is the trial's id.
	Trial string `json:"trial"`
	// Run is the run's id; names that faults leave in a database carry it.
	// Empty: the trial's id.
	Run string `json:"run,omitempty"`
	// Seed feeds the random draws of templates.
	Seed uint64 `json:"seed"`
	// Control and API are the addresses of the control API and of Toxiproxy's.
	// Empty: a port of loopback that the system chooses.
	Control string        `json:"control,omitempty"`
	API     string        `json:"api,omitempty"`
	Proxies []ProxyConfig `json:"proxies,omitempty"`
	Stubs   []StubConfig  `json:"stubs,omitempty"`
	Redis   []RedisConfig `json:"redis,omitempty"`
}

// ProxyConfig is one dependency's proxy.
type ProxyConfig struct {
	Name string `json:"name"` // the dependency's
	Kind string `json:"kind"` // postgres, redis, http or tcp
	// Listen is the address the service connects to; port 0 lets the system
	// choose.
	Listen string `json:"listen"`
	// Reached is where seatrial itself reaches the proxy, when that is not where
	// it listens: a container's port as it is published.
	Reached string `json:"reached,omitempty"`
	// Upstream is the dependency's address. Empty: the stub or Redis of the
	// same name in this agent.
	Upstream string `json:"upstream,omitempty"`
	// Wire puts a wire tap before the upstream, which must be given and speak
	// PostgreSQL's protocol. Nil: none.
	Wire *WireConfig `json:"wire,omitempty"`
}

// StubConfig is one programmable HTTP dependency.
type StubConfig struct {
	Name   string          `json:"name"`
	Listen string          `json:"listen"`
	Routes []subject.Route `json:"routes,omitempty"`
	// RequestID and IdempotencyKey are the headers that are recorded of calls as
	// such. Empty: the usual ones.
	RequestID      string `json:"request_id,omitempty"`
	IdempotencyKey string `json:"idempotency_key,omitempty"`
	// Certificate and Key, both as PEM, have the stub speak TLS and nothing else.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
}

// RedisConfig is one in-memory Redis in the agent, without a password.
type RedisConfig struct {
	Name   string `json:"name"`
	Listen string `json:"listen"`
}

// Handshake is the one line an agent prints when everything in it listens.
type Handshake struct {
	PID          int               `json:"pid"`
	ControlURL   string            `json:"control_url"`
	ToxiproxyURL string            `json:"toxiproxy_url"`
	Proxies      map[string]string `json:"proxies"` // name to actual address
	Stubs        map[string]string `json:"stubs"`
	Redis        map[string]string `json:"redis"`
	// Counters is the first part of the names of this agent's counters.
	Counters string `json:"counters"`
	// Now is the agent's clock: the time since its start.
	Now journal.Instant `json:"now"`
}

// DecodeConfig reads one Config. Unknown fields, names used twice in one list
// and addresses without a port are errors.
func DecodeConfig(r io.Reader) (Config, error) {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	var c Config
	if err := dec.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("read agent configuration: %w", err)
	}
	if err := c.check(); err != nil {
		return Config{}, fmt.Errorf("read agent configuration: %w", err)
	}
	return c, nil
}

// DecodeHandshake reads the line that an agent printed.
func DecodeHandshake(line []byte) (Handshake, error) {
	var h Handshake
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&h); err != nil {
		return Handshake{}, fmt.Errorf("read the agent's handshake: %w", err)
	}
	if h.ControlURL == "" || h.ToxiproxyURL == "" {
		return Handshake{}, fmt.Errorf("read the agent's handshake: it names no control or Toxiproxy URL")
	}
	return h, nil
}

func (c Config) check() error {
	local := map[string]bool{}
	for _, s := range c.Stubs {
		if err := checkListener("stub", s.Name, s.Listen, local); err != nil {
			return err
		}
	}
	for _, r := range c.Redis {
		if err := checkListener("redis", r.Name, r.Listen, local); err != nil {
			return err
		}
	}
	seen := map[string]bool{}
	for _, p := range c.Proxies {
		if err := checkListener("proxy", p.Name, p.Listen, seen); err != nil {
			return err
		}
		if p.Upstream == "" && !local[p.Name] {
			return fmt.Errorf("proxy %q has no upstream, and no stub or redis of that name is here", p.Name)
		}
		if p.Wire != nil && (p.Upstream == "" || p.Kind != subject.Postgres) {
			return fmt.Errorf("proxy %q: a wire tap stands before a postgres server with an address", p.Name)
		}
	}
	return nil
}

func checkListener(what, name, listen string, seen map[string]bool) error {
	if name == "" {
		return fmt.Errorf("a %s has no name", what)
	}
	if seen[name] {
		return fmt.Errorf("%s %q is there twice", what, name)
	}
	seen[name] = true
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return fmt.Errorf("%s %q listens on %q: %w", what, name, listen, err)
	}
	return nil
}

// pinned is the configuration with the addresses that an agent really got, so
// that its successor listens on the same ones.
func (c Config) pinned(h Handshake) Config {
	p := c
	p.Proxies = make([]ProxyConfig, len(c.Proxies))
	for i, v := range c.Proxies {
		v.Listen = h.Proxies[v.Name]
		p.Proxies[i] = v
	}
	p.Stubs = make([]StubConfig, len(c.Stubs))
	for i, v := range c.Stubs {
		v.Listen = h.Stubs[v.Name]
		p.Stubs[i] = v
	}
	p.Redis = make([]RedisConfig, len(c.Redis))
	for i, v := range c.Redis {
		v.Listen = h.Redis[v.Name]
		p.Redis[i] = v
	}
	return p
}

// mark is the name that faults give to what they open in a database.
func (c Config) mark() string {
	if c.Run != "" {
		return "seatrial-" + c.Run
	}
	return "seatrial-" + c.Trial
}

// clock is the agent's own: the time since its start.
type clock struct{ start time.Time }

func (c clock) now() journal.Instant { return journal.Instant(time.Since(c.start)) }
