package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
)

const redisStartWithin = 10 * time.Second

// redisServer is a redis-server without persistence.
type redisServer struct {
	name    string
	program string
	dir     string
	port    int
	env     []string
	user    *syscall.Credential
	spawner *spawn.Spawner
	lines   *spawn.Lines
	journal journal.Recorder

	mu      sync.Mutex
	process *spawn.Process
	starts  int
	asked   string
}

func (r *redisServer) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// start starts the server and waits until it answers a PING.
func (r *redisServer) start(ctx context.Context) error {
	r.mu.Lock()
	p, err := r.spawner.Start(spawn.Spec{
		Path: r.program, Dir: r.dir, Env: append([]string{"PATH=" + os.Getenv("PATH")}, r.env...),
		User: r.user, Line: r.lines, Exited: r.exited,
		Args: []string{
			"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
			"--daemonize", "no", "--dir", r.dir, "--loglevel", "warning",
		},
	})
	if err != nil {
		r.mu.Unlock()
		return fmt.Errorf("%s: %w", r.name, err)
	}
	r.process, r.asked = p, ""
	r.starts++
	r.journal.Record(journal.Entry{On: r.name, Body: journal.Started{PID: p.PID(), Start: r.starts}})
	r.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, redisStartWithin,
		fmt.Errorf("the server does not answer after %v", redisStartWithin))
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if fleet.PingRedis(ctx, r.address()) == nil {
			return nil
		}
		select {
		case <-p.Done():
			return fmt.Errorf("%s: redis-server %s%s", r.name, p.Exit(), fleet.Printed(r.lines))
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", r.name, context.Cause(ctx))
		case <-tick.C:
		}
	}
}

func (r *redisServer) exited(e spawn.Exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal.Record(journal.Entry{On: r.name, Body: journal.Exited{
		PID: e.PID, Code: e.Code, Signal: e.Signal, Asked: r.asked,
	}})
}

// Signal sends a signal to the server.
func (r *redisServer) Signal(_ context.Context, sig os.Signal) error {
	number, ok := sig.(syscall.Signal)
	if !ok {
		return fmt.Errorf("signal %s: %v is no signal of this system", r.name, sig)
	}
	p := r.ask(unix.SignalName(number))
	if err := p.SignalGroup(number); err != nil {
		return fmt.Errorf("signal %s: %w", r.name, err)
	}
	return nil
}

// ask records that a signal is about to be sent.
func (r *redisServer) ask(signal string) *spawn.Process {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = signal
	r.journal.Record(journal.Entry{On: r.name, Body: journal.Signalled{Signal: signal}})
	return r.process
}

// WaitExit returns when the server has ended.
func (r *redisServer) WaitExit(ctx context.Context) error {
	r.mu.Lock()
	p := r.process
	r.mu.Unlock()
	return p.Wait(ctx)
}

// Restart ends the server and starts it again, empty, on the same port.
func (r *redisServer) Restart(ctx context.Context) error {
	if err := r.end(ctx, 2*time.Second); err != nil {
		return err
	}
	return r.start(ctx)
}

func (r *redisServer) stop(ctx context.Context) error { return r.end(ctx, 50*time.Millisecond) }

func (r *redisServer) end(ctx context.Context, grace time.Duration) error {
	r.mu.Lock()
	p := r.process
	r.mu.Unlock()
	if p == nil || p.Ended() {
		return nil
	}
	r.ask("SIGTERM")
	if _, err := p.Stop(ctx, syscall.SIGTERM, grace); err != nil {
		return errors.Join(fmt.Errorf("stop %s: %w", r.name, err), p.Kill(context.WithoutCancel(ctx)))
	}
	return nil
}
