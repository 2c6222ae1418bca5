package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/docker"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/watcher"
	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/faults"
)

func newDoctor() *cobra.Command {
	var reap bool
	var databases []string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what this machine has, and find what killed trials left",
		Long: `Check what a trial needs on this machine: go, PostgreSQL's server binaries,
redis-server, /proc, the limit on open files, for environment: docker a container
engine and whether its kernel can disturb packets; and look for processes, folders,
containers, volumes and networks that outlived their seatrial, and for images that
seatrial built and that are a week old or nameless, which --reap removes. Trials
that go on are left alone. A database of one's own that trials used is looked into
with --database: what faults by SQL left there are schemas whose names begin with
"seatrial-", and what trials made on that server databases and roles that begin with
"seatrial_".

It exits with 0 when a trial can run here and nothing is left, with 4 otherwise.`,
		Example: `  seatrial doctor
  seatrial doctor --reap
  seatrial doctor --reap --database postgres://admin@127.0.0.1/orders`,
		Args: exactly(cobra.NoArgs, "flags alone"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
			defer cancel()
			well := true
			tell := func(c check) {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %-12s %s\n", c.mark(), c.name, report.Clean(c.says))
				well = well && !c.bad
			}
			tell(checkGo(ctx))
			tell(checkPostgres(ctx))
			tell(checkRedis(ctx))
			tell(checkProc())
			tell(checkFiles())
			tell(checkTemp())
			tell(checkEngine(ctx))
			tell(checkLeftovers(ctx, reap))
			for _, url := range databases {
				tell(checkDatabase(ctx, url, reap))
			}
			if !well {
				return &exitError{experiments.ExitError, errors.New("not all is well; see the lines marked with ✗")}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&reap, "reap", false,
		"remove what is left: processes, folders, containers, volumes, networks, images, schemas")
	cmd.Flags().
		StringArrayVar(&databases, "database", nil, "look into a PostgreSQL database, too, by an administrator's `URL`")
	return cmd
}

// lookWithin bounds all looks together, each of which has a bound of its own.
const lookWithin = 2 * time.Minute

// check is the answer of one look at the machine.
type check struct {
	name, says string
	bad        bool // a trial cannot run
	warn       bool
}

func (c check) mark() string {
	switch {
	case c.bad:
		return "✗"
	case c.warn:
		return "!"
	}
	return "✓"
}

func checkGo(ctx context.Context) check {
	path, err := exec.LookPath("go")
	if err != nil {
		return check{name: "go", warn: true, says: "no go command on the PATH; " +
			"services with build: cannot be tried, those with command: can"}
	}
	return check{name: "go", says: printed(ctx, "go", "env", "GOVERSION") + " at " + path}
}

func checkPostgres(ctx context.Context) check {
	b, ok, err := postgres.Find(ctx, "")
	switch {
	case err != nil:
		return check{name: "postgres", bad: true, says: err.Error()}
	case !ok:
		return check{name: "postgres", warn: true, says: "no server binaries here; " +
			"they are fetched once, or install postgresql"}
	}
	return check{name: "postgres", says: number(b.Version) + " at " + b.Dir}
}

func checkRedis(ctx context.Context) check {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return check{name: "redis", warn: true, says: "no redis-server on the PATH; miniredis takes its place"}
	}
	return check{name: "redis", says: number(printed(ctx, path, "--version")) + " at " + path}
}

func checkProc() check {
	if runtime.GOOS != "linux" {
		return check{name: "proc", warn: true, says: "no /proc on " + runtime.GOOS +
			": processor, memory and descriptors are not recorded"}
	}
	if _, err := os.ReadFile("/proc/self/stat"); err != nil {
		return check{name: "proc", bad: true, says: err.Error() + "; mount /proc"}
	}
	return check{name: "proc", says: "/proc can be read"}
}

// enoughFiles is what a trial with an overload needs beside its servers.
const enoughFiles = 4096

func checkFiles() check {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return check{name: "open files", warn: true, says: err.Error()}
	}
	c := check{name: "open files", says: fmt.Sprintf("up to %d", limit.Cur)}
	if limit.Cur < enoughFiles {
		c.warn = true
		c.says += fmt.Sprintf("; overload may need %d: ulimit -n %d", enoughFiles, enoughFiles)
	}
	return c
}

func checkTemp() check {
	dir, err := os.MkdirTemp("", "seatrial-doctor-")
	if err == nil {
		err = os.Remove(dir)
	}
	if err != nil {
		return check{name: "scratch", bad: true, says: err.Error() + "; set TMPDIR to a folder that can be written"}
	}
	return check{name: "scratch", says: os.TempDir() + " can be written"}
}

// packetsWithin bounds the try whether packets can be disturbed, for which the agent's
// image may have to be built.
const packetsWithin = 30 * time.Second

// checkEngine looks for a container engine, and has it try whether the packets of
// a container can be disturbed.
func checkEngine(ctx context.Context) check {
	c := check{name: "containers", says: "an engine answers, and can disturb packets"}
	if err := docker.Available(ctx); err != nil {
		c.warn, c.says = true, err.Error()
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, packetsWithin)
	defer cancel()
	if err := docker.CheckPackets(ctx); err != nil {
		c.warn, c.says = true, "an engine answers; faults of packets: "+err.Error()
	}
	return c
}

func checkLeftovers(ctx context.Context, reap bool) check {
	look, done := watcher.Find, "left behind, remove with --reap: "
	if reap {
		look, done = watcher.Reap, "removed: "
	}
	found, err := look(ctx)
	c := check{name: "leftovers", says: "none"}
	if len(found) > 0 {
		c.says, c.bad = done, !reap
		for i, l := range found {
			if i > 0 {
				c.says += ", "
			}
			c.says += l.String()
		}
	}
	if err != nil {
		c.bad = true
		c.says += "; " + err.Error()
	}
	return c
}

// checkDatabase looks for schemas that faults left in a database, and for databases
// that trials left on its server.
func checkDatabase(ctx context.Context, url string, reap bool) check {
	c := check{name: "database", says: "nothing left"}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		c.bad, c.says = true, "the URL is not understood; want postgres://user:password@host:port/database"
		return c // the cause would show the password
	}
	config.RuntimeParams["application_name"] = "seatrial-doctor"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		c.bad, c.says = true, fmt.Sprintf("%s at %s does not answer: %v", config.Database, config.Host, err)
		return c
	}
	defer conn.Close(context.WithoutCancel(ctx))
	done := "left behind, remove with --reap: "
	schemas, databases := faults.FindSQL, postgres.FindExternal
	if reap {
		done = "removed: "
		schemas, databases = faults.ReapSQL, postgres.ReapExternal
	}
	var found []string
	whole, err := databases(ctx, conn)
	for _, name := range whole {
		found = append(found, "database "+name+" with its roles")
	}
	parts, errSchemas := schemas(ctx, conn)
	for _, name := range parts {
		found = append(found, "schema "+name)
	}
	err = errors.Join(err, errSchemas)
	if len(found) > 0 {
		c.bad, c.says = !reap, done+strings.Join(found, ", ")
	}
	if err != nil {
		c.bad = true
		c.says += "; " + err.Error()
	}
	return c
}
