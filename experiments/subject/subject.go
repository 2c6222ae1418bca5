// Package subject says what is on trial: the service, its dependencies, its
// ordinary traffic and its promises, as one seatrial.yaml.
package subject

import (
	"maps"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/loadgen"
)

// FileVersion is the version of the subject file's form.
const FileVersion = 1

// Environments are the names of the backends that a file may ask for; the first
// is the default.
func Environments() []string { return []string{"process", "docker"} }

// Subject is a service on trial. [Load] reads one; every field then has its
// default.
type Subject struct {
	// Version is the file's form: 1.
	Version int `yaml:"version" json:"version"`
	// Name is the service's: small letters, digits, - and _; its replicas are
	// called NAME-1, NAME-2.
	Name string `yaml:"name" json:"name"`
	// Environment is the backend to use: process (default) or docker.
	Environment string `yaml:"environment" json:"environment,omitempty"`
	// Images are those of the docker environment.
	Images Images `yaml:"images" json:"images,omitempty"`
	// Service is how it is built, configured, started and stopped.
	Service Service `yaml:"service" json:"service"`
	// Dependencies are what it needs, by the names that references and steps use.
	Dependencies Dependencies `yaml:"dependencies" json:"dependencies,omitempty"`
	// Traffic is what callers ordinarily ask of it.
	Traffic loadgen.Traffic `yaml:"traffic" json:"traffic"`
	// Promises are the numbers that its owner commits to. Each has a default.
	Promises journal.Promises `yaml:"promises" json:"promises,omitempty"`
	// Detectors are parameters of detectors, by their kinds: names of metrics and
	// labels where their shape does not tell (metrics_truth: {counter: …}), the
	// size of a bulkhead (containment: {cap: 12}). They hold in every experiment
	// that leaves the same parameter at its default; one that states the default
	// leaves it there, too.
	Detectors Detectors `yaml:"detectors" json:"detectors,omitempty"`
	// Next is the version of the service that is to come, with its migrations:
	// for experiments on a rollout. Optional.
	Next *Next `yaml:"next" json:"next,omitempty"`
	// Experiments are files or folders with experiments of the owner's own,
	// relative to the subject file. Default: "experiments" beside it, if there.
	Experiments []string `yaml:"experiments" json:"experiments,omitempty"`

	// File is the path it was read from and Dir that file's folder, absolute;
	// relative paths in the file start from Dir.
	File string `yaml:"-" json:"-"`
	Dir  string `yaml:"-" json:"-"`
	// Defaults names the promises that the file does not state.
	Defaults []string `yaml:"-" json:"-"`

	secrets map[string]bool // values that must not be written out
}

// Service says how the service is built, configured, started and stopped.
//
// Strings in Args, Command, Env, Files and Before may hold references:
// ${port.NAME}; ${DEP.url}, ${DEP.owner_url}, ${DEP.host}, ${DEP.port},
// ${DEP.user}, ${DEP.password}, ${DEP.database}, ${DEP.address}; ${replica.name},
// ${replica.index}; ${listen} (the address to listen on: 127.0.0.1, in a
// container 0.0.0.0); ${dir} (the service's folder), ${scratch} (a folder of the
// replica's own); ${env.NAME} and ${file.PATH} for secrets of the person who
// runs the trial. "$$" is a dollar sign.
type Service struct {
	// Dir is the service's folder. Default: the subject file's.
	Dir string `yaml:"dir" json:"dir,omitempty"`
	// Build compiles a Go package; its binary is run with Args. Either Build
	// or Command is required.
	Build *Build `yaml:"build" json:"build,omitempty"`
	// Container says how it runs in the docker environment.
	Container Container `yaml:"container" json:"container,omitempty"`
	// Command runs something that is already there.
	Command []string `yaml:"command" json:"command,omitempty"`
	// Args are the arguments of the binary that Build makes.
	Args []string `yaml:"args" json:"args,omitempty"`
	// Env is the environment of every replica, beside PATH, HOME and TMPDIR;
	// nothing else of seatrial's own environment is passed on.
	Env map[string]string `yaml:"env" json:"env,omitempty"`
	// Files are rendered into the replica's scratch folder: name to content.
	Files map[string]string `yaml:"files" json:"files,omitempty"`
	// Before are commands run in order, once, before the first replica.
	Before []Command `yaml:"before" json:"before,omitempty"`
	// Replicas is how many copies run. Default 2.
	Replicas int `yaml:"replicas" json:"replicas,omitempty"`
	// Ports names the ports the service listens on. The value is 0 where the
	// service can be told its port, or a fixed number, for which Replicas must
	// be 1. Default {http: 0}.
	Ports map[string]int `yaml:"ports" json:"ports,omitempty"`
	// StartWithin bounds the time from start to ready. Default 30s.
	StartWithin time.Duration `yaml:"start_within" json:"start_within,omitempty"`
	// Readiness answers 200 to 399 when a replica can take requests; the balancer
	// follows it. Without one a replica is ready when its port accepts connections.
	Readiness Endpoint `yaml:"readiness" json:"readiness,omitempty"`
	// Liveness answers 200 for as long as a replica need not be started again.
	Liveness Endpoint `yaml:"liveness" json:"liveness,omitempty"`
	// Startup is what the platform asks before it asks for liveness, where it
	// is told to (Kubernetes' startupProbe). Optional.
	Startup Endpoint `yaml:"startup" json:"startup,omitempty"`
	// Metrics is in Prometheus' text format.
	Metrics Endpoint `yaml:"metrics" json:"metrics,omitempty"`
	// Stop is how a replica is asked to end.
	Stop Stop `yaml:"stop" json:"stop,omitempty"`
	// Balancer stands before the replicas, like a Kubernetes Service.
	Balancer Balancer `yaml:"balancer" json:"balancer,omitempty"`
}

// Versions of a service that a replica may run.
const (
	CurrentVersion = "current"
	NextVersion    = "next"
)

// Next is what the next version of the service differs by from the present one.
// What is left out is as in service.
type Next struct {
	// Dir is its folder, such as another work tree. Default: the service's.
	Dir string `yaml:"dir" json:"dir,omitempty"`
	// Build compiles its Go package, in place of the service's build or
	// command. Default: the service's.
	Build *Build `yaml:"build" json:"build,omitempty"`
	// Container is what its image differs by, for environment: docker. Its args
	// are added to the service's, and stand over them.
	Container Container `yaml:"container" json:"container,omitzero"`
	// Command runs something that is already there, in place of the service's
	// build or command. Default: the service's.
	Command []string `yaml:"command" json:"command,omitempty"`
	// Args are all arguments of its binary, in place of the service's. Default:
	// the service's.
	Args []string `yaml:"args" json:"args,omitempty"`
	// Env is added to the service's entries, and stands over them.
	Env map[string]string `yaml:"env" json:"env,omitempty"`
	// Migrate are the commands, in order, that bring the schema to the next
	// version; the word "service" stands for that version's binary. They run
	// while the present version serves, and several of them may run at once.
	Migrate []Command `yaml:"migrate" json:"migrate,omitempty"`
	// Fill puts many rows into the tables that are migrated. Optional.
	Fill *Fill `yaml:"fill" json:"fill,omitempty"`
}

// Fill is an SQL statement that makes a table large before a run, on the
// administrative connection.
type Fill struct {
	// Dependency is the name of the postgres dependency that has the table.
	Dependency string `yaml:"dependency" json:"dependency"`
	// SQL holds ${rows}, the number of rows that the experiment asks for, such
	// as in generate_series(1, ${rows}).
	SQL string `yaml:"sql" json:"sql"`
}

// AsNext is the subject as it is when the next version is the service, with the
// migrations as the commands that come before it. It panics without a next
// version.
func (s *Subject) AsNext() *Subject {
	next := *s
	v, n := &next.Service, s.Next
	v.Before = n.Migrate
	if n.Dir != "" {
		v.Dir = n.Dir
	}
	if n.Build != nil {
		v.Build, v.Command = n.Build, nil
	}
	if len(n.Command) > 0 {
		v.Build, v.Command = nil, n.Command
	}
	if len(n.Args) > 0 {
		v.Args = n.Args
	}
	v.Container = n.Container.over(v.Container)
	v.Env = maps.Clone(v.Env)
	if v.Env == nil {
		v.Env = map[string]string{}
	}
	maps.Copy(v.Env, n.Env)
	return &next
}

// Build is how the service's binary is made with the go command.
type Build struct {
	// Package is the main package, relative to the service's folder, such as
	// ./cmd/orders.
	Package string `yaml:"package" json:"package"`
	// Tags are the build tags. Default: none.
	Tags []string `yaml:"tags" json:"tags,omitempty"`
	// Flags are further flags of go build, such as -trimpath. Default: none.
	Flags []string `yaml:"flags" json:"flags,omitempty"`
	// Overlay is a file for go build -overlay, relative to the subject file;
	// mutants use it.
	Overlay string `yaml:"overlay" json:"overlay,omitempty"`
}

// Command is one command to run before the service.
type Command struct {
	// Run is the command line; the word "service" as its first stands for the
	// service's own binary.
	Run []string `yaml:"run" json:"run"`
	// Env is added to the service's entries for this command, and stands over
	// them. Default: none.
	Env map[string]string `yaml:"env" json:"env,omitempty"`
	// Within bounds it. Default 60s.
	Within time.Duration `yaml:"within" json:"within,omitempty"`
}

// Endpoint is an HTTP endpoint of every replica. An empty Path means that the
// service has none.
type Endpoint struct {
	// Port is the name of the port it is at. Default http.
	Port string `yaml:"port" json:"port,omitempty"`
	// Path is its path, such as /readyz. Default: the service has no such
	// endpoint.
	Path string `yaml:"path" json:"path,omitempty"`
}

// Stop is how a replica is asked to end.
type Stop struct {
	// Signal is what asks it. Default SIGTERM.
	Signal string `yaml:"signal" json:"signal,omitempty"`
	// Grace is how long it then has before it is killed. Default 30s.
	Grace time.Duration `yaml:"grace" json:"grace,omitempty"`
}

// Balancer stands before the replicas, like a Kubernetes Service.
type Balancer struct {
	// Mode is tcp (default: connections are balanced) or http (requests, with
	// one counted retry).
	Mode string `yaml:"mode" json:"mode,omitempty"`
	// Period is how often readiness is asked. Default 500ms.
	Period time.Duration `yaml:"period" json:"period,omitempty"`
	// Failures is how many refusals in a row take a replica out. Default 2.
	Failures int `yaml:"failures" json:"failures,omitempty"`
	// Propagation is how long it takes until the balancer acts on a change.
	// Default 0: it does so at once.
	Propagation time.Duration `yaml:"propagation" json:"propagation,omitempty"`
}

// Kinds of dependencies.
const (
	Postgres = "postgres"
	Redis    = "redis"
	HTTP     = "http"
	TCP      = "tcp"
)

// Dependencies keep the order of the file.
type Dependencies []Dependency

// Dependency is one thing the service needs, always behind a proxy. Which
// fields may be set depends on its kind.
type Dependency struct {
	Name string `yaml:"-" json:"-"`
	// Kind is what it is: http is a stub that answers by routes, tcp an address
	// of any protocol.
	Kind string `yaml:"kind" json:"kind"`
	// Soft says that the service promises to go on without it.
	Soft bool `yaml:"soft" json:"soft,omitempty"`

	// Bin is the folder of postgres' server binaries. Default: looked for.
	Bin string `yaml:"bin" json:"bin,omitempty"`
	// Migrations is a folder of .sql files, for postgres, run in the order of their names as
	// the owner before the service's own commands. Optional.
	Migrations string `yaml:"migrations" json:"migrations,omitempty"`
	// Database is postgres' database for the service. Default "app".
	Database string `yaml:"database" json:"database,omitempty"`
	// User is the service's own role in postgres. Default "app_service"; the
	// owner's role is "app_owner". Seatrial makes the passwords.
	User string `yaml:"user" json:"user,omitempty"`
	// Durable turns postgres' fsync and synchronous_commit on. Default false.
	Durable bool `yaml:"durable" json:"durable,omitempty"`
	// Settings are added to postgresql.conf.
	Settings map[string]string `yaml:"settings" json:"settings,omitempty"`
	// Wire is about the wire tap before postgres.
	Wire Wire `yaml:"wire" json:"wire,omitzero"`

	// Routes are the answers of the stub, for http. Default: 200 to anything.
	Routes []Route `yaml:"routes" json:"routes,omitempty"`
	// RequestID is the header in which the service passes the id of the request
	// that it works on to this http dependency. Default: the traffic's own.
	RequestID string `yaml:"request_id" json:"request_id,omitempty"`
	// IdempotencyKey is the header by which this http dependency knows a write
	// again. Default Idempotency-Key.
	IdempotencyKey string `yaml:"idempotency_key" json:"idempotency_key,omitempty"`

	// Address is host:port of what is there already: for tcp, and for a
	// postgres server that runs already, with AdminURL.
	Address string `yaml:"address" json:"address,omitempty"`
	// AdminURL is a superuser's URL of the postgres server at Address, past the
	// proxy; ${env.NAME} and ${file.PATH} keep its password out of the file. Each
	// run makes a database and two roles there, whose names begin with
	// "seatrial_" and the trial's id, and drops them.
	AdminURL string `yaml:"admin_url" json:"admin_url,omitempty"`
	// ServiceURL has the service use a database that is there already, as the
	// role that the URL names; nothing is made or dropped then, owner_url is the
	// administrator's, and nobody else may be connected as that role meanwhile.
	ServiceURL string `yaml:"service_url" json:"service_url,omitempty"`
	// Disruptive allows, on the server at Address, what would hurt its other
	// users: locks, triggers that refuse writes, floods of connections,
	// restarts, the fill of next. Default false.
	Disruptive bool `yaml:"disruptive" json:"disruptive,omitempty"`
	// Restart is the command that restarts the server at Address; without one
	// it cannot be restarted.
	Restart []string `yaml:"restart" json:"restart,omitempty"`

	// Image is what the docker environment runs it from. Default:
	// postgres:17-alpine, redis:7-alpine; for tcp it takes the place of Address.
	Image string `yaml:"image" json:"image,omitempty"`
	// Port is what the image listens on, for tcp. Required with Image.
	Port int `yaml:"port" json:"port,omitempty"`
	// Env is added to the image's environment, for tcp. Default: none.
	Env map[string]string `yaml:"env" json:"env,omitempty"`
	// Run is the image's command, for tcp. Default: the image's own.
	Run []string `yaml:"run" json:"run,omitempty"`
}

// Wire is about the wire tap: a relay that understands postgres' protocol,
// records statements (never their values) and can shape their answers.
type Wire struct {
	// Tap puts it before the server in every experiment. Default false: only in
	// those that need it.
	Tap bool `yaml:"tap" json:"tap,omitempty"`
	// TLS says what a service is told that asks for TLS: refuse (default), as
	// by a server without a certificate, or answer, with one that the tap made.
	TLS string `yaml:"tls" json:"tls,omitempty"`
}

// Values of [Wire].TLS.
const (
	TLSAnswered = "answer"
	TLSRefused  = "refuse"
)

// Route is one answer of a programmable HTTP dependency.
type Route struct {
	// Name is how findings call it. Default "METHOD path".
	Name string `yaml:"name" json:"name,omitempty"`
	// Method is the method it answers. Default any.
	Method string `yaml:"method" json:"method,omitempty"`
	// Path is as in net/http's patterns: /charges/{id}. Default any.
	Path string `yaml:"path" json:"path,omitempty"`
	// Status of the answer. Default 200.
	Status int `yaml:"status" json:"status,omitempty"`
	// Headers of the answer.
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	// Body is a text/template with .Method, .Path, .Query, .Header, .PathValue
	// "id", .Body (text) and .JSON (the decoded body), and uuid.
	Body string `yaml:"body" json:"body,omitempty"`
	// Latency holds every answer back for that long. Default 0.
	Latency time.Duration `yaml:"latency" json:"latency,omitempty"`
}
