// Package faults holds the ways in which Seatrial breaks things: one file per
// fault, with its toxic where it needs one of its own in the agent.
//
// A fault is in force from its injection until it is reverted. Whether it was
// really in force, and whether the service's traffic met it, is said by its
// witness, a pure rule on the journal.
package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Fault is one way to break one target. Its value is its parameters, decoded
// from YAML; it holds no state of an injection.
type Fault interface {
	// String is the fault in one line: "latency 300ms ± 50ms".
	String() string
	// Supports says why the fault cannot break the target; nil when it can.
	Supports(Target) error
	// Inject puts the fault in force. When it returns an error, nothing of the
	// fault is left in force.
	Inject(context.Context, Target) (Injection, error)
	// Witness says, from the journal alone, whether the fault on the named
	// target was in force in the window and exercised by the service: nil,
	// or an error that wraps [ErrNotInForce] or [ErrNotExercised].
	Witness(j journal.Journal, target string, w journal.Window) error
}

// Following is a fault whose strength may follow from what an earlier step of
// the run has measured.
type Following interface {
	Fault
	// Follows names the figure; empty when the fault stands as it is.
	Follows() string
	// Given returns the fault with that figure filled in, and what was made of
	// it, for the journal.
	Given(figure float64) (Fault, journal.Quantity)
}

// Injection is a fault in force.
type Injection interface {
	// Revert takes the fault back and returns when the target is restored. It
	// is safe to call twice.
	Revert(context.Context) error
}

// Reporter is an injection that has something to record when it has been taken
// back, because only the target could see it, such as what a database refused.
type Reporter interface {
	Report(journal.Recorder)
}

// What a witness found missing.
var (
	// ErrNotInForce: nothing but the injector saw the fault. The run is
	// inconclusive.
	ErrNotInForce = errors.New("the fault was not in force")
	// ErrNotExercised: it was in force, but the service's traffic did not meet
	// it. What rests on it is unknown.
	ErrNotExercised = errors.New("the fault was not exercised")
)

// Target is what a fault breaks: a dependency or a replica. What can be done to
// it is told by the capabilities it implements: [Proxied], [Stub], [SQL],
// [Signalled], [Restartable], [Dialled].
type Target interface {
	Name() string
	Kind() string // postgres, redis, http, tcp or replica
}

// Toxic is one toxic of a proxy, as in Toxiproxy.
type Toxic struct {
	Name       string
	Type       string // latency, bandwidth, slow_close, timeout, reset_peer, slicer, limit_data or one of ours
	Stream     string // upstream (service to dependency) or downstream
	Toxicity   float64
	Attributes map[string]any
}

// Proxied is a target behind a proxy.
type Proxied interface {
	Target
	// AddToxic and RemoveToxic change the proxy through Toxiproxy's HTTP API.
	// Removing a toxic that is not there is no error. When the API is wedged,
	// RemoveToxic has the agent replaced, which is recorded in the journal.
	AddToxic(context.Context, Toxic) error
	RemoveToxic(ctx context.Context, name string) error
	// SetEnabled opens or closes the proxy's listener; closing it cuts the
	// connections that it carries.
	SetEnabled(ctx context.Context, enabled bool) error
	// ProxyAddress is where seatrial itself reaches the proxy: what the service
	// connects to, or, in containers, that port as it is published.
	ProxyAddress() string
}

// Stub is a programmable HTTP dependency.
type Stub interface {
	Target
	// SetBehaviour puts a behaviour in force under an id; ClearBehaviour takes
	// it back, and is no error when there is none.
	SetBehaviour(ctx context.Context, id string, b Behaviour) error
	ClearBehaviour(ctx context.Context, id string) error
}

// Behaviour changes what a stub answers. The zero value changes nothing.
type Behaviour struct {
	Fault  string  `json:"fault"`             // the fault's name, recorded with each call it shapes
	Route  string  `json:"route,omitempty"`   // only this route; empty: all
	Ratio  float64 `json:"ratio,omitempty"`   // share of calls, 0 to 1; 0 means all
	FirstN int     `json:"first_n,omitempty"` // only the first N calls; 0 means all
	Seed   uint64  `json:"seed,omitempty"`    // for the draws that Ratio needs
	// Status replaces the answer by an empty one (Content-Length 0) with this
	// status; RetryAfter adds the header, in whole seconds.
	Status     int           `json:"status,omitempty"`
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	// Delay holds the answer back, for at least this long after the request
	// was read.
	Delay time.Duration `json:"delay,omitempty"`
	// Hang reads the request and does not answer; when the behaviour is taken
	// back, it answers with Status, or cuts the connection where that is zero.
	Hang bool `json:"hang,omitempty"`
	// StallAfter sends headers and this many bytes of the body, then one byte
	// each StallEvery (nothing more when that is zero); negative: not at all.
	Stall      bool          `json:"stall,omitempty"`
	StallAfter int           `json:"stall_after,omitempty"`
	StallEvery time.Duration `json:"stall_every,omitempty"`
	// Malformed answers 200 with a body that is not what its content type says.
	Malformed bool `json:"malformed,omitempty"`
	// Reset reads the request and then resets the connection.
	Reset bool `json:"reset,omitempty"`
}

// SQL is a database that can be reached past its proxy.
type SQL interface {
	Target
	// Admin opens a superuser's connection to the service's database that does
	// not pass the proxy. The caller closes it.
	Admin(context.Context) (*pgx.Conn, error)
	// ServiceRole is the role the service connects as.
	ServiceRole() string
	// ServiceDSN is the service's own connection string, past the proxy; for
	// floods that must count against the service's role.
	ServiceDSN() string
}

// Signalled is a target that is a process.
type Signalled interface {
	Target
	// Signal sends a signal to the process, and for SIGSTOP, SIGCONT and
	// SIGKILL to all of its group. It records [journal.Signalled].
	Signal(ctx context.Context, s os.Signal) error
	// WaitExit returns when the process has ended.
	WaitExit(ctx context.Context) error
}

// Restartable is a target that can be started again after its end.
type Restartable interface {
	Target
	// Restart stops what still runs (gently, within the target's grace) and
	// starts it again; it returns when it answers: for a replica, when it is
	// ready.
	Restart(ctx context.Context) error
}

// Dialled is a target whose listening end can be made to accept no new
// connection: its proxy's listener is closed, and in its place stands one with
// a full backlog, so that connects hang.
type Dialled interface {
	Target
	// HoldConnects starts that, ReleaseConnects ends it and restores the proxy.
	HoldConnects(context.Context) error
	ReleaseConnects(context.Context) error
}

// Harmful is a fault that others feel who use the same database server.
type Harmful interface {
	// Harm says how, in a few words.
	Harm() string
}

// Shared is a database that others than the service may use at the same time.
type Shared interface {
	Target
	// Shared reports whether they may.
	Shared() bool
}

// IsShared reports whether others than the service may use a target's database.
func IsShared(t Target) bool {
	s, ok := t.(Shared)
	return ok && s.Shared()
}

// Marker is a target that knows the name by which what a fault opens in it can
// be found again, also after seatrial was killed: "seatrial-" and the run's id.
type Marker interface {
	Target
	Mark() string
}

var kinds = map[string]func() Fault{}

// register names a kind of fault for files. The function returns a pointer to
// a struct that holds the defaults, ready to be decoded into.
func register(name string, f func() Fault) struct{} {
	if _, twice := kinds[name]; twice {
		panic("faults: " + name + " is registered twice")
	}
	kinds[name] = f
	return struct{}{}
}

// New returns a fault of the named kind with its defaults.
func New(name string) (Fault, error) {
	f, ok := kinds[name]
	if !ok {
		return nil, fmt.Errorf("no fault is called %q; there are %v", name, Kinds())
	}
	return f(), nil
}

// Kinds lists the names of all faults, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }
