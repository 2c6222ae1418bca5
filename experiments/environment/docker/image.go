package docker

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/client"
	"github.com/moby/moby/client/pkg/jsonmessage"
	"github.com/testcontainers/testcontainers-go"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/subject"
)

// picture is an image that a trial needs, and how another one is named.
type picture struct {
	name, what, variable string
}

// The images of dependencies, unless the subject or the environment names
// others.
const (
	postgresImage  = "postgres:17-alpine"
	redisImage     = "redis:7-alpine"
	postgresNaming = "SEATRIAL_POSTGRES_IMAGE"
	redisNaming    = "SEATRIAL_REDIS_IMAGE"
	agentNaming    = "SEATRIAL_AGENT_IMAGE"
)

// pictureOf is the image of a dependency; false when it has none.
func pictureOf(d subject.Dependency) (picture, bool) {
	switch d.Kind {
	case subject.Postgres:
		name := cmp.Or(d.Image, os.Getenv(postgresNaming), postgresImage)
		return picture{name, "for " + d.Name, postgresNaming + ", or dependencies." + d.Name + ".image"}, true
	case subject.Redis:
		name := cmp.Or(d.Image, os.Getenv(redisNaming), redisImage)
		return picture{name, "for " + d.Name, redisNaming + ", or dependencies." + d.Name + ".image"}, true
	}
	return picture{d.Image, "for " + d.Name, "dependencies." + d.Name + ".image"}, d.Image != ""
}

// Images are the images that the subject's dependencies run from, by name; one
// that the agent hosts has none.
func Images(s *subject.Subject) map[string]string {
	all := map[string]string{}
	for _, d := range s.Dependencies {
		if p, ok := pictureOf(d); ok {
			all[d.Name] = p.name
		}
	}
	return all
}

// ensure pulls an image when it is missing.
func (g *engine) ensure(ctx context.Context, p picture, progress environment.Progress) error {
	found, err := g.has(ctx, p.name)
	if found || err != nil {
		return err
	}
	progress.Say("pulling " + p.name)
	if err := g.pull(ctx, p.name); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("image %s (%s) is not here, and it cannot be pulled: %w; "+
			"bring it here (docker load, or build it), or name one that is here with %s",
			p.name, p.what, oneLine(err), p.variable)
	}
	return nil
}

func (g *engine) has(ctx context.Context, name string) (bool, error) {
	_, err := g.client.ImageInspect(ctx, name)
	switch {
	case err == nil:
		return true, nil
	case errdefs.IsNotFound(err):
		return false, nil
	}
	return false, fmt.Errorf("look for image %s: %w", name, err)
}

// volumesOf are the folders for which an image declares volumes, in order.
func (g *engine) volumesOf(ctx context.Context, image string) ([]string, error) {
	seen, err := g.client.ImageInspect(ctx, image)
	if err != nil {
		return nil, fmt.Errorf("look at image %s: %w", image, err)
	}
	if seen.Config == nil {
		return nil, nil
	}
	var folders []string
	for folder := range seen.Config.Volumes {
		folders = append(folders, path.Clean("/"+folder))
	}
	slices.Sort(folders)
	return slices.Compact(folders), nil
}

func (g *engine) pull(ctx context.Context, name string) error {
	var o client.ImagePullOptions
	if _, auth, err := testcontainers.DockerImageAuth(ctx, name); err == nil {
		if o.RegistryAuth, err = authconfig.Encode(auth); err != nil {
			return err
		}
	}
	stream, err := g.client.ImagePull(ctx, name, o)
	if err != nil {
		return err
	}
	return stream.Wait(ctx)
}

func oneLine(err error) error {
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

// entry is one file of a build's context.
type entry struct {
	name string
	mode int64
	body []byte
}

// build builds a small image from files and tags it.
func (g *engine) build(ctx context.Context, tag, purpose string, files ...entry) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.body))}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(f.body); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return g.buildFrom(ctx, &archive, client.ImageBuildOptions{
		Tags: []string{tag}, Dockerfile: "Dockerfile", Labels: map[string]string{labelImage: purpose},
	})
}

// buildFrom has the engine build an image; its error is what the build said
// last.
func (g *engine) buildFrom(ctx context.Context, archive io.Reader, o client.ImageBuildOptions) error {
	o.Remove, o.ForceRemove = true, true
	answer, err := g.client.ImageBuild(ctx, archive, o)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var said bytes.Buffer
	if err := jsonmessage.DisplayStream(answer.Body, &said); err != nil {
		return fmt.Errorf("%w%s", oneLine(err), lastLines(said.String()))
	}
	return nil
}

// lastLines is what a build said last, as the end of a sentence.
func lastLines(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--->") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return "; it said last: " + strings.Join(lines[max(0, len(lines)-4):], " | ")
}
