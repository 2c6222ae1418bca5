package docker

import (
	"bufio"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/subject"
)

// The agent's ports in its container; proxies take others.
const (
	controlPort = 8475
	apiPort     = 8474
)

// agentImage is the image of the agent: the one that is named, or one with this
// very seatrial, built when it is missing.
func (b *Backend) agentImage(ctx context.Context, s *subject.Subject, progress environment.Progress) (string, error) {
	if name := or(s.Images.Agent, os.Getenv(agentNaming)); name != "" {
		return name, b.engine.ensure(ctx, picture{name, "the agent", agentNaming + ", or images.agent"}, progress)
	}
	b.mu.Lock()
	known := b.agent
	b.mu.Unlock()
	if known != "" {
		return known, nil
	}
	program, err := b.agentProgram(ctx, progress)
	if err != nil {
		return "", fmt.Errorf("build the agent: %w", err)
	}
	sum := sha256.Sum256(program)
	tag := "seatrial/agent:" + hex.EncodeToString(sum[:6])
	found, err := b.engine.has(ctx, tag)
	if err != nil {
		return "", err
	}
	if !found {
		progress.Say("building the agent's image (once)")
		err := b.engine.build(ctx, tag, "agent",
			entry{"Dockerfile", 0o644, []byte(agentDockerfile)}, entry{"seatrial", 0o755, program})
		if err != nil {
			return "", fmt.Errorf("build the agent's image: %w", err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.agent = tag
	return tag, nil
}

const agentDockerfile = `FROM scratch
COPY seatrial /seatrial
USER 65532:65532
ENV ` + reexec.Env + "=" + agent.Role + `
ENTRYPOINT ["/seatrial"]
`

// seatrialPackage is what the agent's program is compiled from where this
// program cannot be used itself.
const seatrialPackage = "github.com/seatrial/seatrial/cmd/seatrial"

// agentProgram is a static Linux program that can be the agent: this one, or
// one that is compiled now.
func (b *Backend) agentProgram(ctx context.Context, progress environment.Progress) ([]byte, error) {
	if self, err := os.Executable(); err == nil && runtime.GOOS == "linux" && static(self) {
		return os.ReadFile(self)
	}
	progress.Say("building the agent (once)")
	dir, err := b.host.Folder(ctx, "a")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "seatrial")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", file, seatrialPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOTMPDIR="+dir)
	if said, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w%s; use a seatrial that was built with CGO_ENABLED=0, which can be the agent as it is, "+
			"or name an image with %s", err, lastLines(string(said)), agentNaming)
	}
	return os.ReadFile(file)
}

// static reports whether a program needs no other file to run.
func static(file string) bool {
	f, err := elf.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// launcher starts agents in containers.
type launcher struct {
	environment  *Environment
	image        string
	lines        *spawn.Lines
	publish      map[int]int
	control, api *ports.Lease
}

// agentBox is an agent's container. Its standard input stays open until its end.
type agentBox struct {
	*run
	shake agent.Handshake
	stop  func() bool
}

// Launch implements [agent.Launcher].
func (l *launcher) Launch(ctx context.Context, c agent.Config) (agent.Process, error) {
	var aliases []string
	for _, p := range c.Proxies {
		aliases = append(aliases, p.Name)
	}
	made, err := l.environment.make(ctx, plain, order{
		image: l.image, aliases: aliases, publish: l.publish, stdin: true, noCaps: true,
	}, l.lines)
	if err != nil {
		return nil, err
	}
	said, out := io.Pipe()
	r, err := made.start(ctx, func(spawn.Exit) { _ = out.Close() }, out)
	if err != nil {
		return nil, errors.Join(err, made.remove(context.WithoutCancel(ctx)))
	}
	a := &agentBox{run: r}
	//nolint:contextcheck // it is removed also when the context has ended
	a.stop = context.AfterFunc(ctx, func() { _ = a.Kill() })
	if err := a.greet(c, said); err != nil {
		err = errors.Join(err, a.Kill()) //nolint:contextcheck // it is removed also when the context has ended
		_ = a.Wait()
		return nil, fmt.Errorf("%w (it printed: %q)", err, l.lines.Tail())
	}
	a.shake.ControlURL = reached(a.shake.ControlURL, l.control)
	a.shake.ToxiproxyURL = reached(a.shake.ToxiproxyURL, l.api)
	return a, nil
}

// reached is a URL of the agent's as it is published.
func reached(inside string, l *ports.Lease) string {
	u, err := url.Parse(inside)
	if err != nil {
		return "http://" + l.Address()
	}
	u.Host = l.Address()
	return u.String()
}

// greet hands the configuration over and reads the handshake; nothing that is
// said after it matters.
func (a *agentBox) greet(c agent.Config, said *io.PipeReader) error {
	if err := json.NewEncoder(a.stream.Conn).Encode(c); err != nil {
		return fmt.Errorf("hand the agent its configuration: %w", err)
	}
	in := bufio.NewReader(said)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the agent's handshake: %w", err)
	}
	go func() { _, _ = io.Copy(io.Discard, in) }()
	a.shake, err = agent.DecodeHandshake(line)
	return err
}

// Handshake implements [agent.Process].
func (a *agentBox) Handshake() agent.Handshake { return a.shake }

// Kill implements [agent.Process]: the container is removed with what is in it.
func (a *agentBox) Kill() error { return a.box.remove(context.Background()) }

// Wait implements [agent.Process].
func (a *agentBox) Wait() error {
	<-a.Done()
	a.stop()
	if e := a.Exit(); e.Code != 0 {
		return fmt.Errorf("the agent %s", e)
	}
	return nil
}

var (
	_ agent.Launcher = (*launcher)(nil)
	_ agent.Process  = (*agentBox)(nil)
)
