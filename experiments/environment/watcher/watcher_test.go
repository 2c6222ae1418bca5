package watcher

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/procs"
	"github.com/seatrial/seatrial/experiments/environment/reexec"
)

func TestMain(m *testing.M) {
	reexec.Hook()
	goleak.VerifyTestMain(m)
}

// child starts a shell in a group of its own. It is waited for in the
// background, so that killed it is no zombie.
func child(t *testing.T, dir string, env []string, script string) int {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir, cmd.Env = dir, append(env, "PATH="+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = procs.Kill(-cmd.Process.Pid); <-done })
	return cmd.Process.Pid
}

func gone(t *testing.T, what string, pid int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); procs.Alive(pid, 0); {
		if time.Now().After(deadline) {
			t.Errorf("%s is still there", what)
			return
		}
	}
}

func start(t *testing.T) *Watcher {
	t.Helper()
	w, err := Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(w.Close(), w.Close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestTheEndOfThePipeEndsEverything(t *testing.T) {
	w := start(t)
	recorded := child(t, "/", nil, "kill -STOP $$")
	if err := w.Add(recorded); err != nil {
		t.Fatal(err)
	}
	forgotten := child(t, "/", nil, "sleep 60")
	if err := errors.Join(w.Add(forgotten), w.Forget(forgotten)); err != nil {
		t.Fatal(err)
	}
	marked := child(t, "/", w.Marks("t1"), "sleep 60 & wait")
	inside := filepath.Join(w.Scratch(), "data")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	working := child(t, inside, nil, "exec sleep 60")
	stranger := child(t, "/", []string{ScratchEnv + "=" + w.Scratch() + "-not"}, "sleep 60")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, "the recorded process, stopped", recorded)
	gone(t, "the marked process", marked)
	gone(t, "the process that works in the scratch folder", working)
	for what, pid := range map[string]int{"forgotten": forgotten, "stranger": stranger} {
		if !procs.Alive(pid, 0) {
			t.Errorf("the %s process was killed", what)
		}
	}
	if _, err := os.Stat(w.Scratch()); !os.IsNotExist(err) {
		t.Error("the scratch folder is still there:", err)
	}
	if err := w.Add(1234); err == nil {
		t.Error("a closed watcher takes orders")
	}
}

func TestAPidUsedAgainIsSpared(t *testing.T) {
	pid := child(t, "/", nil, "sleep 60")
	p, err := procs.Get(pid)
	if err != nil || p.Start == 0 {
		t.Skip("no start times here:", err)
	}
	l := newList(filepath.Join(t.TempDir(), prefix+"x"))
	l.apply(order{Op: "add", PID: pid, Start: p.Start - 1})
	if err := l.clear(); err != nil {
		t.Fatal(err)
	}
	if !procs.Alive(pid, p.Start) {
		t.Error("a process with another start time was killed")
	}
}

// A process that nobody has told of yet may have made shared memory all the same.
func TestMarkedProcessesAreNoted(t *testing.T) {
	l := newList(filepath.Join(t.TempDir(), prefix+"x"))
	pid := child(t, "/", []string{ScratchEnv + "=" + l.scratch}, "exec sleep 60")
	if err := l.clear(); err != nil {
		t.Fatal(err)
	}
	gone(t, "the marked process", pid)
	if _, noted := l.processes[pid]; !noted {
		t.Errorf("whose shared memory is to be removed: %v, and not %d", l.processes, pid)
	}
}

func TestTheWatcherOutlivesSignalsAndItsOwnDeathIsSeen(t *testing.T) {
	w := start(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := syscall.Kill(w.PID(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Add(os.Getpid() + 1<<21); err != nil {
		t.Error("the watcher is gone:", err)
	}
	p, err := procs.Get(w.PID())
	if err != nil || p.Group != w.PID() {
		t.Errorf("the watcher is in group %d, %v; want its own", p.Group, err)
	}
	other, err := Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(other.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the watcher was killed, and Close says %v", err)
	}
	if _, err := os.Stat(other.Scratch()); !os.IsNotExist(err) {
		t.Error("its scratch folder is still there:", err)
	}
}

func TestReap(t *testing.T) {
	old := grace
	grace = 0
	defer func() { grace = old }()
	parent := t.TempDir()
	living, err := Start(t.Context(), parent)
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	ours := child(t, "/", living.Marks("alive"), "sleep 60")
	dead := filepath.Join(parent, prefix+"dead")
	if err := errors.Join(os.Mkdir(dead, 0o700), os.WriteFile(filepath.Join(dead, ownerFile), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(parent, prefix+"looks-like-one") // without an owner it is not ours
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	visitor := child(t, other, nil, "exec sleep 60")
	left := child(t, "/", []string{TrialEnv + "=t9", ScratchEnv + "=" + dead}, "sleep 60")
	orphan := child(t, "/", []string{ScratchEnv + "=" + filepath.Join(parent, prefix+"vanished")}, "sleep 60")
	here, err := find(t.Context(), parent)
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(here, parent); !strings.Contains(got, "of trial t9") || !strings.Contains(got, "folder "+dead) {
		t.Errorf("found %s", got)
	}
	found, err := reap(context.Background(), parent)
	if err != nil || len(found) < 2 {
		t.Error(found, err)
	}
	gone(t, "the leftover", left)
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Error("the folder is still there:", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("another's folder was removed:", err)
	}
	gone(t, "the process whose folder is gone", orphan)
	if !procs.Alive(visitor, 0) {
		t.Error("a process that works in another's folder was killed")
	}
	if !procs.Alive(ours, 0) {
		t.Error("a process of a living trial was killed")
	}
	if again, err := find(t.Context(), parent); err != nil || strings.Contains(describe(again, parent), "dead") {
		t.Error("found again:", again, err)
	}
}

func describe(found []Leftover, parent string) string {
	var all []string
	for _, l := range found {
		if strings.HasPrefix(l.Scratch, parent) {
			all = append(all, l.String())
		}
	}
	return strings.Join(all, ", ")
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"op":"add","pid":12,"start":4}`))
	f.Add([]byte(`{"op":"forget","shm":7,"cleaner":"docker","env":{"A":"b"}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		o, err := decode(line)
		if err == nil && (o.PID < 0 || o.PID == 1) {
			t.Errorf("pid %d was accepted", o.PID)
		}
		l := newList("/tmp/seatrial-x")
		if err == nil {
			l.apply(o)
		}
		for pid := range l.processes {
			if pid <= 1 {
				t.Errorf("process %d is to be killed", pid)
			}
		}
	})
}
