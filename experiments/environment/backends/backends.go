// Package backends chooses where a trial runs.
package backends

import (
	"fmt"
	"strings"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/docker"
	"github.com/seatrial/seatrial/experiments/environment/process"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Names are those of all backends; the first is the default.
func Names() []string { return subject.Environments() }

// New returns the backend of a name; an empty one stands for the default.
// Allowed are the hosts of dependencies that may be used although they are not on
// this machine.
func New(name string, allowed []string) (environment.Backend, error) {
	switch name {
	case "", "process":
		return &process.Backend{AllowTargets: allowed}, nil
	case "docker":
		return &docker.Backend{AllowTargets: allowed}, nil
	}
	return nil, fmt.Errorf("no environment is called %q; there are %s", name, strings.Join(Names(), ", "))
}
