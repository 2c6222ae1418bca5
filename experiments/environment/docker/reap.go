package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/seatrial/seatrial/experiments/environment/watcher"
)

// cleaner is the name by which the watcher knows us.
const cleaner = "docker"

var _ = watcher.Register(cleaner, watcher.Cleaner{
	Env: []string{
		"DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION", // the client's
		"HOME", "XDG_RUNTIME_DIR", ryukDisabled, // where testcontainers looks
	},
	Find: find,
	Clear: func(ctx context.Context, scratch string) error {
		g, err := connect(ctx)
		if err != nil {
			return err
		}
		defer g.client.Close()
		if scratch == "" { // an image belongs to no trial
			return g.clearImages(ctx)
		}
		return g.clear(ctx, scratch)
	},
})

// find lists what trials have in the engine. Where there is none, or it does not run,
// nothing can be there that runs; of one that is silent that is not known.
func find(ctx context.Context) ([]watcher.Leftover, error) {
	g, err := connect(ctx)
	if errors.Is(err, errSilent) {
		return nil, fmt.Errorf("look for containers: %w", err)
	}
	if err != nil {
		return nil, nil
	}
	defer g.client.Close()
	return g.find(ctx)
}

// find lists all containers and networks of trials, volumes of theirs that have lost
// their containers, and images that no trial will use again.
func (g *engine) find(ctx context.Context) ([]watcher.Leftover, error) {
	found, err := g.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: labelled(labelScratch, "")})
	if err != nil {
		return nil, err
	}
	var all []watcher.Leftover
	for _, c := range found.Items {
		all = append(all, leftover("container "+strings.TrimPrefix(strings.Join(c.Names, " "), "/"), c.Labels))
	}
	networks, err := g.client.NetworkList(ctx, client.NetworkListOptions{Filters: labelled(labelScratch, "")})
	if err != nil {
		return all, err
	}
	for _, n := range networks.Items {
		all = append(all, leftover("network "+n.Name, n.Labels))
	}
	volumes, err := g.client.VolumeList(ctx, client.VolumeListOptions{
		Filters: labelled(labelScratch, "").Add("dangling", "true"),
	})
	if err != nil {
		return all, err
	}
	for _, v := range volumes.Items {
		all = append(all, leftover(fmt.Sprintf("volume %.12s", v.Name), v.Labels))
	}
	images, err := g.staleImages(ctx)
	for _, i := range images {
		all = append(all, watcher.Leftover{Other: "image " + nameOf(i), Nobodys: true})
	}
	return all, err
}

// nameOf is what an image is called, or its id in short where it has no name.
func nameOf(i image.Summary) string {
	if len(i.RepoTags) > 0 {
		return i.RepoTags[0]
	}
	return fmt.Sprintf("%.12s", strings.TrimPrefix(i.ID, "sha256:"))
}

// imagesKeptFor is how long an image that seatrial built is kept for another
// trial, in which it saves a build of some seconds.
const imagesKeptFor = 7 * 24 * time.Hour

// staleImages are images that seatrial built, that no container uses, and that
// have lost their names to others or were built long ago.
func (g *engine) staleImages(ctx context.Context) ([]image.Summary, error) {
	built, err := g.client.ImageList(ctx, client.ImageListOptions{Filters: labelled(labelImage, "")})
	if err != nil {
		return nil, fmt.Errorf("list the images of trials: %w", err)
	}
	containers, err := g.client.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("list the containers that use images: %w", err)
	}
	used := map[string]bool{}
	for _, c := range containers.Items {
		used[c.ImageID] = true
	}
	return slices.DeleteFunc(built.Items, func(i image.Summary) bool { return used[i.ID] || !stale(i, time.Now()) }), nil
}

func stale(i image.Summary, now time.Time) bool {
	nameless := len(i.RepoTags) == 0 || i.RepoTags[0] == "<none>:<none>"
	return nameless || now.Sub(time.Unix(i.Created, 0)) > imagesKeptFor
}

func (g *engine) clearImages(ctx context.Context) error {
	images, err := g.staleImages(ctx)
	errs := []error{err}
	for _, i := range images {
		errs = append(errs, g.removeImage(ctx, i.ID))
	}
	return errors.Join(errs...)
}

// removeImage removes an image with all its names, unless it is in use.
func (g *engine) removeImage(ctx context.Context, id string) error {
	seen, err := g.client.ImageInspect(ctx, id)
	if err != nil && !gone(err) {
		return fmt.Errorf("look at image %s: %w", id, err)
	}
	for _, name := range append(seen.RepoTags, id) {
		_, err := g.client.ImageRemove(ctx, name, client.ImageRemoveOptions{PruneChildren: true})
		if err != nil && !gone(err) {
			return fmt.Errorf("remove image %s: %w", name, err)
		}
	}
	return nil
}

func leftover(what string, labels map[string]string) watcher.Leftover {
	return watcher.Leftover{Other: what, Trial: labels[labelTrial], Scratch: labels[labelScratch]}
}
