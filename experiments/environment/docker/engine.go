package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

// engine is the container engine that the trial runs on.
type engine struct {
	client *testcontainers.DockerClient
	inTurn bool // containers have to leave a network one after the other
}

// leavesAtOnce is the first version of the API whose engines bear that several
// containers leave a network at the same time: 23.0, and 20.10 in its last
// version, which tells the same as those before it. Others stand still for good
// then, now and then (moby 42545).
const leavesAtOnce = "1.42"

// answerWithin is how long an engine may take to say that it is there.
const answerWithin = 5 * time.Second

var quietOnce sync.Once

// connect finds the engine, as testcontainers does: DOCKER_HOST, the context of
// the docker command, the usual sockets.
func connect(ctx context.Context) (*engine, error) {
	quietOnce.Do(func() { log.SetDefault(log.NewNoopLogger()) })
	bounded, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := chooseReaper(bounded); err != nil {
		return nil, err
	}
	c, err := dial(bounded)
	var pong client.PingResult
	if err == nil {
		pong, err = c.Ping(bounded, client.PingOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("no container engine answers: %w; start one (systemctl start docker, or dockerd), "+
			"or set DOCKER_HOST; environment: process needs none", err)
	}
	return &engine{client: c, inTurn: older(pong.APIVersion, leavesAtOnce)}, nil
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

// Available says why there is no container engine here; nil when there is one.
func Available(ctx context.Context) error {
	e, err := connect(ctx)
	if err != nil {
		return err
	}
	return e.client.Close()
}

// dial connects; testcontainers panics where it finds no engine at all.
func dial(ctx context.Context) (c *testcontainers.DockerClient, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	return testcontainers.NewDockerClientWithOpts(ctx)
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

// gone reports whether an error says that what was asked for is not there, or
// does not run, any more.
func gone(err error) bool {
	return errdefs.IsNotFound(err) || errdefs.IsConflict(err) || errdefs.IsNotModified(err)
}

// label names what a trial's containers, networks and images carry.
const (
	labelScratch = "seatrial.scratch" // the scratch folder of the seatrial that made it
	labelTrial   = "seatrial.trial"
	labelRun     = "seatrial.run"
	labelImage   = "seatrial.image" // what an image that seatrial built is for
)

// labelled selects what carries a label, with a value when that is not empty.
func labelled(name, value string) client.Filters {
	if value != "" {
		name += "=" + value
	}
	return make(client.Filters).Add("label", name)
}

// clear removes all containers and networks that carry a scratch folder's mark.
func (g *engine) clear(ctx context.Context, scratch string) error {
	marked := labelled(labelScratch, scratch)
	found, err := g.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: marked})
	if err != nil {
		return fmt.Errorf("list the trial's containers: %w", err)
	}
	var errs []error
	for _, c := range found.Items {
		errs = append(errs, g.remove(ctx, c.ID))
	}
	networks, err := g.client.NetworkList(ctx, client.NetworkListOptions{Filters: marked})
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("list the trial's networks: %w", err))...)
	}
	for _, n := range networks.Items {
		errs = append(errs, g.removeNetwork(ctx, n.ID))
	}
	return errors.Join(errs...)
}

func (g *engine) remove(ctx context.Context, id string) error {
	_, err := g.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	if err != nil && !gone(err) {
		return fmt.Errorf("remove container %.12s: %w", id, err)
	}
	return nil
}

func (g *engine) removeNetwork(ctx context.Context, id string) error {
	if _, err := g.client.NetworkRemove(ctx, id, client.NetworkRemoveOptions{}); err != nil && !gone(err) {
		return fmt.Errorf("remove network %.12s: %w", id, err)
	}
	return nil
}
