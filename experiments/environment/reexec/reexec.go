// Package reexec starts the running program again in another role: the agent,
// the watcher, an unpacker. So a test binary hosts them as well as the
// seatrial command does, and nothing has to be installed beside it.
//
// The program calls [Hook] first of all; packages name their roles with
// [Register] while they are initialised.
package reexec

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync/atomic"
)

// Env is the environment variable that names the role of a re-executed
// process.
const Env = "SEATRIAL_ROLE"

// Role is what a re-executed process does: it reads its standard input, writes
// its standard output and returns; an error is printed on standard error and
// the process ends with status 1.
type Role func(ctx context.Context, args []string) error

// ErrNoHook says that this program cannot be started again in a role.
var ErrNoHook = errors.New("reexec: this program does not call reexec.Hook when it starts, so it cannot host " +
	"seatrial's helpers; import github.com/seatrial/seatrial/suites, or call reexec.Hook first in main or TestMain")

var (
	roles  = map[string]Role{}
	hooked atomic.Bool
)

// Register names a role. It is called while packages are initialised; a name
// that is taken panics.
func Register(name string, r Role) struct{} {
	if _, twice := roles[name]; twice {
		panic("reexec: role " + name + " is registered twice")
	}
	roles[name] = r
	return struct{}{}
}

// Roles lists the names of all roles, sorted.
func Roles() []string { return slices.Sorted(maps.Keys(roles)) }

// Hook takes over when the process was started in a role: it plays the role
// and ends the process. Otherwise it returns at once, and [Command] works from
// then on.
func Hook() {
	hooked.Store(true)
	name, ok := os.LookupEnv(Env)
	if !ok {
		return
	}
	_ = os.Unsetenv(Env)
	os.Exit(play(name, os.Args[1:])) //nolint:forbidigo // a role's end is the end of its process
}

func play(name string, args []string) int {
	role, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "seatrial: no role is called %q; there are %v\n", name, Roles())
		return 64
	}
	if err := role(context.Background(), args); err != nil {
		fmt.Fprintf(os.Stderr, "seatrial %s: %v\n", name, err)
		return 1
	}
	return 0
}

// Command is the running program in the named role, not yet started. Its
// environment is the present one with the role; the caller may replace all of
// it but [Env]. It returns [ErrNoHook] when [Hook] was never called.
func Command(ctx context.Context, role string, args ...string) (*exec.Cmd, error) {
	if !hooked.Load() {
		return nil, ErrNoHook
	}
	if _, ok := roles[role]; !ok {
		return nil, fmt.Errorf("reexec: no role is called %q; there are %v", role, Roles())
	}
	name, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("reexec: find this program's file: %w", err)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	if runtime.GOOS == "linux" {
		// The link leads to the running image even when its file was replaced
		// or removed, as that of a test binary may be.
		cmd.Path = "/proc/self/exe"
	}
	cmd.Env = append(os.Environ(), Env+"="+role)
	return cmd, nil
}
