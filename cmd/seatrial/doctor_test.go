package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/environment/procs"
)

func TestDoctor(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	v := y.run("doctor")
	code := v.wait()
	said := v.out.String()
	for _, line := range []string{
		`✓ go +go1\.\d+.* at /`, `[✓!] postgres +(\d+\.\d+ at /|no server binaries here; they are fetched once)`,
		`[✓!] redis +(\d+\.\d+\.\d+ at /|no redis-server on the PATH; miniredis takes its place)`,
		`✓ proc +/proc can be read`, `[✓!] open files +up to \d+`, `✓ scratch +` + y.tmp + ` can be written`,
		`[✓!] containers +(an engine answers|(no|the) container engine )`,
		`[✓✗] leftovers +(none|left behind, remove with --reap: )`,
	} {
		if !regexp.MustCompile(`(?m)^` + line).MatchString(said) {
			t.Errorf("no line is like %s:\n%s", line, said)
		}
	}
	// Others' trials may have left something on this machine.
	want := experiments.ExitPassed
	if strings.Contains(said, "✗") {
		want = experiments.ExitError
	}
	if code != want {
		t.Errorf("exit code %d, want %d:\n%s%s", code, want, said, v.errors.String())
	}
	y.nothingLeft()
}

// What is left when seatrial and its watcher are both killed is found and
// removed, and a trial that goes on beside it is left alone. It has no other test
// beside it: one that reaps would take what this one leaves, as it takes what any
// dead trial on the machine has left.
func TestReap(t *testing.T) {
	changes := []string{ownEnv, "env: {MODE: orphan, ", "start_within: 10s", "start_within: 60s"}
	if _, ok, err := postgres.Find(t.Context(), ""); err == nil && ok {
		changes = append(changes, "dependencies:", "dependencies:\n  db: {kind: postgres}")
	}
	y := newYard(t, changes...)
	dead := y.start("run", "dip")
	scratch := y.scratchBesides()
	orphan := y.marked("sleep 300")
	// Its folder is left alone for its first two seconds.
	<-time.After(time.Until(since(t, scratch).Add(2500 * time.Millisecond)))
	watcher := y.marked("SEATRIAL_ROLE=watcher")
	y.must(syscall.Kill(watcher, syscall.SIGKILL))
	dead.signal(syscall.SIGKILL)
	dead.wait()

	// The same folder for temporary files, another subject.
	beside := newYard(t)
	beside.must(os.RemoveAll(beside.tmp))
	beside.tmp = y.tmp
	alive := beside.start("run", "dip", "--attempts=1")
	alive.until("dip/prices: steady")
	living := y.scratchBesides(scratch)

	found := y.run("doctor")
	if code := found.wait(); code != experiments.ExitError {
		t.Errorf("exit code %d, want %d", code, experiments.ExitError)
	}
	said := found.out.String()
	if !names(said, scratch, living) || !strings.Contains(said, "process ") {
		t.Errorf("doctor said:\n%s", said)
	}
	if !procs.Alive(orphan, 0) {
		t.Error("doctor without --reap has killed a process")
	}
	reaped := y.run("doctor", "--reap")
	if code := reaped.wait(); code != experiments.ExitPassed {
		t.Errorf("exit code %d, want %d:\n%s%s", code, experiments.ExitPassed, reaped.out.String(), reaped.errors.String())
	}
	said = reaped.out.String()
	if !names(said, scratch, living) || !strings.Contains(said, "removed: ") {
		t.Errorf("doctor --reap said:\n%s", said)
	}
	if _, err := os.Stat(scratch); !os.IsNotExist(err) || procs.Alive(orphan, 0) {
		t.Error("the killed trial's folder or its process is still there")
	}
	if _, err := os.Stat(living); err != nil {
		t.Error("the living trial's folder:", err)
	}
	if code := alive.wait(); code != experiments.ExitPassed && code != experiments.ExitInconclusive {
		t.Errorf("the trial beside it exited with %d:\n%s%s", code, alive.out.String(), alive.errors.String())
	}
	y.nothingLeft()
}

// names reports whether what doctor said names the dead trial's folder, and not
// the living one's.
func names(said, dead, living string) bool {
	return strings.Contains(said, "folder "+dead) && !strings.Contains(said, living)
}

// scratchBesides waits for a scratch folder in the yard that is none of these.
func (y *yard) scratchBesides(others ...string) (scratch string) {
	y.t.Helper()
	y.await("a scratch folder", func() bool {
		found, err := filepath.Glob(filepath.Join(y.tmp, "seatrial-trial-*"))
		y.must(err)
		for _, dir := range found {
			if len(others) == 0 || dir != others[0] {
				scratch = dir
			}
		}
		return scratch != ""
	})
	return scratch
}

// marked waits for a process of the yard whose environment or command line
// holds a text.
func (y *yard) marked(text string) (pid int) {
	y.t.Helper()
	y.await("a process with "+text, func() bool {
		found, err := markedProcesses(y.tmp)
		y.must(err)
		for id, about := range found {
			if strings.Contains(about, text) {
				pid = id
			}
		}
		return pid != 0
	})
	return pid
}

func (y *yard) await(what string, there func() bool) {
	y.t.Helper()
	ctx, cancel := context.WithTimeout(y.t.Context(), 20*time.Second)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !there() {
		select {
		case <-look.C:
		case <-ctx.Done():
			y.t.Fatalf("waited 20s for %s", what)
		}
	}
}

// since is when a scratch folder was taken.
func since(t *testing.T, scratch string) time.Time {
	t.Helper()
	info, err := os.Stat(filepath.Join(scratch, "owner"))
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}
