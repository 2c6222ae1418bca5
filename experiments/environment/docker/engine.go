package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
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

// gone reports whether an error says that what was asked for is not there, or
// does not run, any more.
func gone(err error) bool {
	return errdefs.IsNotFound(err) || errdefs.IsConflict(err) || errdefs.IsNotModified(err)
}

// label names what a trial's containers, volumes, networks and images carry.
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

// clear removes all containers, volumes and networks that carry a scratch folder's
// mark. Volumes go with their containers, unless the engine died in between.
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
	volumes, err := g.client.VolumeList(ctx, client.VolumeListOptions{Filters: marked})
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("list the trial's volumes: %w", err))...)
	}
	for _, v := range volumes.Items {
		errs = append(errs, g.removeVolume(ctx, v.Name))
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

func (g *engine) removeVolume(ctx context.Context, name string) error {
	if _, err := g.client.VolumeRemove(ctx, name, client.VolumeRemoveOptions{}); err != nil && !gone(err) {
		return fmt.Errorf("remove volume %.12s: %w", name, err)
	}
	return nil
}

func (g *engine) removeNetwork(ctx context.Context, id string) error {
	if _, err := g.client.NetworkRemove(ctx, id, client.NetworkRemoveOptions{}); err != nil && !gone(err) {
		return fmt.Errorf("remove network %.12s: %w", id, err)
	}
	return nil
}
