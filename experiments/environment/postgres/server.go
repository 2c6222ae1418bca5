package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// startWithin bounds a start, recovery after a crash included; stopWithin a
// fast shutdown.
const (
	startWithin = 30 * time.Second
	stopWithin  = 10 * time.Second
)

// How a server is asked to shut down.
const (
	fast      = syscall.SIGINT
	immediate = syscall.SIGQUIT
)

// Config is what a server is started with.
type Config struct {
	Dependency subject.Dependency
	// Dir is an existing folder for the server alone; the data directory and
	// the socket for administration go there.
	Dir  string
	Port int
	// Env marks the server's processes, beside what it needs itself.
	Env     []string
	Spawner *spawn.Spawner
	Lines   *spawn.Lines
	Journal journal.Recorder
	// Passwords of the roles.
	OwnerPassword, ServicePassword string
	// SharedMemory, when not nil, is told of the System V segment that a
	// killed server would leave behind.
	SharedMemory func(id int) error
}

// Server is a PostgreSQL server that runs for one environment.
type Server struct {
	fleet.Keeper
	template                       *Template
	data, sockets                  string
	port                           int
	local                          bool // it listens on its socket only
	spawner                        *spawn.Spawner
	lines                          *spawn.Lines
	env                            []string
	ownerPassword, servicePassword string
	sharedMemory                   func(int) error
}

// Start copies the template, starts a server on the copy, sets the passwords
// and runs the migrations.
func Start(ctx context.Context, t *Template, c Config) (*Server, error) {
	s := &Server{
		Keeper:   fleet.Keeper{Target: c.Dependency.Name, Journal: c.Journal},
		template: t, port: c.Port, spawner: c.Spawner, lines: c.Lines,
		data: filepath.Join(c.Dir, "data"), sockets: c.Dir, env: c.Env, sharedMemory: c.SharedMemory,
		ownerPassword: c.OwnerPassword, servicePassword: c.ServicePassword,
	}
	if err := s.bringUp(ctx, c.Dependency); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.Target, err), s.Stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Server) bringUp(ctx context.Context, d subject.Dependency) error {
	if socket := s.socket(); len(socket) > 103 {
		return fmt.Errorf("the path of its socket %s is longer than 103 bytes; set TMPDIR to a shorter folder", socket)
	}
	if err := own(s.sockets, s.template.user); err != nil {
		return err
	}
	if err := CopyTree(s.template.Data, s.data, s.template.user); err != nil {
		return err
	}
	if err := s.configure(d); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		if len(d.Settings) > 0 && ctx.Err() == nil {
			return fmt.Errorf("%w; see whether the dependency's settings are to blame", err)
		}
		return err
	}
	if err := s.database().Open(ctx, s.connect); err != nil {
		return err
	}
	return s.database().Migrate(ctx, s.connect, d.Migrations)
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// configure appends the dependency's settings to postgresql.conf, where the
// last one counts.
func (s *Server) configure(d subject.Dependency) error {
	settings := map[string]string{
		"dynamic_shared_memory_type": "mmap", // in the data directory, so that nothing is left in /dev/shm
		"logging_collector":          "off", "log_line_prefix": "[%p] ", "wal_init_zero": "off",
	}
	maps.Copy(settings, Settings(d))
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "\n%s = %s", name, literal(settings[name]))
	}
	f, err := os.OpenFile(filepath.Join(s.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text.String() + "\n")
	return errors.Join(err, f.Close())
}

// Settings are what a dependency asks of its server, wherever that runs.
func Settings(d subject.Dependency) map[string]string {
	settings := map[string]string{}
	if !d.Durable {
		settings = map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
	}
	maps.Copy(settings, d.Settings)
	return settings
}

func (s *Server) socket() string {
	return filepath.Join(s.sockets, ".s.PGSQL."+strconv.Itoa(s.port))
}

// start starts the server's processes and waits until it answers.
func (s *Server) start(ctx context.Context) error {
	listen := "127.0.0.1"
	if s.local {
		listen = ""
	}
	p, err := s.Launch(ctx, func(_ context.Context, exited func(spawn.Exit)) (fleet.Process, error) {
		p, err := s.spawner.Start(spawn.Spec{
			Path: s.template.Postgres(), Dir: s.data, User: s.template.user, Env: append(serverEnv(), s.env...), Line: s.lines,
			Args: []string{
				"-D", s.data, "-c", "listen_addresses=" + listen, "-c", "port=" + strconv.Itoa(s.port),
				"-c", "unix_socket_directories=" + s.sockets,
			},
			Exited: exited,
		})
		if err != nil {
			return nil, err
		}
		return postmaster{p}, nil
	})
	if err != nil {
		return err
	}
	if err := s.await(ctx, p); err != nil {
		return err
	}
	return s.noteSharedMemory()
}

// await asks the server until it answers.
func (s *Server) await(ctx context.Context, p fleet.Process) error {
	err := fleet.Await(ctx, p, "the server", startWithin, 5*time.Millisecond, func(ctx context.Context) error {
		c, err := s.connect(ctx, Superuser, "template1")
		if err != nil {
			return err
		}
		return c.Close(ctx)
	})
	if err != nil {
		return fmt.Errorf("%w: %s", err, last(s.lines.Tail(), "it printed nothing"))
	}
	return nil
}

// noteSharedMemory tells who wants to know which segment the server made.
func (s *Server) noteSharedMemory() error {
	id, err := s.segment()
	if err != nil {
		return fmt.Errorf("the server wrote no lock file: %w", err)
	}
	if id == 0 || s.sharedMemory == nil {
		return nil
	}
	return s.sharedMemory(id)
}

// segment reads from postmaster.pid which System V segment the server made. Zero
// stands for none, and for a form of the file that is not known here.
func (s *Server) segment() (int, error) {
	b, err := os.ReadFile(filepath.Join(s.data, "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 7 {
		return 0, nil
	}
	f := strings.Fields(lines[6])
	if len(f) != 2 {
		return 0, nil
	}
	id, err := strconv.Atoi(f[1])
	if err != nil {
		return 0, nil //nolint:nilerr // a form of the file that we do not know
	}
	return id, nil
}

// connect opens a connection through the socket, where every role is trusted;
// only the server's user and root reach it.
func (s *Server) connect(ctx context.Context, role, database string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, err
	}
	c.Host, c.Port, c.User, c.Database, c.Password = s.sockets, uint16(s.port), role, database, ""
	return Dial(ctx, s.Target, c)
}

// Kind is "postgres".
func (s *Server) Kind() string { return subject.Postgres }

// Admin opens a superuser's connection to the service's database that does not
// pass the proxy.
func (s *Server) Admin(ctx context.Context) (*pgx.Conn, error) {
	return s.connect(ctx, Superuser, s.template.Database)
}

// ServiceRole is the role that the service connects as.
func (s *Server) ServiceRole() string { return s.template.Service }

// Address is the server's own, past the proxy.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// ServiceDSN is the service's own connection string, past the proxy.
func (s *Server) ServiceDSN() string { return s.References(s.Address())["url"] }

// References are what a subject may refer to, by the part after the
// dependency's name, for a server that is reached at address.
func (s *Server) References(address string) map[string]string {
	return s.database().References(address)
}

func (s *Server) database() Database {
	return Database{
		Name: s.template.Database, Service: s.template.Service,
		OwnerPassword: s.ownerPassword, ServicePassword: s.servicePassword,
	}
}

// Restart shuts the server down fast (open transactions are rolled back) where
// it still runs, and starts it again on the same port. It returns when the
// server answers.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Halt(ctx, fast, stopWithin); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("%s: %w", s.Target, err)
	}
	return nil
}

// Stop ends the server at once, without a checkpoint. It is safe to call twice.
func (s *Server) Stop(ctx context.Context) error {
	err := s.Drop(ctx, immediate)
	// One that had to be killed has left its lock file, and its segment with it.
	id, missing := s.segment()
	if missing != nil {
		return err
	}
	return errors.Join(err, removeSegment(id))
}

var (
	_ faults.SQL         = (*Server)(nil)
	_ faults.Signalled   = (*Server)(nil)
	_ faults.Restartable = (*Server)(nil)
)
