package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
)

// kindReplica is what a replica calls its kind as a target.
const kindReplica = "replica"

// replica is one copy of the service.
type replica struct {
	fleet *Fleet
	name  string
	unit  *Unit

	mu      sync.Mutex
	process Process // nil before the first start
	starts  int
	asked   string // the last signal sent to the present process
}

var _ environment.Replica = (*replica)(nil)

// Name is the replica's name.
func (r *replica) Name() string { return r.name }

// Kind is "replica".
func (r *replica) Kind() string { return kindReplica }

// Endpoint is the base URL of one of its ports; empty when it has no such port.
func (r *replica) Endpoint(port string) string {
	if a := r.unit.Addresses[port]; a != "" {
		return "http://" + a
	}
	return ""
}

func (r *replica) running() Process {
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
func (r *replica) launch(ctx context.Context) (Process, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process != nil && !r.process.Ended() {
		return nil, fmt.Errorf("start %s: it runs already", r.name)
	}
	p, err := r.unit.Start(ctx, r.exited)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", r.name, err)
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
	r.fleet.Journal.Record(journal.Entry{On: r.name, Body: b})
}

// Start starts it again after its end and returns when it is ready, which the
// balancer then knows too.
func (r *replica) Start(ctx context.Context) error {
	p, err := r.launch(ctx)
	if err != nil {
		return err
	}
	if err := r.awaitReady(ctx, p); err != nil {
		return err
	}
	return r.fleet.Balancer.Check(ctx, r.name)
}

// readyPause is how long after a probe that failed the next one is sent while a
// replica starts.
const readyPause = 10 * time.Millisecond

// awaitReady asks a replica that was just started until it is ready.
func (r *replica) awaitReady(ctx context.Context, p Process) error {
	within := r.fleet.Subject.Service.StartWithin
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
			return fmt.Errorf("%s %s before it was ready%s", r.name, p.Exit(), Printed(r.unit.Lines))
		case <-ctx.Done():
			if !errors.Is(context.Cause(ctx), errNotReady) {
				return fmt.Errorf("wait for %s: %w", r.name, context.Cause(ctx))
			}
			return fmt.Errorf("%s was not ready within %v (start_within): %w%s", r.name, within, last, Printed(r.unit.Lines))
		case <-pause.C:
		}
	}
}

var errNotReady = errors.New("not ready in time")

// probe asks a replica once whether it is ready. As with Kubernetes' probes a
// status from 200 to 399 says yes; where the service has no readiness endpoint,
// a port that accepts does.
func (r *replica) probe(ctx context.Context) error {
	service := r.fleet.Subject.Service
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
	resp, err := r.fleet.probes.Do(req)
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
	port := or(r.fleet.Subject.Traffic.Port, "http")
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", r.unit.Addresses[port])
	if err != nil {
		return err
	}
	defer c.Close()
	if !r.unit.Fronted {
		return nil
	}
	if err := c.SetReadDeadline(time.Now().Add(frontedWait)); err != nil {
		return err
	}
	var slow net.Error
	if _, err := c.Read(make([]byte, 1)); err != nil && (!errors.As(err, &slow) || !slow.Timeout()) {
		return fmt.Errorf("port %s is closed right after it was opened: %w", port, err)
	}
	return nil
}

// frontedWait is how long a connection must last that somebody else may have
// accepted: a container engine's proxy closes it within a millisecond.
const frontedWait = 50 * time.Millisecond

// Signal sends a signal to the process, and SIGSTOP, SIGCONT and SIGKILL to all
// of its group.
func (r *replica) Signal(ctx context.Context, s os.Signal) error {
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
	if err := p.Send(ctx, number); err != nil {
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
	err := r.Signal(ctx, StopSignal(r.fleet.Subject))
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
	if err := r.Terminate(ctx, r.fleet.grace()); err != nil && !errors.Is(err, errKilled) {
		return err
	}
	return r.Start(ctx)
}

// Deregister takes it out of the balancer's rotation.
func (r *replica) Deregister(ctx context.Context) error {
	return r.fleet.Balancer.Deregister(ctx, r.name)
}

// Register puts it back under the rule of readiness.
func (r *replica) Register(ctx context.Context) error {
	return r.fleet.Balancer.Register(ctx, r.name)
}

// stopGrace is how long replicas have to end when the environment is taken
// down: what they would still do concerns nobody.
const stopGrace = 100 * time.Millisecond

// end takes it down for good: gently, but not for long.
func (r *replica) end(ctx context.Context) error {
	var err error
	if p := r.running(); p != nil {
		if _, err = p.Stop(ctx, StopSignal(r.fleet.Subject), stopGrace); err != nil {
			err = errors.Join(fmt.Errorf("stop %s: %w", r.name, err), p.Kill(context.WithoutCancel(ctx)))
		}
	}
	if r.unit.Free != nil {
		err = errors.Join(err, r.unit.Free(ctx))
	}
	return err
}
