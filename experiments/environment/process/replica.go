package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
)

const killSignal = syscall.SIGKILL

// kindReplica is what a replica calls its kind as a target.
const kindReplica = "replica"

// replica is one copy of the service.
type replica struct {
	environment *Environment
	name        string
	ports       map[string]int
	leases      []*ports.Lease
	spec        spawn.Spec
	lines       *spawn.Lines

	mu      sync.Mutex
	process *spawn.Process // nil before the first start
	starts  int
	asked   string // the last signal sent to the present process
}

var _ environment.Replica = (*replica)(nil)

// Name is the replica's name.
func (r *replica) Name() string { return r.name }

// Kind is "replica".
func (r *replica) Kind() string { return kindReplica }

func (r *replica) address(port string) string {
	number, ok := r.ports[port]
	if !ok {
		return ""
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
}

// Endpoint is the base URL of one of its ports; empty when it has no such port.
func (r *replica) Endpoint(port string) string {
	if a := r.address(port); a != "" {
		return "http://" + a
	}
	return ""
}

func (r *replica) running() *spawn.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil || r.process.Ended() {
		return nil
	}
	return r.process
}

// PID is its process now; zero when it does not run.
func (r *replica) PID() int {
	if p := r.running(); p != nil {
		return p.PID()
	}
	return 0
}

// launch starts the process; it does not wait until it is ready.
func (r *replica) launch() (*spawn.Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil && !r.process.Ended() {
		return nil, fmt.Errorf("start %s: it runs already", r.name)
	}
	for port, number := range r.ports {
		if err := ports.Free(number); err != nil {
			return nil, fmt.Errorf("start %s: port %s cannot be used: %w", r.name, port, err)
		}
	}
	spec := r.spec
	spec.Exited = r.exited
	p, err := r.environment.host.spawner.Start(spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.name, err)
	}
	r.process, r.asked = p, ""
	r.starts++
	r.record(journal.Started{PID: p.PID(), Start: r.starts})
	return p, nil
}

func (r *replica) exited(e spawn.Exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record(journal.Exited{PID: e.PID, Code: e.Code, Signal: e.Signal, Asked: r.asked})
}

func (r *replica) record(b journal.Body) {
	r.environment.journal.Record(journal.Entry{On: r.name, Body: b})
}

// Start starts it again after its end and returns when it is ready, which the
// balancer then knows too.
func (r *replica) Start(ctx context.Context) error {
	p, err := r.launch()
	if err != nil {
		return err
	}
	if err := r.awaitReady(ctx, p); err != nil {
		return err
	}
	return r.environment.balancer.Check(ctx, r.name)
}

// readyPause is how long after a probe that failed the next one is sent while a
// replica starts.
const readyPause = 10 * time.Millisecond

// awaitReady asks a replica that was just started until it is ready.
func (r *replica) awaitReady(ctx context.Context, p *spawn.Process) error {
	within := r.environment.subject.Service.StartWithin
	if within <= 0 {
		within = 30 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, errNotReady)
	defer cancel()
	pause := time.NewTicker(readyPause)
	defer pause.Stop()
	last := errors.New("it did not answer the readiness probe")
	for {
		err := r.probe(ctx)
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
			return fmt.Errorf("%s %s before it was ready%s", r.name, p.Exit(), printed(r.lines))
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errNotReady) {
				return fmt.Errorf("wait for %s: %w", r.name, context.Cause(ctx))
			}
			return fmt.Errorf("%s was not ready within %v (start_within): %w%s", r.name, within, last, printed(r.lines))
		case <-pause.C:
		}
	}
}

var errNotReady = errors.New("not ready in time")

// probe asks a replica once whether it is ready. As with Kubernetes' probes a
// status from 200 to 399 says yes; where the service has no readiness endpoint,
// a port that accepts does.
func (r *replica) probe(ctx context.Context) error {
	service := r.environment.subject.Service
	if service.Readiness.Path == "" {
		return r.connect(ctx)
	}
	url := r.Endpoint(or(service.Readiness.Port, "http")) + service.Readiness.Path
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "seatrial-probe")
	resp, err := r.environment.probes.Do(req)
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

func (r *replica) connect(ctx context.Context) error {
	port := or(r.environment.subject.Traffic.Port, "http")
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", r.address(port))
	if err != nil {
		return err
	}
	return c.Close()
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// Signal sends a signal to the process, and SIGSTOP, SIGCONT and SIGKILL to all
// of its group.
func (r *replica) Signal(_ context.Context, s os.Signal) error {
	number, ok := s.(syscall.Signal)
	if !ok {
		return fmt.Errorf("signal %s: %v is no signal of this system", r.name, s)
	}
	p := r.running()
	if p == nil {
		return fmt.Errorf("signal %s: it does not run", r.name)
	}
	r.mu.Lock()
	r.asked = unix.SignalName(number)
	r.record(journal.Signalled{Signal: r.asked})
	r.mu.Unlock()
	send := p.Signal
	if number == syscall.SIGSTOP || number == syscall.SIGCONT || number == syscall.SIGKILL {
		send = p.SignalGroup
	}
	if err := send(number); err != nil {
		return fmt.Errorf("signal %s: %w", r.name, err)
	}
	return nil
}

// WaitExit returns when the process has ended; at once when it does not run.
func (r *replica) WaitExit(ctx context.Context) error {
	if p := r.running(); p != nil {
		return p.Wait(ctx)
	}
	return nil
}

// errKilled says that a replica had to be killed.
var errKilled = errors.New("it did not end within its grace period and was killed")

// Terminate sends the stop signal and waits for the exit; after the grace it
// kills.
func (r *replica) Terminate(ctx context.Context, grace time.Duration) error {
	p := r.running()
	if p == nil {
		return nil
	}
	err := r.Signal(ctx, unix.SignalNum(stopSignal(r.environment.subject)))
	if err != nil && !p.Ended() && !errors.Is(err, spawn.ErrExited) {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", r.name, ctx.Err())
	case <-timer.C:
	}
	if err := r.Signal(ctx, syscall.SIGKILL); err != nil && !p.Ended() {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		return err
	}
	return fmt.Errorf("terminate %s: %w (%v)", r.name, errKilled, grace)
}

// Restart terminates it within the subject's grace, where it runs, and starts
// it again. That it had to be killed is in the journal, and no error.
func (r *replica) Restart(ctx context.Context) error {
	grace := r.environment.subject.Service.Stop.Grace
	if grace <= 0 {
		grace = 30 * time.Second
	}
	if err := r.Terminate(ctx, grace); err != nil && !errors.Is(err, errKilled) {
		return err
	}
	return r.Start(ctx)
}

// Deregister takes it out of the balancer's rotation.
func (r *replica) Deregister(ctx context.Context) error {
	return r.environment.balancer.Deregister(ctx, r.name)
}

// Register puts it back under the rule of readiness.
func (r *replica) Register(ctx context.Context) error {
	return r.environment.balancer.Register(ctx, r.name)
}

// end takes it down for good: gently, but not for long.
func (r *replica) end(ctx context.Context) error {
	defer func() {
		for _, l := range r.leases {
			l.Release()
		}
	}()
	p := r.running()
	if p == nil {
		return nil
	}
	if _, err := p.Stop(ctx, unix.SignalNum(stopSignal(r.environment.subject)), stopGrace); err != nil {
		return errors.Join(fmt.Errorf("stop %s: %w", r.name, err), p.Kill(context.WithoutCancel(ctx)))
	}
	return nil
}
