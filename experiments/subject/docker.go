package subject

import (
	"cmp"
	"maps"
)

// Images changes which images the docker environment is made of, where the
// defaults are not wanted. The environment variables SEATRIAL_AGENT_IMAGE,
// SEATRIAL_TOXIPROXY_IMAGE, SEATRIAL_POSTGRES_IMAGE and SEATRIAL_REDIS_IMAGE
// change the defaults of all subjects.
type Images struct {
	// Agent is seatrial's agent. Default: this very seatrial, in an image of its
	// own that is built when it is missing.
	Agent string `yaml:"agent" json:"agent,omitempty"`
	// Toxiproxy is an image of Toxiproxy's own server, such as
	// ghcr.io/shopify/toxiproxy:2.12.0, to stand before the dependencies in place
	// of the agent. There are then no stubs, no wire tap and no toxics of ours,
	// and calls, statements and connections are not recorded: http dependencies
	// are refused, and experiments that need any of it are not applicable.
	// Default: the agent.
	Toxiproxy string `yaml:"toxiproxy" json:"toxiproxy,omitempty"`
}

// ToxiproxyNaming is the environment variable that names an image of Toxiproxy
// for all subjects that name none.
const ToxiproxyNaming = "SEATRIAL_TOXIPROXY_IMAGE"

// StubNeedsAgent says why there is no http dependency without the agent.
const StubNeedsAgent = "an http dependency is a stub that seatrial's agent hosts, and images.toxiproxy leaves the " +
	"agent out; leave images.toxiproxy out, or make it kind: tcp with an image"

// Agentless reports whether Toxiproxy's own server stands before the
// dependencies in place of the agent.
func (s *Subject) Agentless() bool { return s.Environment == "docker" && s.Images.Toxiproxy != "" }

// Container is how the service becomes a container, for environment: docker.
// Without Image and Dockerfile, Build is compiled here, statically, into an
// image of nothing but the program and the certificates of this machine.
type Container struct {
	// Image is there already, or can be pulled.
	Image string `yaml:"image" json:"image,omitempty"`
	// Dockerfile has the image built, relative to the service's folder.
	Dockerfile string `yaml:"dockerfile" json:"dockerfile,omitempty"`
	// Context is the folder of the build, relative to the service's. Default:
	// the service's folder itself.
	Context string `yaml:"context" json:"context,omitempty"`
	// Target is the stage to build. Default: the last one.
	Target string `yaml:"target" json:"target,omitempty"`
	// Args are arguments of the build; ${env.NAME} may be used. An empty one is
	// the environment variable of its name, where that is set.
	Args map[string]string `yaml:"args" json:"args,omitempty"`
	// CPUs bounds the processors of each replica (0.5: half of one). Zero, the
	// default: no bound.
	CPUs float64 `yaml:"cpus" json:"cpus,omitempty"`
	// MemoryBytes bounds the memory of each replica, in bytes. Zero, the
	// default: no bound.
	MemoryBytes int64 `yaml:"memory_bytes" json:"memory_bytes,omitempty"`
	// ReadOnly gives it a root that cannot be written, and a /tmp that can.
	// Default false.
	ReadOnly bool `yaml:"read_only" json:"read_only,omitempty"`
	// DropCapabilities takes all capabilities, and the way to new ones. Default
	// false.
	DropCapabilities bool `yaml:"drop_capabilities" json:"drop_capabilities,omitempty"`
}

// over is the container of a version that differs by c from another one.
func (c Container) over(o Container) Container {
	args := maps.Clone(o.Args)
	if args == nil {
		args = map[string]string{}
	}
	maps.Copy(args, c.Args)
	if c.Image == "" && c.Dockerfile == "" {
		c.Image, c.Dockerfile = o.Image, o.Dockerfile
	}
	return Container{
		Image: c.Image, Dockerfile: c.Dockerfile, Args: args,
		Context: cmp.Or(c.Context, o.Context), Target: cmp.Or(c.Target, o.Target),
		CPUs: cmp.Or(c.CPUs, o.CPUs), MemoryBytes: cmp.Or(c.MemoryBytes, o.MemoryBytes),
		ReadOnly: c.ReadOnly || o.ReadOnly, DropCapabilities: c.DropCapabilities || o.DropCapabilities,
	}
}
