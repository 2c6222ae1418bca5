package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// answerWithin is how long an engine may take to say that it is there. One that
// runs takes milliseconds; but a socket that systemd holds takes connections before
// the engine behind it has started, which takes seconds where it finds containers of
// before, and several times as long on a machine whose processors are all busy. A
// watcher, which has 30 s for all that a dead trial left, keeps a third of them.
const answerWithin = 20 * time.Second

// errSilent says that an engine takes connections and does not answer, so that what
// it holds is not known.
var errSilent = errors.New("the container engine has not answered")

var quietOnce sync.Once

// connect finds the engine, as testcontainers does: its own file of properties,
// DOCKER_HOST, the usual sockets. Those are looked at once in a process.
func connect(ctx context.Context) (*engine, error) { return connectWithin(ctx, answerWithin) }

func connectWithin(ctx context.Context, within time.Duration) (*engine, error) {
	quietOnce.Do(func() { log.SetDefault(log.NewNoopLogger()) })
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := chooseReaper(bounded); err != nil {
		return nil, err
	}
	c, err := dial(bounded)
	if err != nil {
		return nil, unreachable(err, within)
	}
	pong, err := c.Ping(bounded, client.PingOptions{})
	if err != nil {
		return nil, errors.Join(unreachable(fmt.Errorf("%s %q: %w", tried, c.DaemonHost(), err), within), c.Close())
	}
	return &engine{client: c, inTurn: older(pong.APIVersion, leavesAtOnce)}, nil
}

// tried is how testcontainers begins what it says of each address of an engine that
// it found.
const tried = "check host"

// unreachable says in a sentence why there is no engine to work with, and what to do.
func unreachable(err error, within time.Duration) error {
	const elsewhere = "or set DOCKER_HOST; environment: process needs none"
	said := oneLine(err)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w within %v: it is being started, or hangs, or this machine is busy; try again, and restart "+
			"it when it stays so (systemctl restart docker)", errSilent, within)
	case !strings.Contains(said.Error(), tried):
		return fmt.Errorf("no container engine is here: DOCKER_HOST is not set, and there is no socket of one at the usual "+
			"places (%w); install one (docker.io, docker-ce), %s", said, elsewhere)
	case strings.Contains(said.Error(), "permission denied"):
		return fmt.Errorf("the container engine does not take this user: %w; join its group (usermod -aG docker USER), %s",
			said, elsewhere)
	case client.IsErrConnectionFailed(err):
		return fmt.Errorf("no container engine answers: %w; start one (systemctl start docker, or dockerd), %s", said,
			elsewhere)
	}
	return fmt.Errorf("the container engine cannot be used: %w; look at what it logs (journalctl -u docker), %s", said,
		elsewhere)
}

// Available says why there is no container engine here; nil when there is one.
func Available(ctx context.Context) error {
	e, err := connect(ctx)
	if err != nil {
		return err
	}
	return e.client.Close()
}

// dial connects; testcontainers panics where an engine falls silent meanwhile.
func dial(ctx context.Context) (c *testcontainers.DockerClient, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = p
		default:
			err = fmt.Errorf("%v", p)
		}
	}()
	return testcontainers.NewDockerClientWithOpts(ctx)
}

// older compares versions of the API, such as 1.41.
func older(version, than string) bool {
	number := func(v string) (major, minor int) {
		_, _ = fmt.Sscanf(v, "%d.%d", &major, &minor) // what it does not say is zero
		return major, minor
	}
	major, minor := number(version)
	thanMajor, thanMinor := number(than)
	return version != "" && (major < thanMajor || major == thanMajor && minor < thanMinor)
}

// ryukDisabled turns testcontainers' own reaper off.
const ryukDisabled = "TESTCONTAINERS_RYUK_DISABLED"

var reaperOnce sync.Once

// chooseReaper has Ryuk clean up where its image is there; otherwise the watcher
// does it alone. Testcontainers reads this once, when it is first used.
func chooseReaper(ctx context.Context) (err error) {
	reaperOnce.Do(func() {
		if _, set := os.LookupEnv(ryukDisabled); set || hasRyuk(ctx) {
			return
		}
		err = os.Setenv(ryukDisabled, "true")
	})
	return err
}

func hasRyuk(ctx context.Context) bool {
	c, err := client.New(client.FromEnv)
	if err != nil {
		return false
	}
	defer c.Close()
	//nolint:staticcheck // its new place is internal to testcontainers
	_, err = c.ImageInspect(ctx, testcontainers.ReaperDefaultImage)
	return err == nil
}
