package suites_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// user is a module of its own that uses seatrial: a copy of testdata/user.
type user struct {
	dir  string
	temp string // its processes' TMPDIR
}

// newUser copies testdata/user into a module that requires what this one does,
// and this one.
func newUser(t *testing.T) *user {
	t.Helper()
	if testing.Short() {
		t.Skip("runs go test in a module of its own")
	}
	u := &user{dir: t.TempDir(), temp: shortTemp(t)}
	if err := os.CopyFS(u.dir, os.DirFS("../testdata/user")); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(moduleRoot)
	if err != nil {
		t.Fatal(err)
	}
	mod := string(read(t, "../go.mod"))
	mod = strings.Replace(mod, "module github.com/seatrial/seatrial", "module example.com/prices", 1) +
		"\nrequire github.com/seatrial/seatrial v0.0.0\nreplace github.com/seatrial/seatrial => " + root + "\n"
	u.write(t, "go.mod", mod)
	u.write(t, "go.sum", string(read(t, "../go.sum")))
	return u
}

// shortTemp is a temporary folder that trials take as theirs: its name is
// short, so that sockets fit in, and every user may pass.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "user")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (u *user) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// edit replaces what must be there.
func (u *user) edit(t *testing.T, name, from, to string) {
	t.Helper()
	text := string(read(t, filepath.Join(u.dir, name)))
	if !strings.Contains(text, from) {
		t.Fatalf("%s has no %q to be replaced", name, from)
	}
	u.write(t, name, strings.ReplaceAll(text, from, to))
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// command is a command in the user's module, as the leader of a group of its
// own. Flags that this test was given reach it not.
func (u *user) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = u.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "TMPDIR="+u.temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// built is the user's test binary, for tests that do not care how it is made.
var built struct {
	sync.Once
	file string
	err  error
}

// userBinary builds the user's tests, once.
func userBinary(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		u := newUser(t)
		u.write(t, "more_test.go", moreTests)
		dir, err := os.MkdirTemp("", "user-test-")
		if built.err = err; err != nil {
			return
		}
		built.file = filepath.Join(dir, "prices.test")
		run(t, u.command(t, "go", "test", "-c", "-o", built.file)).wants(t, true)
	})
	if built.err != nil || built.file == "" {
		t.Fatal("the user's tests could not be built: ", built.err)
	}
	return built.file
}

// TestMain removes what the tests have built.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.file != "" {
		_ = os.RemoveAll(filepath.Dir(built.file))
	}
	os.Exit(code)
}

// moreTests are two parallel trials and a TestMain of the user's own.
const moreTests = `package prices_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/seatrial/seatrial/suites"
)

func TestMain(m *testing.M) {
	fmt.Println("a TestMain of the user's own")
	os.Exit(m.Run())
}

func TestA(t *testing.T) { t.Parallel(); suites.Run(t, "seatrial.yaml", suites.Only("rates-slow")) }
func TestB(t *testing.T) { t.Parallel(); suites.Run(t, "seatrial.yaml", suites.Only("rates-slow"), suites.Seed(7)) }
`

// binary runs the user's test binary in the user's folder, as go test does.
func (u *user) binary(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, u.command(t, userBinary(t), args...))
}

// result is what a command printed and whether it succeeded.
type result struct {
	out    string
	passed bool
	took   time.Duration
}

// test runs go test in the module.
func (u *user) test(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, u.command(t, "go", append([]string{"test"}, append(args, ".")...)...))
}

func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	began := time.Now()
	out, err := cmd.CombinedOutput()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatalf("run %v: %v", cmd.Args, err)
	}
	r := result{string(out), err == nil, time.Since(began)}
	t.Logf("%v: passed %v in %v", cmd.Args[1:], r.passed, r.took.Round(100*time.Millisecond))
	return r
}

// wants checks how it ended and what it printed.
func (r result) wants(t *testing.T, passed bool, patterns ...string) {
	t.Helper()
	if r.passed != passed {
		t.Errorf("passed is %v, want %v", r.passed, passed)
	}
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(r.out) {
			t.Errorf("nothing matches %q", p)
		}
	}
	if t.Failed() {
		t.Fatalf("it printed:\n%s", r.out)
	}
}

// lacks checks what it did not print.
func (r result) lacks(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(r.out, text) {
			t.Errorf("%q was printed:\n%s", text, r.out)
		}
	}
}

// trials counts the folders of trials.
func (u *user) trials(t *testing.T) int {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(u.dir, "runs", "*", "trial.json"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range found {
		if filepath.Base(filepath.Dir(f)) != "latest" {
			n++
		}
	}
	return n
}

func TestUserIsNeverAnsweredFromTheCache(t *testing.T) {
	u := newUser(t)
	args := []string{"-run", "TestSeaTrial/rates-slow"}
	for range 2 {
		r := u.test(t, args...)
		r.wants(t, true, `ok\s+example.com/prices`)
		r.lacks(t, "(cached)")
	}
	if n := u.trials(t); n != 2 {
		t.Errorf("%d trials were made, want 2", n)
	}
	u.edit(t, "cmd/prices/main.go", patient, impatient)
	u.test(t, args...).wants(t, false,
		`--- FAIL: TestSeaTrial/rates-slow/success`,
		`success is violated: .*99 %`,
		`success_ratio .* \(bound ≥ 99%\)`,
		`journal: .*/rates-slow/[23]/journal\.jsonl`,
		`the same again: seatrial run rates-slow -f .*seatrial\.yaml --seed \d+`)
}

// What is not a trial is cached here: the test above would otherwise pass
// whatever suites did.
func TestUserIsAnsweredFromTheCacheWithoutATrial(t *testing.T) {
	u := newUser(t)
	if err := os.Mkdir(filepath.Join(u.dir, "other"), 0o700); err != nil {
		t.Fatal(err)
	}
	u.write(t, "other/other_test.go", "package other\n\nimport \"testing\"\n\nfunc TestOther(*testing.T) {}\n")
	for _, want := range []string{`ok\s+example.com/prices/other`, `\(cached\)`} {
		run(t, u.command(t, "go", "test", "./other")).wants(t, true, want)
	}
}

// Timeouts of the service's client: the impatient one gives up during the fault
// of rates-slow.
const (
	patient   = "Timeout: 500 * time.Millisecond"
	impatient = "Timeout: 100 * time.Millisecond"
)

func TestUserTimeoutTooNear(t *testing.T) {
	u := newUser(t)
	for name, run := range map[string]string{"plain": "TestSeaTrial", "ginkgo": "TestSuite", "parallel": "Test[AB]"} {
		t.Run(name, func(t *testing.T) {
			u.binary(t, "-test.timeout", "48s", "-test.run", run).wants(t, false,
				`deadline is \d+s away and the trial of prices needs \S+: run go test with -timeout \dm or more`)
		})
	}
	if n := u.trials(t); n > 1 { // one of the parallel ones has the time
		t.Errorf("%d trials were begun", n)
	}
}

func TestUserFilters(t *testing.T) {
	u := newUser(t)
	for name, args := range map[string][]string{
		"run":   {"-test.run", "TestSeaTrial/rates-down/deadline"},
		"label": {"-test.run", "TestSuite", "-ginkgo.label-filter", "own && !short"},
		"focus": {"-test.run", "TestSuite", "-ginkgo.focus", "rates-down deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			// The time is enough for one experiment and not for both.
			// Whether it passes is not the question here.
			u.binary(t, append(args, "-test.timeout", "48s")...).lacks(t, "run go test with -timeout")
			dirs, err := filepath.Glob(filepath.Join(u.dir, "runs", "latest", "rates-*"))
			if err != nil || len(dirs) != 1 || filepath.Base(dirs[0]) != "rates-down" {
				t.Errorf("tried were %v (%v), want rates-down alone", dirs, err)
			}
		})
	}
}

// TestUserFindings tries with a TestMain of the user's own: importing suites is
// all that its hook needs.
func TestUserFindings(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		u := newUser(t)
		u.write(t, "experiments/unmet.yaml", `version: 1
name: unmet
title: A fault that no request meets
labels: [own]
replicas: 1
steady_state: {for: 1s}
load: {routes: [items]}
method: [{name: slow, for: 500ms, on: rates, fault: {latency: {latency: 50ms}}}]
recovery: 1200ms
settle: 100ms
expect: [success]
`)
		u.binary(t, "-test.v", "-test.run", "TestSeaTrial/(rates-slow|unmet)").wants(t, false,
			`a TestMain of the user's own`,
			`--- PASS: TestSeaTrial/rates-slow/success`,
			`--- SKIP: TestSeaTrial/rates-slow/ledger`,
			`--- PASS: TestSeaTrial/rates-slow `,
			`--- FAIL: TestSeaTrial/unmet `,
			`unmet inconclusive: .*not exercised`,
			`journal: .*/unmet/[1-3]/journal\.jsonl`)
	})
	t.Run("ginkgo", func(t *testing.T) {
		u := newUser(t)
		u.edit(t, "cmd/prices/main.go", patient, impatient)
		u.binary(t, "-test.run", "TestSuite", "-ginkgo.v", "-ginkgo.no-color", "-ginkgo.skip", "rates-down").wants(t, false,
			`\[FAIL\] prices rates-slow \[It\] success: `,
			`success is violated: .*99 %`,
			`journal: .*/rates-slow/[23]/journal\.jsonl`,
			`the same again: seatrial run rates-slow`,
			`prices rates-slow comes to a verdict`,
			`[1-9] Skipped`)
	})
}

// TestUserParallel has two trials in parallel tests: they take turns.
func TestUserParallel(t *testing.T) {
	u := newUser(t)
	u.binary(t, "-test.v", "-test.parallel", "2", "-test.run", "Test[AB]").wants(t, true,
		`PASS: TestA/rates-slow/success`, `PASS: TestB/rates-slow/success`, `its seed was 7`)
}

func TestUserInterrupted(t *testing.T) {
	interrupt := func(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	kill := func(cmd *exec.Cmd) error { return cmd.Process.Kill() }
	for name, c := range map[string]struct {
		args []string // of the test binary; none: go test
		end  func(*exec.Cmd) error
		says string
	}{
		"SIGINT of go test": {nil, interrupt, "interrupted"},
		"SIGINT in Ginkgo":  {[]string{"-test.run", "TestSuite"}, interrupt, "[INTERRUPTED]"},
		"SIGKILL":           {[]string{"-test.run", "TestSeaTrial"}, kill, ""},
		"SIGKILL in Ginkgo": {[]string{"-test.run", "TestSuite"}, kill, ""},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			cmd := u.command(t, "go", "test", "-v", "-run", "TestSeaTrial")
			if c.args != nil {
				cmd = u.command(t, userBinary(t), append(c.args, "-ginkgo.no-color")...)
			}
			out := u.startAndMeet(t, cmd)
			if err := c.end(cmd); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the interrupted test passed")
			}
			if !strings.Contains(out.String(), c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, out.String())
			}
			u.nothingLeft(t)
		})
	}
}

// startAndMeet starts a trial and returns when its service is up.
func (u *user) startAndMeet(t *testing.T, cmd *exec.Cmd) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	u.until(t, "the service is up", func() bool {
		if len(u.processes(t)) == 0 {
			t.Fatalf("it ended before it was interrupted:\n%s", out.String())
		}
		return strings.Contains(strings.Join(u.processes(t), "\n"), "RATES_URL=")
	})
	return &out
}

// processes are the command lines and environments of the processes that were
// started with this user's folder for temporary files.
func (u *user) processes(t *testing.T) []string {
	t.Helper()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("no /proc on this machine")
	}
	var found []string
	for _, d := range dirs {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		env, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "environ"))
		line, _ := os.ReadFile(filepath.Join("/proc", d.Name(), "cmdline"))
		if bytes.Contains(env, []byte(u.temp)) || bytes.Contains(line, []byte(u.temp)) {
			found = append(found, strings.ReplaceAll(string(line)+" "+string(env), "\x00", " "))
		}
	}
	return found
}

// nothingLeft waits until no process and no file of a trial is left.
func (u *user) nothingLeft(t *testing.T) {
	t.Helper()
	u.until(t, "nothing is left", func() bool {
		files, err := filepath.Glob(filepath.Join(u.temp, "seatrial*"))
		return err == nil && len(files) == 0 && len(u.processes(t)) == 0
	})
}

func (u *user) until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(60 * time.Second); !done(); <-tick.C {
		if time.Now().After(end) {
			files, _ := filepath.Glob(filepath.Join(u.temp, "*"))
			t.Fatalf("waited a minute until %s; there are %v and %v", what, files, u.processes(t))
		}
	}
}

// TestUserTurns has the trials of several processes take turns: while another
// has the machine, a deadline that leaves no time to wait ends the wait.
func TestUserTurns(t *testing.T) {
	u := newUser(t)
	other := flock.New(u.temp, flock.SetFlag(os.O_RDONLY))
	if ok, err := other.TryLock(); !ok || err != nil {
		t.Fatalf("TryLock = %v, %v", ok, err)
	}
	defer other.Close()
	for name, only := range map[string]string{"plain": "TestSeaTrial/rates-down", "ginkgo": "TestSuite"} {
		t.Run(name, func(t *testing.T) {
			u.binary(t, "-test.timeout", "48s", "-test.run", only, "-ginkgo.label-filter", "!short", "-ginkgo.no-color").
				wants(t, false,
					`preparing: waits for another trial`,
					`waiting longer would leave too little time before the deadline`)
		})
	}
}

// TestUserOnceAmongProcesses has the processes of ginkgo -p try once.
func TestUserOnceAmongProcesses(t *testing.T) {
	u := newUser(t)
	u.binary(t, "-test.v", "-test.run", "TestSeaTrial", "-ginkgo.parallel.total", "3", "-ginkgo.parallel.process", "2").
		wants(t, true, `this is process 2 of ginkgo's 3; the first one tries seatrial.yaml`, `SKIP: TestSeaTrial`)
	if n := u.trials(t); n != 0 {
		t.Errorf("%d trials were made, want none", n)
	}
}
