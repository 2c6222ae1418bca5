package process

import (
	"context"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/gobuild"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// server is one dependency of an environment. Start and stop are nil where the
// agent hosts it, or nobody of ours does.
type server struct {
	dependency subject.Dependency
	start      func(context.Context) error
	stop       func(context.Context) error
	postgres   *postgres.Server
	external   *postgres.External
	redis      *redisServer
	// proxy is what the service connects to; direct the dependency's own
	// address, equal to proxy where only the agent knows it.
	proxy, direct string
}

// plan gives every dependency its addresses and says how it is started.
func (e *Environment) plan() error {
	for i, d := range e.Subject.Dependencies {
		proxy, err := e.Lease()
		if err != nil {
			return err
		}
		s := &server{dependency: d, proxy: proxy.Address(), direct: proxy.Address()}
		e.servers = append(e.servers, s)
		dir := filepath.Join(e.dir, "d"+strconv.Itoa(i))
		switch d.Kind {
		case subject.Postgres:
			if d.External() {
				e.planExternal(s)
			} else {
				err = e.planPostgres(s, dir)
			}
		case subject.Redis:
			err = e.planRedis(s, dir)
		case subject.TCP:
			s.direct = d.Address
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Environment) planPostgres(s *server, dir string) error {
	lease, err := e.Lease()
	if err != nil {
		return err
	}
	s.direct = lease.Address()
	d := s.dependency
	if d.Migrations != "" {
		d.Migrations = gobuild.Resolve(e.Subject.Dir, d.Migrations)
	}
	config := postgres.Config{
		Dependency: d, Dir: dir, Port: lease.Port, Env: e.marks(), Spawner: e.host.Spawner(),
		Lines: e.NewLines(d.Name), Journal: e.Journal,
		OwnerPassword: rand.Text(), ServicePassword: rand.Text(), SharedMemory: e.host.Watcher().AddSharedMemory,
	}
	e.Secrets.Add(config.OwnerPassword, config.ServicePassword)
	s.start = func(ctx context.Context) error {
		t, err := e.backend.template(ctx, s.dependency, e.Options.Progress)
		if err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		s.postgres, err = postgres.Start(ctx, t, config)
		return err
	}
	s.stop = func(ctx context.Context) error {
		if s.postgres == nil {
			return nil
		}
		return s.postgres.Stop(ctx)
	}
	return nil
}

// planRedis takes a redis-server where there is one; otherwise the agent hosts
// a small one.
func (e *Environment) planRedis(s *server, dir string) error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil //nolint:nilerr // then the agent hosts it
	}
	lease, err := e.Lease()
	if err != nil {
		return err
	}
	user, err := postgres.Unprivileged()
	if err != nil {
		return err
	}
	s.direct = lease.Address()
	s.redis = &redisServer{
		Keeper: fleet.Keeper{
			Target:  s.dependency.Name,
			Journal: e.Journal,
		},
		program: program,
		dir:     dir,
		port:    lease.Port,
		env:     e.marks(),
		user:    user,
		spawner: e.host.Spawner(),
		lines:   e.NewLines(s.dependency.Name),
	}
	s.start = func(ctx context.Context) error {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if user != nil {
			if err := os.Chown(dir, int(user.Uid), int(user.Gid)); err != nil {
				return err
			}
		}
		return s.redis.start(ctx)
	}
	s.stop = s.redis.stop
	return nil
}

func (e *Environment) marks() []string { return e.host.Watcher().Marks(e.Options.Trial) }

// startAgent starts the agent with a proxy for every dependency, and makes the
// targets.
func (e *Environment) startAgent(ctx context.Context) error {
	var fronts []fleet.Front
	for _, s := range e.servers {
		f := fleet.Front{Dependency: s.dependency, Listen: s.proxy, Target: e.target(s)}
		if s.direct != s.proxy {
			f.Upstream = s.direct
		}
		fronts = append(fronts, f)
	}
	l := &launcher{host: e.host, lines: e.NewLines(agent.Source), trial: e.Options.Trial}
	return e.StartAgent(ctx, l, agent.Config{}, fronts)
}

// target says what can be broken of a dependency beside what is behind a proxy;
// nil: nothing.
func (e *Environment) target(s *server) func(*agent.Dependency, *fleet.Tap) faults.Target {
	switch {
	case s.dependency.External():
		return func(d *agent.Dependency, tap *fleet.Tap) faults.Target { return e.externalTarget(d, s, tap) }
	case s.dependency.Kind == subject.Postgres:
		return func(d *agent.Dependency, tap *fleet.Tap) faults.Target {
			t := &postgresTarget{sqlTarget: sqlTarget{d, s}, server: s}
			if tap != nil {
				return &tappedTarget{postgresTarget: t, Tap: *tap}
			}
			return t
		}
	case s.redis != nil:
		return func(d *agent.Dependency, _ *fleet.Tap) faults.Target {
			return redisTarget{Dependency: d, redisServer: s.redis}
		}
	}
	return nil
}

// references are what strings of the subject may refer to for all dependencies.
// Direct says that they lead past the proxies where there is a way.
func (e *Environment) references(direct bool) map[string]string {
	all := map[string]string{}
	for _, s := range e.servers {
		address := s.proxy
		if direct {
			address = s.direct
		}
		for name, v := range s.references(address) {
			all[s.dependency.Name+"."+name] = v
		}
	}
	return all
}

func (s *server) references(address string) map[string]string {
	if s.dependency.Kind == subject.Postgres {
		return s.database().References(address)
	}
	return fleet.References(s.dependency.Kind, address)
}
