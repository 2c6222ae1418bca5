// Package watcher cleans up when seatrial itself dies. A small process in a
// session of its own holds a pipe from seatrial and a list of what must not
// outlive it. At the end of the pipe, however it came about, it kills what is
// left and removes what was written.
package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/seatrial/seatrial/experiments/environment/procs"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
)

// The environment variables that mark every process of a trial. A process
// that overwrites its environment (PostgreSQL, Redis) works in a folder under
// the scratch folder instead.
const (
	// TrialEnv holds the trial's id.
	TrialEnv = "SEATRIAL_TRIAL"
	// ScratchEnv holds the scratch folder, which no two seatrials share.
	ScratchEnv = "SEATRIAL_SCRATCH"
)

// prefix begins the name of every scratch folder; ownerFile in it is locked as
// long as the seatrial that made it lives.
const (
	prefix    = "seatrial-trial-"
	ownerFile = "owner"
)

// order is one line on the pipe.
type order struct {
	Op    string `json:"op"` // add or forget
	PID   int    `json:"pid,omitempty"`
	Start uint64 `json:"start,omitempty"`
	// Shm is a System V shared memory segment, which a killed PostgreSQL
	// leaves behind.
	Shm int `json:"shm,omitempty"`
	// Cleaner is the name of one to call at the end, with these environment
	// variables.
	Cleaner string            `json:"cleaner,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
}

// Watcher is a watcher at work, seen from seatrial.
type Watcher struct {
	scratch string
	owner   *flock.Flock

	mu   sync.Mutex
	pipe *os.File
	cmd  *exec.Cmd
	err  error // the first that a write to the pipe returned
}

// Start makes a new scratch folder in parent (the system's folder for
// temporary files when empty) and starts a watcher for it. All the rest of a
// trial is written below [Watcher.Scratch]. The watcher outlives the context.
func Start(ctx context.Context, parent string) (*Watcher, error) {
	if parent == "" {
		parent = tempDir()
	}
	scratch, err := os.MkdirTemp(parent, prefix)
	if err != nil {
		return nil, fmt.Errorf("make a scratch folder: %w; set TMPDIR to a folder that can be written", err)
	}
	w := &Watcher{scratch: scratch, owner: flock.New(filepath.Join(scratch, ownerFile))}
	if err := w.start(ctx); err != nil {
		_ = w.owner.Unlock()
		return nil, fmt.Errorf("start the watcher: %w", joined(err, os.RemoveAll(scratch)))
	}
	return w, nil
}

func (w *Watcher) start(ctx context.Context) error {
	// Servers run as other users must reach their own folders in it.
	if err := os.Chmod(w.scratch, 0o711); err != nil { //nolint:gosec // it lists nothing to others
		return err
	}
	if ok, err := w.owner.TryLock(); err != nil || !ok {
		return fmt.Errorf("lock %s: %w", w.owner.Path(), err)
	}
	cmd, err := reexec.Command(context.WithoutCancel(ctx), role, w.scratch)
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	said, err := cmd.StdoutPipe()
	if err != nil {
		return joined(err, write.Close())
	}
	cmd.Env = []string{reexec.Env + "=" + role, "PATH=" + os.Getenv("PATH")}
	cmd.Dir = string(filepath.Separator)
	cmd.Stdin = read
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return joined(err, write.Close())
	}
	w.pipe, w.cmd = write, cmd
	line, err := io.ReadAll(said)
	if string(line) != watching {
		return joined(fmt.Errorf("it said %q when it was to say %q", line, watching), joined(err, w.quit()))
	}
	return nil
}

// quit closes the pipe and waits for the watcher's end.
func (w *Watcher) quit() error {
	_ = w.pipe.Close()
	w.pipe = nil
	return w.cmd.Wait()
}

// tempDir is where scratch folders are made: short enough for Unix sockets
// below it, whose paths may have 107 bytes (103 on macOS).
func tempDir() string {
	dir := os.TempDir()
	if len(dir) > 40 || os.Geteuid() == 0 && !open(dir) {
		return "/tmp"
	}
	return dir
}

// open reports whether every user may pass through a folder: servers do not run
// as root.
func open(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}

// Scratch is the folder that holds everything the trial writes outside its
// results. It is removed by [Watcher.Close], or when seatrial dies.
func (w *Watcher) Scratch() string { return w.scratch }

// PID is the watcher's own process.
func (w *Watcher) PID() int { return w.cmd.Process.Pid }

// Marks are the environment entries that every child process is given.
func (w *Watcher) Marks(trial string) []string {
	return []string{TrialEnv + "=" + trial, ScratchEnv + "=" + w.scratch}
}

// Add has a process, and the group that it leads, killed when seatrial dies.
func (w *Watcher) Add(pid int) error {
	var start uint64
	if p, err := procs.Get(pid); err == nil {
		start = p.Start
	}
	return w.send(order{Op: "add", PID: pid, Start: start})
}

// Forget takes a process that has ended off the list.
func (w *Watcher) Forget(pid int) error { return w.send(order{Op: "forget", PID: pid}) }

// AddSharedMemory has a System V shared memory segment removed.
func (w *Watcher) AddSharedMemory(id int) error { return w.send(order{Op: "add", Shm: id}) }

func (w *Watcher) send(o order) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pipe == nil {
		return fmt.Errorf("the watcher has been closed")
	}
	if _, err := w.pipe.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("tell the watcher: %w", err)
	}
	return nil
}

// Close ends the watcher: it kills what is still there, removes the scratch
// folder and exits. It is safe to call twice.
func (w *Watcher) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.pipe == nil {
		return w.err
	}
	w.err = w.quit()
	_ = w.owner.Unlock()
	if w.err != nil {
		w.err = fmt.Errorf("end the watcher: %w", w.err)
	}
	// When it was killed itself, nobody else does this.
	w.err = joined(w.err, remove(w.scratch))
	return w.err
}

// remove removes a folder to which dying processes may still be writing.
func remove(path string) error {
	deadline := time.NewTimer(2 * time.Second)
	defer deadline.Stop()
	for {
		err := os.RemoveAll(path)
		if err == nil {
			return nil
		}
		select {
		case <-deadline.C:
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func joined(a, b error) error {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	return fmt.Errorf("%w; then %w", a, b)
}
