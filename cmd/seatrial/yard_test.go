package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// yard is where a test has seatrial try a tiny service: a folder with the
// subject, and one for temporary files that nobody else uses. What carries
// that folder's name was started by this yard's seatrial.
type yard struct {
	t      *testing.T
	dir    string // seatrial's working folder; trials are left in runs/
	tmp    string // its TMPDIR
	env    []string
	before residue // what of others' was there already
}

// tinySubject is a good service with one dependency. PLACE stands for the
// folder with the tests' services.
const tinySubject = `version: 1
name: tiny
service:
  dir: PLACE/tiny
  build: {package: .}
  replicas: 1
  start_within: 10s
  env: {ADDR: "127.0.0.1:${port.http}", PRICES: "${prices.url}"}
  readiness: {path: /readyz}
  balancer: {period: 100ms}
dependencies:
  prices: {kind: http}
traffic:
  rate: 200
  requests:
    - {name: hello, path: /hello}
    - {name: quote, path: /quote, uses: [prices]}
promises: {recovers_within: 1s}
`

// dip breaks the dependency for a moment.
const dip = `version: 1
name: dip
title: Prices are gone for a moment
processor: low
steady_state: {for: 1s}
method:
  - {name: gone, for: 1s, on: http, fault: outage}
recovery: 1500ms
settle: 50ms
expect:
  - success: {ratio: 0.9, during: fault}
`

// newYard makes a yard with the tiny service and the experiment dip. Changes
// are pairs of what is replaced in the subject file, and by what.
func newYard(t *testing.T, changes ...string) *yard {
	t.Helper()
	// Short, and open to every user: PostgreSQL's socket is made below it.
	tmp, err := os.MkdirTemp("/tmp", "sea")
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{t: t, dir: t.TempDir(), tmp: tmp}
	y.must(os.Chmod(tmp, 0o755))
	place, err := filepath.Abs("testdata")
	y.must(err)
	subject := tinySubject
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(subject, changes[i]) {
			t.Fatalf("the subject has no %q to change", changes[i])
		}
		subject = strings.ReplaceAll(subject, changes[i], changes[i+1])
	}
	y.file("seatrial.yaml", strings.ReplaceAll(subject, "PLACE", place))
	y.file("experiments/dip.yaml", dip)
	y.before, err = lookForResidue(tmp, residue{})
	y.must(err)
	y.must(allMemory(y.before))
	t.Cleanup(func() {
		killAll(tmp)
		y.must(os.RemoveAll(tmp))
	})
	return y
}

func (y *yard) must(err error) {
	y.t.Helper()
	if err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) file(name, content string) {
	y.t.Helper()
	path := filepath.Join(y.dir, filepath.FromSlash(name))
	y.must(os.MkdirAll(filepath.Dir(path), 0o700))
	y.must(os.WriteFile(path, []byte(content), 0o600))
}

// spillway is what a program has printed so far.
type spillway struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes down what is printed.
func (s *spillway) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *spillway) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// voyage is one seatrial that was started.
type voyage struct {
	*yard
	cmd         *exec.Cmd
	out, errors spillway
	done        chan struct{}
}

// start starts seatrial in a group of its own, as a shell does.
func (y *yard) start(args ...string) *voyage { return y.startInto(nil, args...) }

// startInto starts seatrial with a standard output of the test's own; nil stands
// for the voyage's.
func (y *yard) startInto(stdout *os.File, args ...string) *voyage {
	y.t.Helper()
	v := &voyage{yard: y, cmd: exec.Command("seatrial", args...), done: make(chan struct{})}
	v.cmd.Dir = y.dir
	v.cmd.Env = append(append(os.Environ(), "TMPDIR="+y.tmp, "NO_COLOR=1"), y.env...)
	v.cmd.Stdout, v.cmd.Stderr = &v.out, &v.errors
	if stdout != nil {
		v.cmd.Stdout = stdout
	}
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	y.must(v.cmd.Start())
	go func() {
		defer close(v.done)
		_ = v.cmd.Wait()
	}()
	return v
}

// run runs seatrial to its end.
func (y *yard) run(args ...string) *voyage {
	y.t.Helper()
	v := y.start(args...)
	v.wait()
	return v
}

// wait waits for the end and returns the exit code, −1 after a signal.
func (v *voyage) wait() int {
	v.t.Helper()
	select {
	case <-v.done:
	case <-time.After(time.Minute):
		v.t.Fatalf("seatrial goes on after a minute:\n%s%s", v.out.String(), v.errors.String())
	}
	return v.cmd.ProcessState.ExitCode()
}

// until waits until seatrial has printed a text.
func (v *voyage) until(text string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 30*time.Second)
	defer cancel()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !strings.Contains(v.out.String()+v.errors.String(), text) {
		select {
		case <-look.C:
		case <-v.done:
			v.t.Fatalf("seatrial ended before it printed %q:\n%s%s", text, v.out.String(), v.errors.String())
		case <-ctx.Done():
			v.t.Fatalf("seatrial did not print %q:\n%s%s", text, v.out.String(), v.errors.String())
		}
	}
}

// signal sends a signal to seatrial alone.
func (v *voyage) signal(s syscall.Signal) {
	v.t.Helper()
	v.must(v.cmd.Process.Signal(s))
}

// ended holds the exit code and the printed texts, and that nothing is left.
func (v *voyage) ended(code int, texts ...string) {
	v.t.Helper()
	got := v.wait()
	printed := v.out.String() + v.errors.String()
	if got != code {
		v.t.Errorf("exit code %d, want %d:\n%s", got, code, printed)
	}
	for _, text := range texts {
		if !strings.Contains(printed, text) {
			v.t.Errorf("it did not print %q:\n%s", text, printed)
		}
	}
	v.nothingLeft()
}

// trials are the folders of all trials in the yard, in the order of their start.
func (y *yard) trials() []string {
	y.t.Helper()
	found, err := filepath.Glob(filepath.Join(y.dir, "runs", "2*"))
	y.must(err)
	return found
}

// trial reads the only trial in the yard.
func (y *yard) trial() *folder.Trial {
	y.t.Helper()
	found := y.trials()
	if len(found) != 1 {
		y.t.Fatalf("there are %d trials, want 1: %v", len(found), found)
	}
	t, err := folder.Read(found[0])
	y.must(err)
	return t
}

// reported holds that the trial's reports are there.
func (y *yard) reported(t *folder.Trial) {
	y.t.Helper()
	for _, name := range []string{folder.SummaryFile, folder.JUnitFile, folder.ReportFile} {
		info, err := os.Stat(filepath.Join(t.Dir, name))
		if err != nil || info.Size() == 0 {
			y.t.Errorf("%s was not written: %v", name, err)
		}
	}
}

// nothingLeft holds that within a few seconds nothing is left of what was
// started in the yard: no process that carries its mark or works in it, no
// folder, no listening port, no shared memory.
func (y *yard) nothingLeft() {
	y.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		left, err := lookForResidue(y.tmp, y.before)
		y.must(err)
		if len(left) == 0 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			y.t.Errorf("left behind after 5s:\n%s", strings.Join(slices.Sorted(maps.Keys(left)), "\n"))
			return
		}
	}
}
