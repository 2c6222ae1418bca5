package docker

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// trustWithin bounds the wait for a replica to be ready whose dependencies may
// have certificates that it does not take.
const trustWithin = 10 * time.Second

// firstTLSPort is the port of the first stub that speaks TLS.
const firstTLSPort = 8443

// guise is stubs that speak TLS in the place of the http dependencies, in an
// agent of their own.
type guise struct {
	authority *authority
	agent     *agent.Agent
	seen      *journal.Memory
	values    map[string]string // what references stand for
	names     map[string]string // of the stubs, by dependency
}

// Trust implements [environment.Contained].
func (e *Environment) Trust(
	ctx context.Context, known bool, ask environment.Ask,
) (found map[string]journal.Trust, err error) {
	name := e.Subject.Name + "-unknown"
	if known {
		name = e.Subject.Name + "-known"
	}
	g, err := e.disguise(ctx, name)
	if err != nil || g == nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.agent.Stop(context.WithoutCancel(ctx))) }()
	said := journal.Trust{Known: known}
	replaces := map[string][]byte{}
	if known {
		file, content, err := e.trustedByImage(ctx)
		if err != nil {
			return nil, err
		}
		if said.Added = file; file != "" {
			replaces[file] = slices.Concat(content, []byte("\n"), g.authority.text)
		}
	}
	values := e.replicaValues(0, name)
	for reference, value := range g.values {
		values[reference] = value
	}
	u, err := e.unit(ctx, name, values, func(o *order) { o.readOnly, o.replaces = false, replaces })
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, u.Free(context.WithoutCancel(ctx))) }()
	if said.Err, err = e.askReady(ctx, name, u, ask); err != nil {
		return nil, err
	}
	return g.tell(ctx, said)
}

// askReady asks a replica when it is ready, or says why it did not become that.
func (e *Environment) askReady(ctx context.Context, name string, u *fleet.Unit, ask environment.Ask) (string, error) {
	p, err := u.Start(ctx, nil)
	if err != nil {
		return err.Error(), nil // such as a program that does not exist
	}
	bounded, cancel := context.WithTimeout(ctx, trustWithin)
	defer cancel()
	if err := e.Ready(bounded, name, u, p); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return e.Clean(err.Error()), nil
	}
	ask(ctx, func(port string) string {
		if a := u.Addresses[port]; a != "" {
			return "http://" + a
		}
		return ""
	})
	return "", nil
}

// disguise starts stubs that speak TLS; nil where the subject has no http
// dependency.
func (e *Environment) disguise(ctx context.Context, name string) (*guise, error) {
	authority, err := newAuthority()
	if err != nil {
		return nil, err
	}
	g := &guise{
		authority: authority, seen: journal.NewMemory(journal.Header{}),
		values: map[string]string{}, names: map[string]string{},
	}
	c := agent.Config{
		Trial: e.Options.Trial, Run: e.Options.Run, Seed: e.Options.Seed,
		Control: everywhere(controlPort), API: everywhere(apiPort),
	}
	l := &launcher{environment: e, lines: e.NewLines(name + "-stubs"), publish: map[int]int{}}
	for _, d := range e.Subject.Dependencies {
		if d.Kind != subject.HTTP {
			continue
		}
		if err := e.dress(g, d, name, l, &c); err != nil {
			return nil, err
		}
	}
	if len(c.Stubs) == 0 {
		return nil, nil //nolint:nilnil // there is nothing to put in the place of anything
	}
	if l.image, err = e.backend.agentImage(ctx, e.Subject, e.Options.Progress); err != nil {
		return nil, err
	}
	if l.control, err = e.Lease(); err != nil {
		return nil, err
	}
	if l.api, err = e.Lease(); err != nil {
		return nil, err
	}
	l.publish[controlPort], l.publish[apiPort] = l.control.Port, l.api.Port
	g.agent, err = agent.Supervise(ctx, l, c, g.seen)
	return g, err
}

// dress adds the stub in the place of one dependency.
func (e *Environment) dress(g *guise, d subject.Dependency, suffix string, l *launcher, c *agent.Config) error {
	host := d.Name + "-for-" + suffix
	certificate, key, err := g.authority.certify(host)
	if err != nil {
		return err
	}
	published, err := e.Lease()
	if err != nil {
		return err
	}
	port := firstTLSPort + len(c.Stubs)
	l.publish[port] = published.Port
	c.Stubs = append(c.Stubs, agent.StubConfig{
		Name: host, Listen: "127.0.0.1:0", Routes: d.Routes, Certificate: certificate, Key: key,
		RequestID: d.RequestID, IdempotencyKey: d.IdempotencyKey,
	})
	c.Proxies = append(c.Proxies, agent.ProxyConfig{
		Name: host, Kind: d.Kind, Listen: everywhere(port), Reached: published.Address(),
	})
	address := net.JoinHostPort(host, strconv.Itoa(port))
	for name, value := range fleet.References(d.Kind, address) {
		g.values[d.Name+"."+name] = value
	}
	g.values[d.Name+".url"] = "https://" + address
	g.names[d.Name] = host
	return nil
}

// tell is what reached the stubs, by dependency.
func (g *guise) tell(ctx context.Context, said journal.Trust) (map[string]journal.Trust, error) {
	if err := g.agent.Flush(ctx); err != nil {
		return nil, err
	}
	found := map[string]journal.Trust{}
	for dependency, host := range g.names {
		t := said
		for e, tally := range journal.Of[journal.Tally](g.seen) {
			if e.On == host {
				t.Connections = max(t.Connections, int(tally.Conns))
			}
		}
		for e := range journal.Of[journal.Call](g.seen) {
			if e.On == host {
				t.Calls++
			}
		}
		found[dependency] = t
	}
	return found, nil
}
