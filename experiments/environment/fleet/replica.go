package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/subject"
)

// kindReplica is what a replica calls its kind as a target.
const kindReplica = "replica"

// replica is one copy of the service.
type replica struct {
	Keeper
	fleet *Fleet
	unit  *Unit
}

var _ environment.Replica = (*replica)(nil)

// Kind is "replica".
func (r *replica) Kind() string { return kindReplica }

// Endpoint is the base URL of one of its ports; empty when it has no such port.
func (r *replica) Endpoint(port string) string { return r.unit.endpoint(port) }

func (u *Unit) endpoint(port string) string {
	if a := u.Addresses[port]; a != "" {
		return "http://" + a
	}
	return ""
}

// Use says which version of the service runs from its next start on.
func (r *replica) Use(version string) error {
	if err := r.unit.Use(version); err != nil {
		return fmt.Errorf("run version %s of the service as %s: %w", version, r.Target, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version = version
	return nil
}

// Version is the version of the service that it was last told to run.
func (r *replica) Version() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return or(r.version, subject.CurrentVersion)
}

// Start starts it again after its end and returns when it is ready, which the
// balancer then knows too.
func (r *replica) Start(ctx context.Context) error {
	p, err := r.Launch(ctx, r.unit.Start)
	if err != nil {
		return err
	}
	if err := r.fleet.Ready(ctx, r.Target, r.unit, p); err != nil {
		return err
	}
	return r.fleet.Balancer.Check(ctx, r.Target)
}

// readyPause is how long after a probe that failed the next one is sent while a
// replica starts.
const readyPause = 10 * time.Millisecond

// Ready asks a replica that was just started until it is ready.
func (f *Fleet) Ready(ctx context.Context, name string, u *Unit, p Process) error {
	within := f.Subject.Service.StartWithin
	if within <= 0 {
		within = 30 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, errNotReady)
	defer cancel()
	pause := time.NewTicker(readyPause)
	defer pause.Stop()
	last := errors.New("it did not answer the readiness probe")
	for {
		err := f.probe(ctx, u)
		if err == nil && p.Ended() { // somebody else answers on its port
			err = errors.New("another process answers on its port")
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil { // one that the end of our waiting cut short says nothing
			last = err
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s %s before it was ready%s", name, p.Exit(), Printed(u.Lines))
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errNotReady) {
				return fmt.Errorf("wait for %s: %w", name, context.Cause(ctx))
			}
			return fmt.Errorf("%s was not ready within %v (start_within): %w%s", name, within, last, Printed(u.Lines))
		case <-pause.C:
		}
	}
}

var errNotReady = errors.New("not ready in time")

// probe asks a replica once whether it is ready. As with Kubernetes' probes a
// status from 200 to 399 says yes; where the service has no readiness endpoint,
// a port that accepts does.
func (f *Fleet) probe(ctx context.Context, u *Unit) error {
	service := f.Subject.Service
	if service.Readiness.Path == "" {
		return Accepts(ctx, u.Addresses[or(f.Subject.Traffic.Port, "http")], u.Fronted)
	}
	url := u.endpoint(or(service.Readiness.Port, "http")) + service.Readiness.Path
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "seatrial-probe")
	resp, err := f.probes.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("GET %s answered %s", url, resp.Status)
	}
	return nil
}

// probe is the balancer's. What does not run yet is not asked where somebody
// accepts for it: his connect would wait for an address that nobody has, and the
// next ones with it, until the kernel looks for the address again a second later.
func (r *replica) probe(ctx context.Context) error {
	if r.unit.Fronted && r.Running() == nil {
		return errNotRunning
	}
	return r.fleet.probe(ctx, r.unit)
}

var errNotRunning = errors.New("it does not run")

// Terminate sends the stop signal and waits for the exit; after the grace it
// kills.
func (r *replica) Terminate(ctx context.Context, grace time.Duration) error {
	return r.End(ctx, StopSignal(r.fleet.Subject), grace)
}

// Restart terminates it within the subject's grace, where it runs, and starts
// it again. That it had to be killed is in the journal, and no error.
func (r *replica) Restart(ctx context.Context) error {
	if err := r.Terminate(ctx, r.fleet.Grace()); err != nil && !errors.Is(err, ErrKilled) {
		return err
	}
	return r.Start(ctx)
}

// Deregister takes it out of the balancer's rotation.
func (r *replica) Deregister(ctx context.Context) error {
	return r.fleet.Balancer.Deregister(ctx, r.Target)
}

// Register puts it back under the rule of readiness.
func (r *replica) Register(ctx context.Context) error {
	return r.fleet.Balancer.Register(ctx, r.Target)
}

// end takes it down for good.
func (r *replica) end(ctx context.Context) error {
	err := r.Drop(ctx, StopSignal(r.fleet.Subject))
	if r.unit.Free != nil {
		err = errors.Join(err, r.unit.Free(ctx))
	}
	return err
}
