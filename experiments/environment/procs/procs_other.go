//go:build !linux

package procs

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// Get returns one process; the error says that there is none.
func Get(pid int) (Process, error) {
	if err := syscall.Kill(pid, 0); err != nil {
		return Process{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	return Process{PID: pid, State: 'S'}, nil
}

// List returns all processes, by the ps command.
func List() ([]Process, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,pgid=,state=").Output()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []Process
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		p := Process{State: f[3][0]}
		p.PID, _ = strconv.Atoi(f[0])
		p.Parent, _ = strconv.Atoi(f[1])
		p.Group, _ = strconv.Atoi(f[2])
		all = append(all, p)
	}
	return all, nil
}

// WorkingDir is not known here.
func WorkingDir(int) string { return "" }

func environ(int) []string { return nil }
