// Package procs reads what the operating system says of processes: start times
// that guard against a pid used again, children, marks in the environment.
// Without /proc (macOS) it knows only whether a pid is alive.
package procs

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

// Process is one process at one moment.
type Process struct {
	PID    int
	Parent int
	Group  int
	State  byte // R, S, D, T, Z … as in proc(5)
	// Start is when it started, in clock ticks since boot. With the PID it
	// names a process for ever; zero where there is no /proc.
	Start uint64
}

// Dead reports that it has ended and was only not waited for yet.
func (p Process) Dead() bool { return p.State == 'Z' || p.State == 'X' }

// Alive reports whether the process that had this pid and start time still
// runs. A zero start time stands for any.
func Alive(pid int, start uint64) bool {
	p, err := Get(pid)
	if err != nil {
		return false
	}
	return !p.Dead() && (start == 0 || p.Start == 0 || p.Start == start)
}

// Children are the direct children of pid.
func Children(pid int) ([]Process, error) {
	all, err := List()
	if err != nil {
		return nil, err
	}
	var kids []Process
	for _, p := range all {
		if p.Parent == pid {
			kids = append(kids, p)
		}
	}
	return kids, nil
}

// Variable is the value of an environment variable that a process was started
// with. It is not found when the process may not be read or has overwritten
// its environment.
func Variable(pid int, name string) (string, bool) {
	for _, entry := range environ(pid) {
		if k, v, ok := strings.Cut(entry, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// Kill sends SIGKILL, to the whole group when pid is negative; that nobody is
// there is no error.
func Kill(pid int) error {
	err := syscall.Kill(pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
