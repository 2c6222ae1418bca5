package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
)

const (
	redisStartWithin = 10 * time.Second
	redisStopWithin  = 2 * time.Second
)

// redisServer is a redis-server without persistence.
type redisServer struct {
	fleet.Keeper
	program string
	dir     string
	port    int
	env     []string
	user    *syscall.Credential
	spawner *spawn.Spawner
	lines   *spawn.Lines
}

func (r *redisServer) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// start starts the server and waits until it answers a PING.
func (r *redisServer) start(ctx context.Context) error {
	p, err := r.Launch(ctx, func(_ context.Context, exited func(spawn.Exit)) (fleet.Process, error) {
		return startChild(r.spawner, spawn.Spec{
			Path: r.program, Dir: r.dir, Env: append([]string{"PATH=" + os.Getenv("PATH")}, r.env...),
			User: r.user, Line: r.lines, Exited: exited,
			Args: []string{
				"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
				"--daemonize", "no", "--dir", r.dir, "--loglevel", "warning",
			},
		})
	})
	if err != nil {
		return err
	}
	if err := fleet.Await(ctx, p, "redis-server", redisStartWithin, 2*time.Millisecond, func(ctx context.Context) error {
		return fleet.PingRedis(ctx, r.address())
	}); err != nil {
		return fmt.Errorf("%s: %w%s", r.Target, err, fleet.Printed(r.lines))
	}
	return nil
}

// Restart ends the server and starts it again, empty, on the same port.
func (r *redisServer) Restart(ctx context.Context) error {
	if err := r.Halt(ctx, syscall.SIGTERM, redisStopWithin); err != nil {
		return err
	}
	return r.start(ctx)
}

func (r *redisServer) stop(ctx context.Context) error { return r.Drop(ctx, syscall.SIGTERM) }
