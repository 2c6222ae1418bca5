package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	toxiclient "github.com/Shopify/toxiproxy/v2/client"
	"github.com/testcontainers/testcontainers-go"
	tctoxiproxy "github.com/testcontainers/testcontainers-go/modules/toxiproxy"
	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/observe"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// toxiproxyPicture is Toxiproxy's own image, as a subject names it.
func toxiproxyPicture(s *subject.Subject) picture {
	return picture{s.Images.Toxiproxy, "Toxiproxy", subject.ToxiproxyNaming + ", or images.toxiproxy"}
}

// plainProxy is Toxiproxy's own server before one dependency, in place of the
// agent. It hosts one proxy, so that what its container sends and receives is
// that dependency's.
type plainProxy struct {
	name, kind, mark string
	address          string // where seatrial reaches it
	api              *toxiclient.Client
}

var (
	_ faults.Proxied = (*plainProxy)(nil)
	_ observe.Beside = (*plainProxy)(nil)
	_ faults.Marker  = (*plainProxy)(nil)
)

// startToxiproxies starts a Toxiproxy for each dependency, all at once, and
// makes the targets.
func (e *Environment) startToxiproxies(ctx context.Context) error {
	if err := e.engine.ensure(ctx, toxiproxyPicture(e.Subject), e.Options.Progress); err != nil {
		return err
	}
	targets := make([]faults.Target, len(e.servers))
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range e.servers {
		group.Go(func() (err error) {
			targets[i], err = e.startToxiproxy(ctx, s)
			if err != nil {
				return fmt.Errorf("start Toxiproxy for %s: %w", s.Target, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	e.plain = targets
	return nil
}

func (e *Environment) startToxiproxy(ctx context.Context, s *server) (faults.Target, error) {
	api, err := e.Lease()
	if err != nil {
		return nil, err
	}
	port, lines := portOf(s.proxy), e.NewLines(s.Target+"-toxiproxy")
	made, err := e.make(ctx, toxiproxy, order{
		image: e.Subject.Images.Toxiproxy, aliases: []string{s.Target}, noCaps: true,
		publish: map[int]int{apiPort: api.Port, port: s.published.Port}, cmd: []string{"-host=0.0.0.0"},
	}, lines)
	if err != nil {
		return nil, err
	}
	e.own(made)
	r, err := made.start(ctx, nil, nil)
	if err != nil {
		return nil, err
	}
	p := &plainProxy{
		name: s.Target, kind: s.dependency.Kind, mark: "seatrial-" + or(e.Options.Run, e.Options.Trial),
		address: s.published.Address(), api: toxiclient.NewClient(api.Address()),
	}
	if err := p.open(ctx, api, r, everywhere(port), s.direct); err != nil {
		return nil, fmt.Errorf("%w%s", err, fleet.Printed(lines))
	}
	e.watchCarried(made, s.Target)
	return s.plainly(p), nil
}

func toxiproxy(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (string, error) {
	c, err := tctoxiproxy.Run(ctx, image, opts...)
	if c == nil || c.Container == nil {
		return "", err
	}
	return c.GetContainerID(), err
}

// open waits for the API and makes the proxy.
func (p *plainProxy) open(ctx context.Context, api *ports.Lease, r *run, listen, upstream string) error {
	if err := fleet.Await(ctx, r, "its container", startWithin, askEvery, func(ctx context.Context) error {
		return answersHTTP(ctx, "http://"+api.Address()+"/version")
	}); err != nil {
		return err
	}
	return within(ctx, func() error {
		_, err := p.api.CreateProxy(p.name, listen, upstream)
		return err
	})
}

func answersHTTP(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s answered %s", url, resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}

// wedgedAfter is how long Toxiproxy's API may take; healthy, it answers within
// milliseconds, and wedged, by a client that does not read, after 25 s.
const wedgedAfter = 4 * time.Second

// within calls what takes no context, and leaves it alone when it takes too long.
func within(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, wedgedAfter,
		fmt.Errorf("its API does not answer within %v, and there is no agent that could be replaced", wedgedAfter))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Name is the dependency's name.
func (p *plainProxy) Name() string { return p.name }

// Kind is postgres, redis or tcp.
func (p *plainProxy) Kind() string { return p.kind }

// Mark implements [faults.Marker].
func (p *plainProxy) Mark() string { return p.mark }

// ProxyAddress is where seatrial itself reaches the proxy.
func (p *plainProxy) ProxyAddress() string { return p.address }

// RoundTrips implements [observe.Beside]. There is nobody of ours in the network:
// what the published port accepts for one who does not listen it closes at once,
// and so does Toxiproxy where its upstream is gone. Either is a refusal.
func (p *plainProxy) RoundTrips() func(context.Context, time.Duration) journal.RoundTrip {
	return func(ctx context.Context, timeout time.Duration) journal.RoundTrip {
		r := observe.RoundTrip{Kind: p.kind, Address: p.address, Timeout: timeout}
		trip := r.Exchange(ctx)
		switch {
		case trip.Down == 0 && (trip.Err == journal.ErrEOF || trip.Err == journal.ErrReset):
			trip.Err = journal.ErrRefused
		case p.kind == subject.TCP && trip.Err == "" && fleet.Accepts(ctx, p.address, true) != nil:
			trip.Err = journal.ErrRefused // the exchange is a bare connect
		}
		return trip
	}
}

func (p *plainProxy) ask(ctx context.Context, what string, f func(*toxiclient.Proxy) error) error {
	err := within(ctx, func() error {
		proxy, err := p.api.Proxy(p.name)
		if err != nil {
			return err
		}
		return f(proxy)
	})
	if err != nil {
		return fmt.Errorf("%s, behind Toxiproxy: %s: %w", p.name, what, err)
	}
	return nil
}

// AddToxic adds a toxic of Toxiproxy's own, or its nearest to one of ours.
func (p *plainProxy) AddToxic(ctx context.Context, t faults.Toxic) error {
	kind, attributes, err := plainToxic(t)
	if err != nil {
		return err
	}
	return p.ask(ctx, "add toxic "+t.Name, func(proxy *toxiclient.Proxy) error {
		_, err := proxy.AddToxic(t.Name, kind, t.Stream, float32(t.Toxicity), attributes)
		return err
	})
}

// plainToxic is a toxic in Toxiproxy's own words.
func plainToxic(t faults.Toxic) (kind string, a toxiclient.Attributes, err error) {
	own, ours := strings.CutPrefix(t.Type, faults.OwnToxics)
	milliseconds := func(name string) int64 {
		d, _ := t.Attributes[name].(time.Duration)
		return d.Milliseconds()
	}
	switch {
	case !ours:
		return t.Type, toxiclient.Attributes(t.Attributes), nil
	case own == "latency":
		return "latency", toxiclient.Attributes{"latency": milliseconds("latency"), "jitter": milliseconds("jitter")}, nil
	case own == "blackhole":
		return "timeout", toxiclient.Attributes{"timeout": 0}, nil
	}
	return "", nil, fmt.Errorf("toxic %s: %w: it is the agent's own, which images.toxiproxy leaves out",
		t.Name, faults.ErrNotHere)
}

// RemoveToxic removes a toxic; that it is not there is no error.
func (p *plainProxy) RemoveToxic(ctx context.Context, name string) error {
	return p.ask(ctx, "remove toxic "+name, func(proxy *toxiclient.Proxy) error {
		err := proxy.RemoveToxic(name)
		var api *toxiclient.ApiError
		if errors.As(err, &api) && api.Status == http.StatusNotFound {
			return nil
		}
		return err
	})
}

// SetEnabled opens or closes the proxy's listener.
func (p *plainProxy) SetEnabled(ctx context.Context, enabled bool) error {
	return p.ask(ctx, fmt.Sprintf("set enabled to %t", enabled), func(proxy *toxiclient.Proxy) error {
		if enabled {
			return proxy.Enable()
		}
		return proxy.Disable()
	})
}

// plainServer is a dependency in a container behind a Toxiproxy.
type plainServer struct {
	*plainProxy
	*server
}

// Name is the dependency's name.
func (t plainServer) Name() string { return t.plainProxy.Name() }

// plainPostgres is a PostgreSQL server behind a Toxiproxy.
type plainPostgres struct {
	plainServer
	access
}

// plainly is the target behind a Toxiproxy.
func (s *server) plainly(p *plainProxy) faults.Target {
	switch {
	case s.start == nil:
		return p
	case s.dependency.Kind == subject.Postgres:
		return plainPostgres{plainServer{p, s}, access{s}}
	}
	return plainServer{p, s}
}

var (
	_ faults.Proxied     = plainServer{}
	_ faults.Signalled   = plainServer{}
	_ faults.Restartable = plainServer{}
	_ faults.Bounded     = plainServer{}
	_ faults.Networked   = plainServer{}
	_ faults.SQL         = plainPostgres{}
	_ faults.Proxied     = plainPostgres{}
)
