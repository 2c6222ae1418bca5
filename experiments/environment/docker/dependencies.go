package docker

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/testcontainers/testcontainers-go"
	tcpostgres "github.com/testcontainers/testcontainers-go/modules/postgres"
	tcredis "github.com/testcontainers/testcontainers-go/modules/redis"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/gobuild"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/subject"
)

// server is one dependency of an environment. Start starts its container, and is
// nil where the agent hosts it, or nobody of ours does; await returns when it can
// be used.
type server struct {
	fleet.Keeper
	dependency subject.Dependency
	*box
	lines      *spawn.Lines
	image      func(context.Context) (string, error) // that its container is made from; found, or made
	start      func(context.Context) (fleet.Process, error)
	await      func(context.Context, fleet.Process) error
	answers    func(context.Context) error // nil once it does
	stopSignal syscall.Signal

	// proxy is what the service connects to, direct the dependency's own
	// address, both inside the network; equal where only the agent knows it.
	proxy, direct string
	outside       string // where seatrial reaches the dependency itself
	published     *ports.Lease

	database postgres.Database
	admin    string // the superuser's password
}

// ordinary are the ports that kinds of dependencies have by custom.
var ordinary = map[string]int{subject.Postgres: 5432, subject.Redis: 6379, subject.HTTP: 8080}

// portFor is a port for a dependency's proxy that no other one of the agent has.
func portFor(d subject.Dependency, taken map[int]bool) int {
	port := ordinary[d.Kind]
	if d.Kind == subject.TCP {
		port = d.Port
		if _, text, err := net.SplitHostPort(d.Address); err == nil && port == 0 {
			port, _ = strconv.Atoi(text)
		}
	}
	if port < 1024 { // the agent is no superuser
		port += 10_000
	}
	for taken[port] {
		port++
	}
	taken[port] = true
	return port
}

// plan gives every dependency its addresses and says how it is started.
func (e *Environment) plan() error {
	taken := map[int]bool{controlPort: true, apiPort: true}
	for _, d := range e.Subject.Dependencies {
		published, err := e.Lease()
		if err != nil {
			return err
		}
		s := &server{
			Keeper:     fleet.Keeper{Target: d.Name, Journal: e.Journal},
			dependency: d, published: published, lines: e.NewLines(d.Name), stopSignal: syscall.SIGTERM,
			proxy: net.JoinHostPort(d.Name, strconv.Itoa(portFor(d, taken))),
		}
		s.direct, s.outside = s.proxy, published.Address()
		e.servers = append(e.servers, s)
		switch d.Kind {
		case subject.Postgres:
			err = e.planPostgres(s)
		case subject.Redis:
			err = e.planServer(s, 6379, redis, order{cmd: []string{
				"redis-server", "--save", "", "--appendonly", "no", "--protected-mode", "no", "--loglevel", "warning",
			}})
			s.answers = func(ctx context.Context) error { return fleet.PingRedis(ctx, s.outside) }
		case subject.TCP:
			s.direct = d.Address
			if d.Image != "" {
				err = e.planImage(s)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func redis(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (string, error) {
	c, err := tcredis.Run(ctx, image, opts...)
	if c == nil || c.Container == nil {
		return "", err
	}
	return c.GetContainerID(), err
}

// planImage has any image be a dependency: what it prints and when it accepts
// connections is all that is known of it.
func (e *Environment) planImage(s *server) error {
	scope := e.scope(false)
	env, err := pairs(scope.Env(s.dependency.Env))
	if err != nil {
		return fmt.Errorf("%s: %w", s.Target, err)
	}
	run, err := scope.Strings(s.dependency.Run)
	if err != nil {
		return fmt.Errorf("%s: run: %w", s.Target, err)
	}
	o := order{env: env}
	if len(run) > 0 {
		o.cmd = run
	}
	s.answers = func(ctx context.Context) error { return fleet.Accepts(ctx, s.outside, true) }
	return e.planServer(s, s.dependency.Port, plain, o)
}

// planServer has a dependency run in a container of its own.
func (e *Environment) planServer(s *server, port int, m maker, o order) error {
	outside, err := e.Lease()
	if err != nil {
		return err
	}
	name := s.Target + "-server"
	s.outside = outside.Address()
	s.direct = net.JoinHostPort(name, strconv.Itoa(port))
	o.aliases, o.publish = []string{name}, map[int]int{port: outside.Port}
	s.image = func(ctx context.Context) (string, error) {
		p, _ := pictureOf(s.dependency)
		return p.name, e.engine.ensure(ctx, p, e.Options.Progress)
	}
	s.start = func(ctx context.Context) (fleet.Process, error) {
		image, err := s.image(ctx)
		if err != nil {
			return nil, err
		}
		o.image = image
		made, err := e.make(ctx, m, o, s.lines)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Target, err)
		}
		e.own(made)
		s.box = made
		return s.launch(ctx)
	}
	s.await = s.answered
	return nil
}

// startWithin bounds the start of a dependency, its first initialisation
// included.
const startWithin = 60 * time.Second

// askEvery is how often what was started is asked whether it answers.
const askEvery = 5 * time.Millisecond

// launch starts the container.
func (s *server) launch(ctx context.Context) (fleet.Process, error) {
	return s.Launch(ctx, func(ctx context.Context, exited func(spawn.Exit)) (fleet.Process, error) {
		r, err := s.box.start(ctx, exited, nil)
		if err != nil {
			return nil, err
		}
		return r, nil
	})
}

// answered returns when the server in the container answers.
func (s *server) answered(ctx context.Context, p fleet.Process) error {
	if err := fleet.Await(ctx, p, "its container", startWithin, askEvery, s.answers); err != nil {
		return fmt.Errorf("%s: %w%s", s.Target, err, fleet.Printed(s.lines))
	}
	return nil
}

// stopWithin is how long a dependency has to end before it is killed.
const stopWithin = 10 * time.Second

// Restart ends the server gently where it runs and starts it again on what it
// had stored.
func (s *server) Restart(ctx context.Context) error {
	if err := s.Halt(ctx, s.stopSignal, stopWithin); err != nil {
		return err
	}
	p, err := s.launch(ctx)
	if err != nil {
		return err
	}
	return s.answered(ctx, p)
}

// planPostgres has PostgreSQL run from an image that knows POSTGRES_PASSWORD, as
// the official one does; or rather from one that holds what that initialised.
func (e *Environment) planPostgres(s *server) error {
	d := s.dependency
	s.database = rolesOf(d)
	s.database.OwnerPassword, s.database.ServicePassword = rand.Text(), rand.Text()
	if s.database.Service == postgres.Owner || s.database.Service == postgres.Superuser {
		return fmt.Errorf("%s: the service's role cannot be called %s", d.Name, s.database.Service)
	}
	e.Secrets.Add(s.database.OwnerPassword, s.database.ServicePassword)
	s.stopSignal = syscall.SIGINT // a fast shutdown
	s.answers = func(ctx context.Context) error {
		c, err := s.connect(ctx, postgres.Superuser, postgres.Superuser)
		if err != nil {
			return err
		}
		return c.Close(ctx)
	}
	make := func(ctx context.Context, image string, opts ...testcontainers.ContainerCustomizer) (string, error) {
		opts = append(opts, tcpostgres.WithUsername(postgres.Superuser), tcpostgres.WithDatabase(postgres.Superuser),
			tcpostgres.WithPassword(s.admin))
		c, err := tcpostgres.Run(ctx, image, opts...)
		if c == nil || c.Container == nil {
			return "", err
		}
		return c.GetContainerID(), err
	}
	o := order{cmd: []string{"postgres"}, env: map[string]string{
		"PGDATA": dataFolder, "POSTGRES_INITDB_ARGS": "--no-sync",
	}}
	settings := postgres.Settings(d)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		o.cmd = append(o.cmd, "-c", name+"="+settings[name])
	}
	if err := e.planServer(s, 5432, make, o); err != nil {
		return err
	}
	s.image = func(ctx context.Context) (string, error) {
		found, err := e.backend.database(ctx, d, e.Options.Progress, false)
		s.admin = found.admin
		e.Secrets.Add(s.admin)
		return found.image, err
	}
	s.await = func(ctx context.Context, p fleet.Process) error {
		if err := s.answered(ctx, p); err != nil {
			return err
		}
		if err := s.fill(ctx, e.Subject); err != nil {
			return fmt.Errorf("%s: %w", s.Target, err)
		}
		return nil
	}
	return nil
}

// fill opens the service's database to it and runs the migrations.
func (s *server) fill(ctx context.Context, of *subject.Subject) error {
	if err := s.database.Open(ctx, s.connect); err != nil {
		return err
	}
	folder := s.dependency.Migrations
	if folder != "" {
		folder = gobuild.Resolve(of.Dir, folder)
	}
	return s.database.Migrate(ctx, s.connect, folder)
}

// connect opens a connection past the proxy.
func (s *server) connect(ctx context.Context, role, database string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig("postgres://" + s.outside + "?sslmode=disable")
	if err != nil {
		return nil, err
	}
	c.User, c.Database, c.Password = role, database, s.admin
	switch role {
	case postgres.Owner:
		c.Password = s.database.OwnerPassword
	case s.database.Service:
		c.Password = s.database.ServicePassword
	}
	return postgres.Dial(ctx, s.Target, c)
}

// startAgent starts the agent with a proxy for every dependency, and makes the
// targets.
func (e *Environment) startAgent(ctx context.Context) error {
	image, err := e.backend.agentImage(ctx, e.Subject, e.Options.Progress)
	if err != nil {
		return err
	}
	l := &launcher{environment: e, image: image, lines: e.NewLines(agent.Source)}
	if l.control, err = e.Lease(); err != nil {
		return err
	}
	if l.api, err = e.Lease(); err != nil {
		return err
	}
	l.publish = map[int]int{controlPort: l.control.Port, apiPort: l.api.Port}
	var fronts []fleet.Front
	for _, s := range e.servers {
		port := portOf(s.proxy)
		l.publish[port] = s.published.Port
		f := fleet.Front{
			Dependency: s.dependency, Listen: everywhere(port), Reached: s.published.Address(), Target: s.behind(),
		}
		if s.direct != s.proxy {
			f.Upstream = s.direct
		}
		fronts = append(fronts, f)
	}
	return e.StartAgent(ctx, l, agent.Config{Control: everywhere(controlPort), API: everywhere(apiPort)}, fronts)
}

func portOf(address string) int {
	_, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	return port
}

func everywhere(port int) string { return net.JoinHostPort("0.0.0.0", strconv.Itoa(port)) }

// references are what strings of the subject may refer to for all dependencies,
// inside the network. Direct says that they lead past the proxies where there
// is a way.
func (e *Environment) references(direct bool) map[string]string {
	all := map[string]string{}
	for _, s := range e.servers {
		address := s.proxy
		if direct {
			address = s.direct
		}
		for name, v := range s.references(address) {
			all[s.Target+"."+name] = v
		}
	}
	return all
}

func (s *server) references(address string) map[string]string {
	if s.dependency.Kind == subject.Postgres {
		return s.database.References(address)
	}
	return fleet.References(s.dependency.Kind, address)
}
