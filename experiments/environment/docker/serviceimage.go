package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/go-archive"
	"github.com/moby/moby/client"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/gobuild"
	"github.com/seatrial/seatrial/experiments/environment/render"
	"github.com/seatrial/seatrial/experiments/subject"
)

// serviceImage is the service's image: the one that is named, or one that is
// built now, anew when asked.
func (b *Backend) serviceImage(
	ctx context.Context, s *subject.Subject, progress environment.Progress, anew bool,
) (string, error) {
	c := s.Service.Container
	if c.Image != "" {
		return c.Image, b.engine.ensure(ctx, picture{c.Image, "the service", "service.container.image"}, progress)
	}
	build := b.compiledImage
	switch {
	case c.Dockerfile != "":
		build = b.dockerfileImage
	case s.Service.Build == nil:
		return "", errNoImage
	}
	key := imageKey(s)
	if s.Service.Build != nil {
		key += fmt.Sprintf(" %+v", *s.Service.Build)
	}
	b.mu.Lock()
	known := b.images[key]
	b.mu.Unlock()
	if known != "" && !anew {
		return known, nil
	}
	tag, err := build(ctx, s, progress)
	if err != nil {
		return "", err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.images[key] = tag
	return tag, nil
}

// imageKey is what an image of the service is made from, but for what is
// compiled here.
func imageKey(s *subject.Subject) string {
	return fmt.Sprintf("%q %+v", gobuild.Dir(s), s.Service.Container)
}

var errNoImage = errors.New("the service has neither container.image nor container.dockerfile nor build; " +
	"one of them is needed to run it in a container")

// compiledImage compiles the service here, into an image of its own.
func (b *Backend) compiledImage(
	ctx context.Context, s *subject.Subject, progress environment.Progress,
) (string, error) {
	file, err := b.builder.Build(ctx, s, progress, true)
	if err != nil {
		return "", err
	}
	program, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(program)
	tag := serviceTag(s, sum[:])
	found, err := b.engine.has(ctx, tag)
	if found || err != nil {
		return tag, err
	}
	progress.Say("building the image of " + s.Name)
	err = b.engine.build(ctx, tag, "service", entry{"Dockerfile", 0o644, []byte(compiledDockerfile)},
		entry{"service", 0o755, program}, entry{"ca-certificates.crt", 0o644, certificates()})
	if err != nil {
		return "", fmt.Errorf("build the image of %s: %w", s.Name, err)
	}
	return tag, nil
}

const compiledDockerfile = `FROM scratch
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY service /service
USER 65532:65532
ENTRYPOINT ["/service"]
`

func serviceTag(s *subject.Subject, sum []byte) string {
	return "seatrial/service-" + strings.ReplaceAll(s.Name, "__", "_") + ":" + hex.EncodeToString(sum[:6])
}

// dockerfileImage builds the subject's Dockerfile: with BuildKit where docker's
// buildx is there, otherwise with the engine's classic builder. An overlay of
// the build changes files of the context.
func (b *Backend) dockerfileImage(
	ctx context.Context, s *subject.Subject, progress environment.Progress,
) (string, error) {
	c := s.Service.Container
	progress.Say("building " + c.Dockerfile)
	folder := filepath.Join(gobuild.Dir(s), c.Context)
	file, err := filepath.Rel(folder, filepath.Join(gobuild.Dir(s), c.Dockerfile))
	if err != nil || !filepath.IsLocal(file) {
		return "", fmt.Errorf("service.container.dockerfile: %s is not in the build's context %s", c.Dockerfile, folder)
	}
	args, err := arguments(s)
	if err != nil {
		return "", err
	}
	replaced, err := overlaid(s)
	if err != nil {
		return "", err
	}
	archive, err := contextOf(ctx, folder, file, replaced)
	if err != nil {
		return "", fmt.Errorf("build %s: read its context: %w", c.Dockerfile, err)
	}
	tag := serviceTag(s, sumOf(folder, file, c, args, replaced))
	o := client.ImageBuildOptions{
		Tags: []string{tag}, Dockerfile: filepath.ToSlash(file), Target: c.Target, BuildArgs: args,
		Labels: map[string]string{labelImage: "service"},
	}
	if err := b.replace(ctx, archive, o); err != nil {
		return "", fmt.Errorf("build %s: %w", c.Dockerfile, err)
	}
	return tag, nil
}

// replace builds an image and removes the one that had its name before, unless
// that is in use.
func (b *Backend) replace(ctx context.Context, archive io.Reader, o client.ImageBuildOptions) (err error) {
	before, _ := b.engine.client.ImageInspect(ctx, o.Tags[0]) // there may be none yet
	if buildx(ctx) {
		err = b.buildByCommand(ctx, archive, o)
	} else {
		err = b.engine.buildFrom(ctx, archive, o)
	}
	if err != nil || before.ID == "" {
		return err
	}
	now, err := b.engine.client.ImageInspect(ctx, o.Tags[0])
	if err != nil || now.ID == before.ID {
		return err
	}
	return b.engine.removeImage(ctx, before.ID)
}

// sumOf tells builds of a Dockerfile from one another: by what is asked of it,
// and by what an overlay puts into its context.
func sumOf(folder, file string, c subject.Container, args map[string]*string, replaced map[string]string) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q\n", folder, file, c.Target)
	for _, name := range slices.Sorted(maps.Keys(args)) {
		fmt.Fprintf(h, "%q %q\n", name, *args[name])
	}
	for _, name := range slices.Sorted(maps.Keys(replaced)) {
		text, _ := os.ReadFile(replaced[name]) // one that is not there fails the build
		fmt.Fprintf(h, "%q %q\n", name, text)
	}
	return h.Sum(nil)
}

func arguments(s *subject.Subject) (map[string]*string, error) {
	scope := render.Scope{Dir: s.Dir}
	all := map[string]*string{}
	for name, text := range s.Service.Container.Args {
		if text == "" {
			if v, set := os.LookupEnv(name); set {
				all[name] = &v
			}
			continue
		}
		v, err := scope.String(text)
		if err != nil {
			return nil, fmt.Errorf("service.container.args: %s: %w", name, err)
		}
		all[name] = &v
	}
	return all, nil
}

// overlaid is what an overlay of the build replaces: file to the file in its
// place, both absolute.
func overlaid(s *subject.Subject) (map[string]string, error) {
	if s.Service.Build == nil || s.Service.Build.Overlay == "" {
		return nil, nil
	}
	text, err := os.ReadFile(gobuild.Resolve(s.Dir, s.Service.Build.Overlay))
	if err != nil {
		return nil, fmt.Errorf("service.build.overlay: %w", err)
	}
	var overlay struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &overlay); err != nil {
		return nil, fmt.Errorf("service.build.overlay: %w", err)
	}
	all := map[string]string{}
	for file, other := range overlay.Replace {
		if other != "" {
			other = gobuild.Resolve(gobuild.Dir(s), other)
		}
		all[gobuild.Resolve(gobuild.Dir(s), file)] = other
	}
	return all, nil
}

// contextOf is a build's context as an archive: without what its ignore file
// names, and with some files replaced (by an empty name: left out).
func contextOf(ctx context.Context, folder, dockerfile string, replaced map[string]string) (io.Reader, error) {
	ignored, err := ignores(folder, dockerfile)
	if err != nil {
		return nil, err
	}
	whole, err := archive.TarWithOptions(folder, &archive.TarOptions{ExcludePatterns: append(ignored, "!"+dockerfile)})
	if err != nil {
		return nil, err
	}
	defer whole.Close()
	var out bytes.Buffer
	in, w := tar.NewReader(whole), tar.NewWriter(&out)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		file := filepath.Join(folder, h.Name) //nolint:gosec // only looked up, in an archive that we made
		if err := put(w, h, in, file, replaced); err != nil {
			return nil, err
		}
	}
	return &out, w.Close()
}

func put(w *tar.Writer, h *tar.Header, body io.Reader, file string, replaced map[string]string) error {
	if other, ok := replaced[file]; ok {
		if other == "" {
			return nil
		}
		text, err := os.ReadFile(other)
		if err != nil {
			return err
		}
		h.Size, body = int64(len(text)), bytes.NewReader(text)
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := io.Copy(w, body)
	return err
}

// ignores reads the ignore file of a Dockerfile, or else that of its context.
func ignores(folder, dockerfile string) ([]string, error) {
	for _, name := range []string{dockerfile + ".dockerignore", ".dockerignore"} {
		f, err := os.Open(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return ignorefile.ReadAll(f)
	}
	return nil, nil
}

// buildx reports whether the docker command can build with BuildKit.
func buildx(ctx context.Context) bool {
	return exec.CommandContext(ctx, "docker", "buildx", "version").Run() == nil
}

// buildByCommand has the docker command build an image from an archive.
func (b *Backend) buildByCommand(ctx context.Context, archive io.Reader, o client.ImageBuildOptions) error {
	args := []string{"buildx", "build", "--load", "--progress=plain", "-f", o.Dockerfile, "-t", o.Tags[0]}
	if o.Target != "" {
		args = append(args, "--target", o.Target)
	}
	for name, value := range o.BuildArgs {
		args = append(args, "--build-arg", name+"="+*value)
	}
	for name, value := range o.Labels {
		args = append(args, "--label", name+"="+value)
	}
	cmd := exec.CommandContext(ctx, "docker", append(args, "-")...)
	cmd.Stdin = archive
	cmd.Env = append(os.Environ(), "DOCKER_HOST="+b.engine.client.DaemonHost())
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w%s", err, lastLines(string(said)))
	}
	return nil
}
