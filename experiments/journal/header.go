package journal

import "time"

// Format is the version of the journal's form on disk.
const Format = 1

// Header holds what is known of a run before it starts, as far as a detector
// may need it.
type Header struct {
	Format     int       `json:"format"`
	Trial      string    `json:"trial"`      // the trial's id
	Run        string    `json:"run"`        // the run's id, also the prefix of its request ids
	Experiment string    `json:"experiment"` // "http-slow/payments"
	Attempt    int       `json:"attempt"`    // from 1
	Seed       uint64    `json:"seed"`
	Started    time.Time `json:"started"` // wall clock at instant 0
	Service    string    `json:"service"`
	Version    string    `json:"version"` // of seatrial
	// Environment names the backend: process, docker, fake.
	Environment string `json:"environment"`
	// Target is the dependency or replica the experiment was instantiated for.
	Target       string           `json:"target,omitempty"`
	Replicas     []string         `json:"replicas"`
	Dependencies []DependencyInfo `json:"dependencies"`
	Routes       []Route          `json:"routes"`
	// Endpoints are the endpoints that the subject names of the service:
	// [Readiness], [Liveness], [Startup]. Nil: not recorded.
	Endpoints []string `json:"endpoints,omitzero"`
	Promises  Promises `json:"promises"`
	// Defaults names the promises that the owner did not state.
	Defaults []string `json:"defaults,omitempty"`
	// Method is what was planned; [Journal.Steps] is what was carried out.
	Method []PlannedStep `json:"method"`
	// LoadFrom is when the experiment's ordinary load was planned to start and
	// LoadFor how long it was to last; Rate is in hits a second.
	LoadFrom Instant       `json:"load_from"`
	LoadFor  time.Duration `json:"load_for"`
	Rate     float64       `json:"rate"`
	// TraceFormat is that of the headers in which requests begin a trace. Empty:
	// TraceW3C.
	TraceFormat TraceFormat `json:"trace_format,omitempty"`
	// Balancer is the balancer's mode: tcp or http.
	Balancer string `json:"balancer,omitempty"`
}

// DependencyInfo is one dependency of the subject.
type DependencyInfo struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // postgres, redis, http, tcp
	Soft bool   `json:"soft,omitempty"`
	// RequestID is the header of its calls in which the service passes the id of
	// a request on, where that is not [RequestIDHeader].
	RequestID string `json:"request_id,omitempty"`
}

// Route is one kind of request of the subject's ordinary traffic.
type Route struct {
	Name   string  `json:"name"` // as in Request.Route
	Method string  `json:"method"`
	Path   string  `json:"path"`   // the template, not a filled-in path
	Weight float64 `json:"weight"` // share of the traffic, 0 to 1
	// Retryable says that the owner allows this request to be repeated.
	Retryable bool `json:"retryable"`
	// Write says that acknowledged answers are remembered for the ledger.
	Write bool `json:"write"`
	// Uses names the dependencies the owner says this route needs; empty when
	// nothing is said.
	Uses []string `json:"uses,omitempty"`
	// UnreadBody says that the handler does not read the request's body, so
	// that net/http cannot notice a caller who hangs up.
	UnreadBody bool `json:"unread_body,omitempty"`
	// Large says that its answers have 8 MiB or more.
	Large bool `json:"large,omitempty"`
	// Panics says that its handler panics on purpose.
	Panics bool `json:"panics,omitempty"`
}

// PlannedStep is one step of the method, resolved.
type PlannedStep struct {
	Name   string        `json:"name"`
	Action string        `json:"action"`           // the action's kind, such as "latency"
	Class  string        `json:"class"`            // fault, operation or probe
	Detail string        `json:"detail,omitempty"` // the action in one line
	Target string        `json:"target,omitempty"`
	At     Instant       `json:"at"`  // since the run's start
	For    time.Duration `json:"for"` // zero: until the action ends by itself
}
