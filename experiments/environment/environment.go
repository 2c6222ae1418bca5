// Package environment says what a trial runs in: the service's replicas, its
// dependencies, each behind a proxy, and a balancer. Its subpackages are the
// backends and what they share.
package environment

import (
	"context"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Backend starts environments of one sort: child processes, containers.
type Backend interface {
	// Name is what files and reports call it: "process", "docker".
	Name() string
	// Prepare does once what all environments of a subject share: it checks the
	// subject against this backend, builds the service, finds or fetches server
	// binaries. It is safe to call again.
	Prepare(context.Context, *subject.Subject, Progress) error
	// Start brings a fresh environment up: dependencies, agent, migrations,
	// replicas, balancer; it returns when every replica is ready. On error
	// nothing is left behind. What happens in it is recorded until Stop.
	Start(context.Context, *subject.Subject, journal.Recorder, Options) (Environment, error)
	// Close takes back what Prepare left behind (not caches).
	Close() error
}

// Choosy is a backend that cannot put every fault in force on every machine.
type Choosy interface {
	// Refuses says, in an error that wraps [faults.ErrNotHere], why it cannot do
	// so on this one; nil when it can. The subject has been prepared.
	Refuses(context.Context, *subject.Subject, faults.Fault) error
}

// Progress is told, in a few words, what is being done. It may be nil.
type Progress func(what string)

// Say calls p when there is one.
func (p Progress) Say(what string) {
	if p != nil {
		p(what)
	}
}

// Options are what one environment differs by from another of its subject.
type Options struct {
	// Trial is the trial's id; it marks everything that must not outlive it.
	Trial string
	// Run is the run's id; names that faults leave in a database carry it.
	Run string
	// Next has the service's next version built, too, so that replicas can run
	// it.
	Next bool
	// Seed feeds all random draws of the stubs.
	Seed uint64
	// Progress hears of slow parts. It may be nil.
	Progress Progress
}

// Environment is a service on trial with all that it depends on, up and ready.
type Environment interface {
	// Target returns a dependency or a replica by name.
	Target(name string) (faults.Target, error)
	// Targets are all dependencies in the subject's order, then all replicas.
	Targets() []faults.Target
	// Endpoint is the base URL of a port of the service, through the balancer.
	Endpoint(port string) string
	// Replicas are the replicas that there are now, also stopped ones.
	Replicas() []Replica
	// Scale starts or stops replicas until there are n; new ones are ready when
	// it returns.
	Scale(ctx context.Context, n int) error
	// Flush has everything that the agent still holds recorded: calls under
	// way, tallies.
	Flush(context.Context) error
	// Stop takes everything down, gently first, and returns all errors joined.
	// It is safe to call twice.
	Stop(context.Context) error
}

// Migrator is an environment that can run the commands that bring the schema to
// the service's next version.
type Migrator interface {
	// Migrate runs them once, in order; several calls may run at the same time.
	Migrate(context.Context) error
}

// Contained is an environment whose service runs in containers.
type Contained interface {
	// Image reads the service's image, its layers included.
	Image(context.Context) (journal.Image, error)
	// Confine starts one more replica that gets no traffic, with a root that
	// cannot be written, without capabilities and without a way to new ones, and
	// stops it when it is ready. That it does not become ready is no error.
	Confine(context.Context) (journal.Confined, error)
	// Trust starts one more replica that gets no traffic, whose http dependencies
	// are stubs that speak TLS by certificates of an authority of their own: one
	// that is added to those of the image (known), or one of which nobody has
	// heard. When the replica is ready it is asked, by what is handed in, and
	// stopped. By dependency, it returns what reached the stubs.
	Trust(ctx context.Context, known bool, ask Ask) (map[string]journal.Trust, error)
}

// Ask sends requests to a replica, by the base URL of one of its ports.
type Ask func(ctx context.Context, endpoint func(port string) string)

// Replica is one running copy of the service. It is also a faults.Signalled and
// a faults.Restartable.
type Replica interface {
	faults.Signalled
	faults.Restartable
	// Endpoint is the base URL of one of its ports, not through the balancer:
	// "http://127.0.0.1:20041".
	Endpoint(port string) string
	// PID is its process now; zero when it does not run.
	PID() int
	// Deregister takes it out of the balancer's rotation, as a platform does
	// before it stops a pod; Register puts it back under the rule of readiness.
	Deregister(context.Context) error
	Register(context.Context) error
	// Use says which version of the service runs from its next start on:
	// subject.CurrentVersion or subject.NextVersion.
	Use(version string) error
	// Version is what was last asked for, by default subject.CurrentVersion.
	Version() string
	// Terminate sends the subject's stop signal and waits for the exit; after
	// the grace it kills, and says so in the error.
	Terminate(ctx context.Context, grace time.Duration) error
	// Start starts it again after its end; it returns when it is ready.
	Start(context.Context) error
}
