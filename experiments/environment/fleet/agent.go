package fleet

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Front is a dependency with its place behind the agent.
type Front struct {
	subject.Dependency
	// Listen is where its proxy listens, Reached where seatrial reaches that;
	// empty: there, too.
	Listen, Reached string
	// Upstream is its own address. Empty: the agent hosts it, a stub or a small
	// Redis.
	Upstream string
	// Target makes its target, with the wire tap where there is one. Nil: what
	// the agent knows of it is all that can be broken.
	Target func(*agent.Dependency, *Tap) faults.Target
}

// Tap shapes what passes the wire tap.
type Tap struct{ wire agent.Tapped }

// Interfere implements [faults.Tapped].
func (t Tap) Interfere(ctx context.Context, id string, i faults.Interference) error {
	return t.wire.Interfere(ctx, id, i)
}

// LeaveAlone implements [faults.Tapped].
func (t Tap) LeaveAlone(ctx context.Context, id string) error { return t.wire.LeaveAlone(ctx, id) }

// StartAgent starts the agent with a proxy for every dependency, and makes the
// targets. The configuration holds where the agent itself is reached.
func (b *Base) StartAgent(ctx context.Context, l agent.Launcher, c agent.Config, fronts []Front) error {
	c.Trial, c.Run, c.Seed = b.Options.Trial, b.Options.Run, b.Options.Seed
	for _, f := range fronts {
		proxy := agent.ProxyConfig{
			Name: f.Name, Kind: f.Kind, Listen: f.Listen, Reached: f.Reached, Upstream: f.Upstream,
		}
		switch {
		case f.Upstream != "" && f.Wire.Tap:
			proxy.Wire = &agent.WireConfig{TLS: f.Wire.TLS == subject.TLSAnswered}
		case f.Upstream == "" && f.Kind == subject.HTTP:
			c.Stubs = append(c.Stubs, agent.StubConfig{
				Name: f.Name, Listen: hosted, Routes: f.Routes, RequestID: f.RequestID, IdempotencyKey: f.IdempotencyKey,
			})
		case f.Upstream == "" && f.Kind == subject.Redis:
			c.Redis = append(c.Redis, agent.RedisConfig{Name: f.Name, Listen: hosted})
		}
		c.Proxies = append(c.Proxies, proxy)
	}
	a, err := agent.Supervise(ctx, l, c, b.Journal)
	if err != nil {
		return err
	}
	b.agent = a
	for _, f := range fronts {
		t, err := targetOf(a, f)
		if err != nil {
			return err
		}
		b.dependencies = append(b.dependencies, t)
	}
	return nil
}

// hosted is where what the agent hosts listens, behind its proxy.
const hosted = "127.0.0.1:0"

func targetOf(a *agent.Agent, f Front) (faults.Target, error) {
	d := a.Dependency(f.Name)
	if d == nil {
		return nil, fmt.Errorf("the agent has no proxy for %s", f.Name)
	}
	if f.Target != nil {
		if wire, ok := a.Tapped(f.Name); ok {
			return f.Target(d, &Tap{wire}), nil
		}
		return f.Target(d, nil), nil
	}
	if stub, ok := a.Stub(f.Name); ok {
		return stub, nil
	}
	return d, nil
}
