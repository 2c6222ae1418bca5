package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"

	"github.com/seatrial/seatrial/experiments/environment/spawn"
)

// shelf is where rendered files are put in a container.
const shelf = "/run/seatrial"

// order is what a container is made from.
type order struct {
	image      string
	network    string            // another one than the trial's: none, container:ID
	aliases    []string          // names in the trial's network
	env        map[string]string // beside the image's own
	entrypoint []string          // nil: the image's
	cmd        []string          // nil: the image's
	publish    map[int]int       // its port to one of 127.0.0.1
	files      map[string]string // below shelf, name to content; nil: without a shelf
	replaces   map[string][]byte // files of the image, path to content
	stdin      bool
	cpus       float64 // 0: no bound
	memory     int64   // in bytes; 0: no bound
	readOnly   bool
	noCaps     bool
	netAdmin   bool // a superuser that may change its network, and nothing else
}

// String tells orders apart that differ in anything.
func (o order) String() string {
	type bare order // without this method
	return fmt.Sprintf("%#v", bare(o))
}

// box is one container, which may be started again and again.
type box struct {
	owner  *Environment
	engine *engine
	id     string
	lines  *spawn.Lines
	stdin  bool
	cpus   float64 // granted by the order, as is memory; 0: no bound
	memory int64
}

// maker makes a container that has not been started: testcontainers.Run, or
// that of one of its modules.
type maker func(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (string, error)

func plain(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (string, error) {
	c, err := testcontainers.Run(ctx, image, opts...)
	if c == nil {
		return "", err
	}
	return c.GetContainerID(), err
}

// make makes a container from an order.
func (e *Environment) make(ctx context.Context, m maker, o order, lines *spawn.Lines) (*box, error) {
	declared, err := e.engine.volumesOf(ctx, o.image)
	if err != nil {
		return nil, err
	}
	id, err := m(ctx, o.image, e.customize(o, declared)...)
	if err != nil {
		err = fmt.Errorf("make a container from %s: %w", o.image, err)
	}
	if id == "" {
		return nil, err
	}
	b := &box{
		owner: e, engine: e.engine, id: id, lines: lines, stdin: o.stdin, cpus: o.cpus, memory: o.memory,
	}
	if err != nil {
		_ = b.remove(context.WithoutCancel(ctx)) // the first error counts
		return nil, err
	}
	return b, nil
}

// customize is an order in testcontainers' words; declared are the volumes that its
// image asks for.
func (e *Environment) customize(o order, declared []string) []testcontainers.ContainerCustomizer {
	var host *container.HostConfig
	// Testcontainers publishes what the image exposes where nothing is published.
	publish := func(context.Context, testcontainers.ContainerRequest) error {
		host.PortBindings = o.bindings()
		return nil
	}
	opts := []testcontainers.ContainerCustomizer{
		testcontainers.WithNoStart(),
		testcontainers.WithLabels(e.labels()),
		testcontainers.WithEnv(o.env),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) {
			host = h
			o.host(h)
			mark(h, declared, e.labels())
		}),
		testcontainers.WithAdditionalLifecycleHooks(testcontainers.ContainerLifecycleHooks{
			PreCreates: []testcontainers.ContainerRequestHook{publish}, // after its own
		}),
		testcontainers.WithConfigModifier(func(c *container.Config) {
			if o.stdin {
				c.OpenStdin, c.StdinOnce, c.AttachStdin = true, true, true
			}
			if o.netAdmin {
				c.User = "0:0"
			}
		}),
	}
	if o.network == "" {
		opts = append(opts, tcnetwork.WithNetworkName(o.aliases, e.network))
	}
	var ports []string
	for _, port := range slices.Sorted(maps.Keys(o.publish)) {
		ports = append(ports, strconv.Itoa(port)+"/tcp")
	}
	opts = append(opts, testcontainers.WithExposedPorts(ports...))
	if o.entrypoint != nil {
		opts = append(opts, testcontainers.WithEntrypoint(o.entrypoint...))
	}
	if o.cmd != nil {
		opts = append(opts, testcontainers.WithCmd(o.cmd...))
	}
	for _, name := range slices.Sorted(maps.Keys(o.files)) {
		opts = append(opts, testcontainers.WithFiles(testcontainers.ContainerFile{
			Reader: strings.NewReader(o.files[name]), ContainerFilePath: shelf + "/" + name, FileMode: 0o444,
		}))
	}
	for path, content := range o.replaces {
		opts = append(opts, testcontainers.WithFiles(testcontainers.ContainerFile{
			Reader: bytes.NewReader(content), ContainerFilePath: path, FileMode: 0o444,
		}))
	}
	return opts
}

// askNobody keeps the engine from asking the machine's own name servers for names
// without a dot, as all in the trial's network are: the name of a container that
// does not run is then unknown at once, and not when nobody has answered.
const askNobody = "ndots:1"

// bindings are what is published, on loopback alone.
func (o order) bindings() network.PortMap {
	all := network.PortMap{}
	for inside, outside := range o.publish {
		port := network.MustParsePort(strconv.Itoa(inside) + "/tcp")
		all[port] = []network.PortBinding{{
			HostIP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), HostPort: strconv.Itoa(outside),
		}}
	}
	return all
}

// host fills in what concerns the engine's side. It keeps no copy of what the
// container prints.
func (o order) host(h *container.HostConfig) {
	h.LogConfig = container.LogConfig{Type: "none"}
	h.DNSOptions = []string{askNobody}
	h.NanoCPUs, h.Memory = int64(o.cpus*1e9), o.memory
	if o.memory > 0 {
		h.MemorySwap = o.memory // none beside it
	}
	h.ReadonlyRootfs = o.readOnly
	if o.readOnly {
		h.Tmpfs = map[string]string{"/tmp": "mode=1777"}
	}
	if o.network != "" {
		h.NetworkMode = container.NetworkMode(o.network)
	}
	if o.netAdmin {
		h.CapAdd = []string{"NET_ADMIN"}
	}
	if o.noCaps {
		h.CapDrop, h.SecurityOpt = []string{"ALL"}, []string{"no-new-privileges"}
	}
	switch {
	case len(o.files) > 0:
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeVolume, Target: shelf})
	case o.files != nil:
		h.Mounts = append(h.Mounts, mount.Mount{
			Type: mount.TypeTmpfs, Target: shelf, TmpfsOptions: &mount.TmpfsOptions{Mode: 0o1777},
		})
	}
}

// mark has the container's volumes carry labels, those too that its image declares
// and that the engine would make without any: they have no names, and where the
// engine died between their container's end and theirs nothing else tells whose they
// are. They go with the container all the same.
func mark(h *container.HostConfig, declared []string, labels map[string]string) {
	testcontainers.AddGenericLabels(labels)
	taken := map[string]bool{}
	for target := range h.Tmpfs {
		taken[path.Clean(target)] = true
	}
	for i := range h.Mounts {
		m := &h.Mounts[i]
		taken[path.Clean(m.Target)] = true
		if m.Type == mount.TypeVolume {
			m.VolumeOptions = &mount.VolumeOptions{Labels: labels}
		}
	}
	for _, target := range declared {
		if taken[target] {
			continue
		}
		h.Mounts = append(h.Mounts, mount.Mount{
			Type: mount.TypeVolume, Target: target, VolumeOptions: &mount.VolumeOptions{Labels: labels},
		})
	}
}

// start starts the container; exited, which may be nil, hears how that run
// ended. What it prints goes to its lines, or on standard output to stdout when
// that is not nil.
func (b *box) start(ctx context.Context, exited func(spawn.Exit), stdout io.Writer) (*run, error) {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stream, err := b.engine.client.ContainerAttach(life, b.id, client.ContainerAttachOptions{
		Stream: true, Stdin: b.stdin, Stdout: true, Stderr: true,
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("attach to container %.12s: %w", b.id, err)
	}
	waited := b.engine.client.ContainerWait(life, b.id, client.ContainerWaitOptions{
		Condition: container.WaitConditionNextExit,
	})
	r := &run{box: b, stream: stream, cancel: cancel, exited: exited, done: make(chan struct{})}
	if _, err := b.engine.client.ContainerStart(ctx, b.id, client.ContainerStartOptions{}); err != nil {
		cancel()
		stream.Close()
		return nil, fmt.Errorf("start container %.12s: %w", b.id, err)
	}
	seen, err := b.engine.client.ContainerInspect(ctx, b.id, client.ContainerInspectOptions{})
	if err == nil && seen.Container.State != nil {
		r.pid = seen.Container.State.Pid
	}
	go r.follow(waited, stdout)
	if err != nil {
		return nil, fmt.Errorf("look at container %.12s: %w", b.id, err)
	}
	return r, nil
}

// remove removes the container, running or not.
func (b *box) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	return b.engine.remove(ctx, b.id)
}

const removeWithin = 20 * time.Second
