package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	embedded "github.com/fergusstrange/embedded-postgres"

	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
	"github.com/seatrial/seatrial/experiments/environment/spawn"
)

// unpackRole starts and stops an embedded PostgreSQL, which leaves its
// binaries behind. It runs as an unprivileged user: the library starts the
// server itself, and PostgreSQL refuses to run as root.
const unpackRole = "unpack-postgres"

var _ = reexec.Register(unpackRole, func(_ context.Context, args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want a folder and a repository, got %q", args)
	}
	return unpackInto(args[0], args[1])
})

func unpackInto(dir, repository string) error {
	port, err := ports.AcquireIn(filepath.Join(dir, "ports"))
	if err != nil {
		return err
	}
	defer port.Release()
	config := embedded.DefaultConfig().Version(embedded.V17).Port(uint32(port.Port)).Logger(os.Stderr).
		CachePath(filepath.Join(dir, "archive")).RuntimePath(filepath.Join(dir, "run")).
		DataPath(filepath.Join(dir, "data")).BinariesPath(filepath.Join(dir, "pg"))
	if repository != "" {
		config = config.BinaryRepositoryURL(repository)
	}
	server := embedded.NewDatabase(config)
	if err := server.Start(); err != nil {
		return err
	}
	return server.Stop()
}

// unpack has the binaries fetched once and kept in a folder of the cache.
func unpack(ctx context.Context, h Host, to string) error {
	user, err := Unprivileged()
	if err != nil {
		return err
	}
	dir := filepath.Join(h.Scratch, "unpack")
	if err := errors.Join(os.Mkdir(dir, 0o700), own(dir, user)); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd, err := reexec.Command(ctx, unpackRole, dir, h.Repository)
	if err != nil {
		return err
	}
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, "HOME="+dir, "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	lines := spawn.NewLines("unpack", nil, nil)
	p, err := h.Spawner.StartCommand(cmd, lines, nil)
	if err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		return errors.Join(err, p.Kill(context.WithoutCancel(ctx)))
	}
	if e := p.Exit(); e.Code != 0 {
		return fmt.Errorf("there are no PostgreSQL server binaries on this machine, and fetching them did not work (%s); "+
			"install postgresql, or set the dependency's bin to the folder that holds postgres and initdb",
			strings.TrimPrefix(last(lines.Tail(), e.String()), "seatrial "+unpackRole+": "))
	}
	return keep(filepath.Join(dir, "pg"), to)
}

// keep moves the unpacked binaries into the cache, readable by all.
func keep(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil { //nolint:gosec // the server's user must read it
		return fmt.Errorf("keep the binaries: %w", err)
	}
	temp, err := os.MkdirTemp(filepath.Dir(to), "new-")
	if err != nil {
		return fmt.Errorf("keep the binaries: %w", err)
	}
	defer os.RemoveAll(temp)
	copied := filepath.Join(temp, "pg")
	if err := CopyTree(from, copied, nil); err != nil {
		return err
	}
	if err := openToAll(copied); err != nil {
		return fmt.Errorf("keep the binaries: %w", err)
	}
	_ = os.RemoveAll(to)
	if err := os.Rename(copied, to); err != nil {
		return fmt.Errorf("keep the binaries: %w", err)
	}
	return nil
}

func openToAll(root string) error {
	return filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode) //nolint:gosec // nobody else may write there yet
	})
}

// last is what was printed last, in one line.
func last(lines []string, otherwise string) string {
	if len(lines) == 0 {
		return otherwise
	}
	return strings.Join(lines[max(0, len(lines)-2):], "; ")
}
