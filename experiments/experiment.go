// Package experiments holds what an experiment is before and after it is run:
// its file form, the resolved plan, its actions, and the judgement of its
// journals. Nothing in it takes time; package runner does.
package experiments

import (
	"context"
	"net/http"
	"time"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/loadgen"
)

// Experiment is a steady-state hypothesis, load, a method and expectations, as
// one YAML file or a Go value.
type Experiment struct {
	// Version is the file's form: 1.
	Version int `yaml:"version" json:"version"`
	// Name is by what it is called on the command line: small letters, digits
	// and -.
	Name string `yaml:"name" json:"name"`
	// Title is what happens, in one line.
	Title string `yaml:"title" json:"title"`
	// Description says why one would want to know. Optional.
	Description string `yaml:"description" json:"description,omitempty"`
	// Labels are what --label and Ginkgo's filters choose by. Optional.
	Labels []string `yaml:"labels" json:"labels,omitempty"`
	// Processor is low or high (default): experiments that use little of it
	// may run beside each other.
	Processor string `yaml:"processor" json:"processor,omitempty"`
	// Replicas overrides the subject's number. Zero: the subject's.
	Replicas int `yaml:"replicas" json:"replicas,omitempty"`
	// SteadyState must hold before the first fault, and again after the last
	// one has been taken back.
	SteadyState SteadyState `yaml:"steady_state" json:"steady_state,omitempty"`
	// Load goes on through steady state, method and recovery.
	Load Load `yaml:"load" json:"load,omitempty"`
	// Method is what is done, step by step.
	Method []Step `yaml:"method" json:"method"`
	// Guardrails are asked every 2 s while the method goes on. One that is
	// violated ends the run at once, everything is taken back, and the verdict
	// is aborted: {success: {ratio: 0.5, during: all}}. Default none.
	Guardrails []Expectation `yaml:"guardrails" json:"guardrails,omitempty"`
	// Recovery is how long the load goes on after the last step has ended.
	// Default 5s.
	Recovery time.Duration `yaml:"recovery" json:"recovery,omitempty"`
	// Settle is how long is waited after the load, for what is still under way
	// to end and to be counted. Default 1s.
	Settle time.Duration `yaml:"settle" json:"settle,omitempty"`
	// Expect is what is judged. A recovery expectation is added to a method
	// under load that states none: the steady state must come back.
	Expect []Expectation `yaml:"expect" json:"expect"`

	// File is where it was read from.
	File string `yaml:"-" json:"-"`

	expressions map[string]string // on promises, by the path of their key
}

// SteadyState is the steady-state hypothesis.
type SteadyState struct {
	// For is how long the load runs before the first step. Default 3s.
	For time.Duration `yaml:"for" json:"for,omitempty"`
	// Expect is judged on that window by the gate before the first fault.
	// Default: success at the promised ratio.
	Expect []Expectation `yaml:"expect" json:"expect,omitempty"`
}

// Load is the load that runs through steady state, method and recovery.
type Load struct {
	// Rate in hits a second. Zero: the subject's ordinary rate. Negative: no
	// load but the method's own attacks.
	Rate float64 `yaml:"rate" json:"rate,omitempty"`
	// Routes restricts the traffic to these requests. Empty: all.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
	// Uses restricts the traffic to requests that use this dependency (a name
	// or a kind), where the subject says what uses what.
	Uses string `yaml:"uses" json:"uses,omitempty"`
	// Timeout overrides the traffic's own.
	Timeout time.Duration `yaml:"timeout" json:"timeout,omitempty"`
	// Shape is constant (default), ramp, steps or spike.
	Shape string `yaml:"shape" json:"shape,omitempty"`
	// To is the rate at the end of a ramp or of steps, or the height of a spike,
	// in hits a second. Required with these shapes, and with no other.
	To float64 `yaml:"to" json:"to,omitempty"`
	// Steps is how many equal steps "steps" takes from Rate to To. Default 5.
	Steps int `yaml:"steps" json:"steps,omitempty"`
}

// Step is one timed step of the method.
type Step struct {
	// Name defaults to the action's kind.
	Name string
	// At is when it begins, since the end of the steady-state window, or since
	// the end of the step that After names.
	At time.Duration
	// After is the name of an earlier step that must have ended. Empty: none.
	After string
	// For is how long it stays in force; zero for actions that end by
	// themselves, and for faults until the end of the method.
	For time.Duration
	// On names the target: a dependency's name or kind (http, postgres, redis,
	// tcp; of a second kind, the first dependency), "replica" (one, drawn from
	// the seed), "replicas" (each of them, in steps that are called by the name
	// and a number: "attack.1") or a replica's name.
	On string
	// Class is fault, operation or probe; Kind the name it is registered
	// under. In files: `fault: {latency: {latency: 300ms}}`.
	Class, Kind string
	Action      Action
	// Until lists detectors that end a fault, a probe or an attack before its
	// time, when each of them has seen enough: more would not change its answer.
	// They are asked once a second; what they said is recorded, and judging
	// works it out again. Default none.
	Until []Expectation

	expressions map[string]string
}

// Expectation is a detector with its parameters, as an entry of expect. In
// files: `jitter: {}` or `success: {ratio: 0.99, during: fault}`.
type Expectation struct {
	Kind     string
	Detector detect.Detector
	// Only restricts it to a target that is a soft (OnlySoft) or a hard
	// (OnlyHard) dependency; elsewhere it is not applicable. Empty: any. In
	// files: `{success: {}, only: soft}`.
	Only string

	expressions map[string]string
}

// What an expectation's only may say.
const (
	OnlySoft = "soft"
	OnlyHard = "hard"
)

// Action is one shape for fault, operation and probe.
type Action interface {
	// String is the action in one line.
	String() string
	// Supports says why the action cannot be done to the target's kind in the
	// subject; nil when it can.
	Supports(s *subject.Subject, target string) error
	// Start begins the action and returns when it is in force or under way.
	// Stop takes it back (fault) or waits for its end (operation, probe); it is
	// called exactly once, with a context of its own.
	Start(ctx context.Context, x *Execution) (stop func(context.Context) error, err error)
	// Witness says from the journal whether the action was in force and
	// exercised, as faults.Fault does.
	Witness(j journal.Journal, target string, w journal.Window) error
}

// Execution is what an action has to work with while the run goes on.
type Execution struct {
	Environment environment.Environment
	Recorder    journal.Recorder
	Target      string // the resolved target's name; may be empty
	Step        string // the step's name
	Plan        *Plan
	// Load starts attacks beside the experiment's own.
	Load Loader
	// Measured looks up a figure that an earlier step recorded.
	Measured func(name string) (journal.Quantity, bool)
	// Recorded is the journal as far as it has been recorded.
	Recorded func() (journal.Journal, error)
	// Enough is closed when the step's detectors have seen enough; nil when it
	// has none.
	Enough <-chan struct{}
}

// Loader starts attacks on the service for actions.
type Loader interface {
	// Attack runs until its plan or the context ends, and records everything.
	Attack(ctx context.Context, spec AttackSpec) error
	// ClosedLoop keeps a number of connections busy for a while with one kind
	// of request against one base URL, and returns answers a second.
	ClosedLoop(ctx context.Context, spec ClosedLoopSpec) (float64, error)
	// Resubmit sends writes several times under their keys, and records what
	// became of each submission.
	Resubmit(ctx context.Context, spec ResubmitSpec) error
	// PlantSQL sends SQL in every value of the traffic's requests, and records
	// each request.
	PlantSQL(ctx context.Context, spec PlantSQLSpec) error
	// ReadAcross writes at each replica and reads it at every other, and records
	// what became of each read.
	ReadAcross(ctx context.Context, spec ReadAcrossSpec) error
	// Registers writes and reads registers of the traffic, and records each
	// request.
	Registers(ctx context.Context, spec RegistersSpec) error
	// Target is what a hit of an attack would ask for: the named request of the
	// traffic, filled in for the hit's number.
	Target(route, attack string, seq uint64) (loadgen.Target, error)
}

// AttackSpec is an attack that an action wants.
type AttackSpec struct {
	Name   string
	Rate   float64
	For    time.Duration
	Routes []string // empty: all
	Uses   string
	// Count, when set, is the number of hits, sent evenly over For.
	Count int
	// Timeout overrides the traffic's own.
	Timeout time.Duration
	// Retries is how the clients try again. Zero: they do not.
	Retries loadgen.Retries
	// HangUpAfter makes the client close its connection that long after it sent
	// the request. Zero: it waits.
	HangUpAfter time.Duration
	// NewConnections opens a connection for every hit.
	NewConnections bool
	// Header is sent in place of what the traffic's own holds.
	Header http.Header
	// ForwardedFor sends an X-Forwarded-For with each hit, another one each time.
	ForwardedFor bool
	// Strange and BrokenTrace are those of [Attack].
	Strange, BrokenTrace bool
	// Replica sends to one replica directly. Empty: through the balancer.
	Replica string
	// Enough ends the attack when it is closed, as if that had been its plan.
	// Nil: it ends as planned.
	Enough <-chan struct{}
}

// ClosedLoopSpec is a closed loop that an action wants.
type ClosedLoopSpec struct {
	Name        string
	Connections int
	For         time.Duration
	Routes      []string
	Uses        string
	Replica     string
}

// ResubmitSpec is a resubmission that an action wants; its fields are those of
// [Resubmit].
type ResubmitSpec struct {
	Name         string
	Keys, AtOnce int
	For          time.Duration
	Of           string
	Routes       []string // empty: all writes
}

// PlantSQLSpec is a planting that an action wants; its fields are those of
// [PlantSQL].
type PlantSQLSpec struct {
	Name   string
	Uses   string
	Routes []string // empty: all that have a weight
	Pause  time.Duration
}

// RegistersSpec is the use of some registers that an action wants; its fields
// are those of [Registers].
type RegistersSpec struct {
	Name          string
	Keys, Callers int
	Pause, For    time.Duration
}

// ReadAcrossSpec is a series of reads at other replicas than the writers'.
type ReadAcrossSpec struct {
	Name   string
	Writes int
	For    time.Duration
}
