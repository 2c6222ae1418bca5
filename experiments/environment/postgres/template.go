package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/subject"
)

// The superuser and the owner of the service's database.
const (
	Superuser = "postgres"
	Owner     = "app_owner"
)

// templateForm is counted up when what is in a template changes.
const templateForm = "3"

// Template is a data directory that is initialised and holds the service's
// database and roles; servers start from copies of it.
type Template struct {
	Binaries
	Data     string
	Database string
	Service  string // the service's role

	user *syscall.Credential
}

// Host is what a template is prepared with.
type Host struct {
	Spawner *spawn.Spawner
	// Scratch is a folder of the trial's for what is made on the way.
	Scratch  string
	Progress environment.Progress
	// Repository, when not empty, replaces the place that missing binaries
	// are fetched from.
	Repository string
}

// Prepare finds or fetches the binaries and finds or makes the template for a
// dependency. It is slow only the first time.
func Prepare(ctx context.Context, h Host, d subject.Dependency) (*Template, error) {
	t, err := prepare(ctx, h, d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Name, err)
	}
	return t, nil
}

func prepare(ctx context.Context, h Host, d subject.Dependency) (*Template, error) {
	user, err := Unprivileged()
	if err != nil {
		return nil, err
	}
	b, found, err := Find(ctx, d.Bin)
	if err != nil {
		return nil, err
	}
	if !found {
		h.Progress.Say("fetching PostgreSQL (once)")
		if err := unpack(ctx, h, filepath.Dir(unpackedDir())); err != nil {
			return nil, err
		}
		if b, err = identify(ctx, unpackedDir()); err != nil {
			return nil, err
		}
	}
	t := &Template{Binaries: b, Database: or(d.Database, "app"), Service: or(d.User, "app_service"), user: user}
	if t.Service == Owner || t.Service == Superuser {
		return nil, fmt.Errorf("the service's role cannot be called %s", t.Service)
	}
	return t, t.find(ctx, h)
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// find takes the template from the cache, or makes it; one process makes it
// while others wait.
func (t *Template) find(ctx context.Context, h Host) error {
	sum := sha256.Sum256([]byte(strings.Join([]string{templateForm, t.Dir, t.Version, t.Database, t.Service}, "\x00")))
	parent := filepath.Join(cacheDir(), "postgres-data")
	t.Data = filepath.Join(parent, hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(t.Data); err == nil {
		return nil
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("keep a data directory: %w", err)
	}
	lock := flock.New(t.Data + ".lock")
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return fmt.Errorf("wait for another seatrial to make a data directory: %w", err)
	}
	defer func() { _ = lock.Unlock() }()
	if _, err := os.Stat(t.Data); err == nil {
		return nil
	}
	h.Progress.Say("initialising a PostgreSQL data directory (once)")
	return t.make(ctx, h)
}

func (t *Template) make(ctx context.Context, h Host) error {
	dir, err := os.MkdirTemp(h.Scratch, "initdb-")
	if err != nil {
		return fmt.Errorf("initialise a data directory: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := own(dir, t.user); err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	if err := t.initdb(ctx, h, dir, data); err != nil {
		return err
	}
	if err := t.fill(ctx, h, dir, data); err != nil {
		return err
	}
	made := t.Data + ".new"
	if err := errors.Join(os.RemoveAll(made), CopyTree(data, made, nil)); err != nil {
		return fmt.Errorf("keep a data directory: %w", err)
	}
	return os.Rename(made, t.Data)
}

// initdb makes an empty data directory: small, and without waiting for disks.
func (t *Template) initdb(ctx context.Context, h Host, dir, data string) error {
	lines := spawn.NewLines("initdb", nil, nil)
	var exit spawn.Exit
	for _, locale := range []string{"C.UTF-8", "C"} { // the first is not everywhere
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		var err error
		exit, err = h.Spawner.Run(ctx, spawn.Spec{
			Path: t.Initdb(), Dir: dir, User: t.user, Line: lines, Env: serverEnv(),
			Args: []string{
				"-D", data, "-U", Superuser, "--encoding=UTF8", "--locale=" + locale, "--no-sync", "--wal-segsize=4",
				"--auth-local=trust", "--auth-host=scram-sha-256",
			},
		})
		if err != nil {
			return fmt.Errorf("initialise a data directory: %w", err)
		}
		if exit.Code == 0 {
			return nil
		}
	}
	return fmt.Errorf("initialise a data directory: %s %s: %s", t.Initdb(), exit, last(lines.Tail(), "it printed nothing"))
}

// fill makes the roles and the database, and drops the databases that nobody
// needs, so that there is less to copy.
func (t *Template) fill(ctx context.Context, h Host, dir, data string) (err error) {
	s := &Server{
		Keeper:   fleet.Keeper{Target: "postgres"},
		template: t, data: data, sockets: dir, port: 1, local: true,
		spawner: h.Spawner, lines: spawn.NewLines("postgres", nil, nil),
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Halt(context.WithoutCancel(ctx), fast, stopWithin)) }()
	if err := s.database().Make(ctx, s.connect); err != nil {
		return err
	}
	c, err := s.connect(ctx, Superuser, t.Database)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	var statements []string
	if t.Database != Superuser {
		statements = append(statements, "DROP DATABASE postgres")
	}
	statements = append(statements, "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'",
		"DROP DATABASE template0", "CHECKPOINT")
	if err := execAll(ctx, c, statements...); err != nil {
		return fmt.Errorf("drop what nobody needs: %w", err)
	}
	return nil
}

func execAll(ctx context.Context, c *pgx.Conn, statements ...string) error {
	for _, sql := range statements {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// serverEnv is the environment of a server: no locale and no libpq setting of
// the person who runs the trial.
func serverEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}
