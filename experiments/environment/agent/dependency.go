package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	toxiclient "github.com/Shopify/toxiproxy/v2/client"

	"github.com/seatrial/seatrial/experiments/observe"
	"github.com/seatrial/seatrial/faults"
)

// Dependency is one proxied dependency as a target of faults. Backends embed
// it in targets that can do more.
type Dependency struct {
	agent  *Agent
	config ProxyConfig
}

// Stub is a programmable HTTP dependency as a target of faults.
type Stub struct{ *Dependency }

var (
	_ faults.Proxied = (*Dependency)(nil)
	_ faults.Dialled = (*Dependency)(nil)
	_ observe.Beside = (*Dependency)(nil)
	_ faults.Marker  = (*Dependency)(nil)
	_ faults.Stub    = Stub{}
)

// Dependency returns the dependency behind the proxy of that name, nil when
// there is none.
func (a *Agent) Dependency(name string) *Dependency {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range a.config.Proxies {
		if p.Name == name {
			return &Dependency{agent: a, config: p}
		}
	}
	return nil
}

// Stub returns the stub of that name, which must be behind a proxy of the same
// name; false when there is none.
func (a *Agent) Stub(name string) (Stub, bool) {
	d := a.Dependency(name)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.config.Stubs {
		if s.Name == name && d != nil {
			return Stub{d}, true
		}
	}
	return Stub{}, false
}

// Name is the dependency's name.
func (d *Dependency) Name() string { return d.config.Name }

// Kind is postgres, redis, http or tcp.
func (d *Dependency) Kind() string { return d.config.Kind }

// Mark is the name that faults give to what they open: "seatrial-" and the run.
func (d *Dependency) Mark() string {
	d.agent.mu.Lock()
	defer d.agent.mu.Unlock()
	return d.agent.config.mark()
}

// ProxyAddress is where seatrial itself reaches the proxy.
func (d *Dependency) ProxyAddress() string { return cmp.Or(d.config.Reached, d.config.Listen) }

// resetToxic is Toxiproxy's reset_peer, which alone leaves connections that
// are already open to end cleanly.
const resetToxic = "reset_peer"

// AddToxic adds a toxic to the proxy. When the API is wedged the agent is
// replaced, and the error says so.
func (d *Dependency) AddToxic(ctx context.Context, t faults.Toxic) error {
	if t.Type == resetToxic {
		if err := d.linger(ctx, http.MethodPut); err != nil {
			return d.errorf("add toxic", err)
		}
	}
	attributes := toxiclient.Attributes(maps.Clone(t.Attributes))
	if strings.HasPrefix(t.Type, faults.OwnToxics) {
		if attributes == nil {
			attributes = toxiclient.Attributes{}
		}
		attributes["counter"] = d.agent.Handshake().Counters + "/" + d.Name()
	}
	err := d.ask(ctx, func(p *toxiclient.Proxy) error {
		_, err := p.AddToxic(t.Name, t.Type, t.Stream, float32(t.Toxicity), attributes)
		return err
	})
	if err != nil {
		return d.errorf("add toxic "+t.Name, err)
	}
	d.remember(t.Name, t.Type)
	if t.Type == resetToxic { // connections that came in between
		if err := d.linger(ctx, http.MethodPut); err != nil {
			return errors.Join(d.errorf("add toxic", err), d.RemoveToxic(ctx, t.Name))
		}
	}
	return nil
}

// RemoveToxic removes a toxic; that it is not there is no error. When the API
// is wedged the agent is replaced, which removes it too.
func (d *Dependency) RemoveToxic(ctx context.Context, name string) error {
	err := d.ask(ctx, func(p *toxiclient.Proxy) error {
		err := p.RemoveToxic(name)
		var api *toxiclient.ApiError
		if errors.As(err, &api) && api.Status == http.StatusNotFound {
			return nil
		}
		return err
	})
	if errors.Is(err, errReplaced) {
		return nil
	}
	if err == nil && d.forget(name) == resetToxic {
		err = d.linger(ctx, http.MethodDelete)
	}
	if err != nil {
		return d.errorf("remove toxic "+name, err)
	}
	return nil
}

// SetEnabled opens or closes the proxy's listener.
func (d *Dependency) SetEnabled(ctx context.Context, enabled bool) error {
	err := d.ask(ctx, func(p *toxiclient.Proxy) error {
		if !enabled {
			return p.Disable()
		}
		return again(ctx, p.Enable)
	})
	if enabled && errors.Is(err, errReplaced) {
		return nil
	}
	if err != nil {
		return d.errorf(fmt.Sprintf("set enabled to %t", enabled), err)
	}
	return nil
}

// HoldConnects lets new connects to the proxy hang, and cuts those that are
// there: its listener is closed, and in its place stands one with a full
// backlog. It needs Linux.
func (d *Dependency) HoldConnects(ctx context.Context) error {
	if err := d.SetEnabled(ctx, false); err != nil {
		return err
	}
	if err := d.control(ctx, http.MethodPut, "hold"); err != nil {
		return errors.Join(d.errorf("hold connects", err), d.SetEnabled(ctx, true))
	}
	return nil
}

// ReleaseConnects ends that and restores the proxy.
func (d *Dependency) ReleaseConnects(ctx context.Context) error {
	if err := d.control(ctx, http.MethodDelete, "hold"); err != nil {
		return d.errorf("release connects", err)
	}
	return d.SetEnabled(ctx, true)
}

// SetBehaviour puts a behaviour in force under an id, in place of one of the
// same id.
func (s Stub) SetBehaviour(ctx context.Context, id string, b faults.Behaviour) error {
	return s.behaviour(ctx, http.MethodPut, id, b)
}

// ClearBehaviour takes a behaviour back; calls that it holds are let go.
func (s Stub) ClearBehaviour(ctx context.Context, id string) error {
	return s.behaviour(ctx, http.MethodDelete, id, nil)
}

func (s Stub) behaviour(ctx context.Context, method, id string, in any) error {
	now, err := s.agent.session()
	if err == nil {
		path := "/stubs/" + url.PathEscape(s.Name()) + "/behaviours/" + url.PathEscape(id)
		err = now.ask(ctx, method, path, in, nil)
	}
	if err != nil {
		return fmt.Errorf("stub %q: behaviour %q: %w", s.Name(), id, err)
	}
	return nil
}

func (d *Dependency) linger(ctx context.Context, method string) error {
	return d.control(ctx, method, "linger")
}

func (d *Dependency) control(ctx context.Context, method, what string) error {
	s, err := d.agent.session()
	if err != nil {
		return err
	}
	return s.ask(ctx, method, "/proxies/"+url.PathEscape(d.Name())+"/"+what, nil, nil)
}

func (d *Dependency) errorf(what string, err error) error {
	return fmt.Errorf("proxy of %q: %s: %w", d.Name(), what, err)
}

func (d *Dependency) remember(toxic, kind string) {
	d.agent.mu.Lock()
	defer d.agent.mu.Unlock()
	d.agent.toxics[d.Name()+"/"+toxic] = kind
}

// forget returns the type of a toxic that has been removed.
func (d *Dependency) forget(toxic string) string {
	d.agent.mu.Lock()
	defer d.agent.mu.Unlock()
	key := d.Name() + "/" + toxic
	kind := d.agent.toxics[key]
	delete(d.agent.toxics, key)
	return kind
}

// ask does something to the proxy through Toxiproxy's API. When there is no
// answer in time, or one that is not Toxiproxy's own (its 503 is a page), the
// agent is replaced and the error wraps errReplaced.
func (d *Dependency) ask(ctx context.Context, f func(*toxiclient.Proxy) error) error {
	s, err := d.agent.session()
	if err != nil {
		return err
	}
	done := make(chan error, 1) // the client takes no context; killing the process ends it
	go func() {
		p, err := s.toxiproxy.Proxy(d.Name())
		if err == nil {
			err = f(p)
		}
		done <- err
	}()
	limit := time.NewTimer(d.agent.wedged)
	defer limit.Stop()
	reason := ""
	select {
	case err := <-done:
		var api *toxiclient.ApiError
		if err == nil || errors.As(err, &api) && api.Status != http.StatusServiceUnavailable {
			return err
		}
		reason = fmt.Sprintf("Toxiproxy's API answered: %v", err)
	case <-limit.C:
		reason = fmt.Sprintf("Toxiproxy's API did not answer within %v", d.agent.wedged)
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := d.agent.replace(s, reason); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errReplaced, reason)
}
