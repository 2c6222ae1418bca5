// Package postgres runs a real PostgreSQL server for one trial: it finds the
// binaries, keeps an initialised data directory in the cache, copies and
// starts it, and gives the service a role of its own.
package postgres

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Binaries are the programs of one PostgreSQL installation.
type Binaries struct {
	Dir     string
	Version string // as the server prints it
}

// Postgres and Initdb are the programs' files.
func (b Binaries) Postgres() string { return filepath.Join(b.Dir, "postgres") }

// Initdb is the file of the program that makes a data directory.
func (b Binaries) Initdb() string { return filepath.Join(b.Dir, "initdb") }

// Find looks for server binaries: in bin when it is set and nowhere else;
// otherwise on the PATH, where pg_config points, in /usr/lib/postgresql (the
// newest), at Homebrew's places, and among those unpacked before. The second
// result is false when there are none.
func Find(ctx context.Context, bin string) (Binaries, bool, error) {
	if bin != "" {
		if !complete(bin) {
			return Binaries{}, false, fmt.Errorf("there are no programs postgres and initdb in %s; "+
				"set the dependency's bin to the folder that holds them, or leave it out", bin)
		}
		b, err := identify(ctx, bin)
		return b, err == nil, err
	}
	for _, dir := range places(ctx) {
		if complete(dir) {
			b, err := identify(ctx, dir)
			return b, err == nil, err
		}
	}
	return Binaries{}, false, nil
}

func places(ctx context.Context) []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		// A link on the PATH may stand beside nothing.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		dirs = append(dirs, newestFirst(found)...)
	}
	return append(dirs, unpackedDir())
}

func newestFirst(dirs []string) []string {
	major := func(dir string) int {
		digits := strings.TrimFunc(filepath.Base(filepath.Dir(dir)), func(r rune) bool { return r < '0' || r > '9' })
		n, _ := strconv.Atoi(digits)
		return n
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return major(b) - major(a) })
	return dirs
}

func complete(dir string) bool {
	for _, name := range []string{"postgres", "initdb"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

func identify(ctx context.Context, dir string) (Binaries, error) {
	b := Binaries{Dir: dir}
	out, err := exec.CommandContext(ctx, b.Postgres(), "--version").Output()
	if err != nil {
		return b, fmt.Errorf("run %s --version: %w", b.Postgres(), err)
	}
	b.Version = strings.TrimSpace(string(out))
	return b, nil
}

// cacheDir is where things outlive a trial. Servers run as another user than
// root must reach their binaries there.
func cacheDir() string {
	if os.Geteuid() == 0 {
		return "/var/cache/seatrial"
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "seatrial-cache-"+strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(dir, "seatrial")
}

func unpackedDir() string { return filepath.Join(cacheDir(), "postgres-binaries", "bin") }
