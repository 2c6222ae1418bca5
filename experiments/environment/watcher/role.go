package watcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/procs"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
)

const role = "watcher"

// watching is what a watcher says, once, when nothing but SIGKILL can end it
// any more before the pipe does.
const watching = "watching\n"

var _ = reexec.Register(role, func(_ context.Context, args []string) error {
	if len(args) != 1 || !strings.HasPrefix(filepath.Base(args[0]), prefix) {
		return fmt.Errorf("want one scratch folder, got %q", args)
	}
	// Whoever interrupts seatrial may mean its whole family; the watcher stays
	// until the pipe ends.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	if _, err := os.Stdout.WriteString(watching); err != nil {
		return err
	}
	if err := os.Stdout.Close(); err != nil {
		return err
	}
	return watch(os.Stdin, args[0])
})

// watch reads orders to their end and then clears up.
func watch(r io.Reader, scratch string) error {
	l := newList(filepath.Clean(scratch))
	l.read(r)
	return l.clear()
}

// clear kills and removes all that is on the list, and everything that carries
// the scratch folder's mark.
func (l *list) clear() error {
	for pid, start := range l.processes {
		if procs.Alive(pid, start) {
			_ = procs.Kill(-pid)
			_ = procs.Kill(pid)
		}
	}
	err := joined(l.killMarked(), l.clean())
	for _, id := range segmentsOf(l.processes) {
		l.shm[id] = true
	}
	for id := range l.shm {
		err = joined(err, removeShm(id))
	}
	return joined(err, remove(l.scratch))
}

// killMarked kills what carries the mark of the scratch folder, again and again
// until two looks in a row find nothing: a process that was just being forked
// carries no mark yet. It puts them on the list, as they may have made shared
// memory.
func (l *list) killMarked() error {
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for quiet := 0; quiet < 2; {
		found, err := marked(func(dir string, _ bool) bool { return dir == l.scratch })
		if err != nil {
			return err
		}
		quiet++
		for _, p := range found {
			quiet = 0
			l.processes[p.PID] = 0
			if err := procs.Kill(p.PID); err != nil {
				return fmt.Errorf("kill process %d: %w", p.PID, err)
			}
		}
		select {
		case <-deadline.C:
			return errors.New("kill the trial's processes: some are still there after 10s")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// Leftover is a process, a folder or something else (a container) that outlived
// its seatrial.
type Leftover struct {
	PID     int    // zero for anything but a process
	Other   string // what it is, when it is neither process nor folder
	Trial   string // the trial's id, where the process still tells it
	Scratch string // the scratch folder it belongs to
	Nobodys bool   // it belongs to no trial, and none needs it
	cleaner string // who removes it, when it is neither process nor folder
}

// String is the leftover in a few words.
func (l Leftover) String() string {
	switch {
	case l.Nobodys:
		return l.Other
	case l.Other != "":
		return l.Other + " of trial " + l.Trial
	}
	if l.PID == 0 {
		return "folder " + l.Scratch
	}
	if l.Trial == "" {
		return fmt.Sprintf("process %d of %s", l.PID, l.Scratch)
	}
	return fmt.Sprintf("process %d of trial %s", l.PID, l.Trial)
}

// marked finds the living processes that belong to a scratch folder for which
// want is true: they carry it as their mark, or only work in it.
func marked(want func(scratch string, carried bool) bool) ([]Leftover, error) {
	all, err := procs.List()
	if err != nil {
		return nil, err
	}
	var found []Leftover
	for _, p := range all {
		if p.Dead() || p.PID == os.Getpid() {
			continue
		}
		scratch, carried := procs.Variable(p.PID, ScratchEnv)
		if !carried {
			scratch = scratchOf(procs.WorkingDir(p.PID))
		}
		if scratch == "" || !want(scratch, carried) {
			continue
		}
		trial, _ := procs.Variable(p.PID, TrialEnv)
		found = append(found, Leftover{PID: p.PID, Trial: trial, Scratch: scratch})
	}
	return found, nil
}

// scratchOf is the scratch folder that dir lies in; empty when there is none.
func scratchOf(dir string) string {
	for ; len(dir) > 1; dir = filepath.Dir(dir) {
		if strings.HasPrefix(filepath.Base(dir), prefix) {
			return dir
		}
	}
	return ""
}
