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
	"syscall"
	"testing"
	"time"
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
	u := &user{dir: t.TempDir(), temp: t.TempDir()}
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
	u.edit(t, "cmd/prices/main.go", "Timeout: 500 * time.Millisecond", "Timeout: 100 * time.Millisecond")
	u.test(t, args...).wants(t, false,
		`--- FAIL: TestSeaTrial/rates-slow/success`,
		`success is violated: .*99 %`,
		`journal: .*/rates-slow/[23]/journal\.jsonl`,
		`the same again: seatrial run rates-slow -f .*seatrial\.yaml --seed \d+`)
}

// Without a trial the result is cached: the tests above would otherwise pass
// whatever suites did.
func TestUserIsAnsweredFromTheCacheWithoutATrial(t *testing.T) {
	u := newUser(t)
	args := []string{"-run", "TestSuite", "-ginkgo.focus", "tea"}
	u.edit(t, "suite_test.go", `var _ = suites.Describe("seatrial.yaml", suites.Label("own"))`, "var _ = suites.Describe")
	args = args[:2]
	u.test(t, args...).wants(t, true)
	u.test(t, args...).wants(t, true, `\(cached\)`)
}

func TestUserTimeoutTooNear(t *testing.T) {
	u := newUser(t)
	for name, run := range map[string]string{"plain": "TestSeaTrial", "ginkgo": "TestSuite"} {
		t.Run(name, func(t *testing.T) {
			u.test(t, "-timeout", "30s", "-run", run).wants(t, false,
				`deadline is \d+s away and the trial of prices needs \d+s: run go test with -timeout \dm or more`)
		})
	}
	if n := u.trials(t); n != 0 {
		t.Errorf("%d trials were begun", n)
	}
}

func TestUserFilters(t *testing.T) {
	u := newUser(t)
	u.edit(t, "cmd/prices/main.go", `"12.50"`, `"13.00"`)
	binary := filepath.Join(u.dir, "prices.test")
	run(t, u.command(t, "go", "test", "-c", "-o", binary)).wants(t, true)
	for name, args := range map[string][]string{
		"run":   {"-test.run", "TestSeaTrial/rates-down/deadline"},
		"label": {"-test.run", "TestSuite", "-ginkgo.v", "-ginkgo.label-filter", "!short && prices || !short && own"},
		"focus": {"-test.run", "TestSuite", "-ginkgo.v", "-ginkgo.focus", "rates-down deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			// The time is enough for one experiment and not for both.
			r := run(t, u.command(t, binary, append(args, "-test.v", "-test.timeout", "48s")...))
			r.wants(t, true, `rates-down`)
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
	u := newUser(t)
	u.write(t, "main_test.go", `package prices_test

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	fmt.Println("a TestMain of the user's own")
	os.Exit(m.Run())
}
`)
	u.write(t, "experiments/unmet.yaml", `version: 1
name: unmet
title: A fault that no request meets
labels: [own]
replicas: 1
steady_state: {for: 1s}
load: {routes: [items]}
method: [{name: slow, for: 1s, on: rates, fault: {latency: {latency: 50ms}}}]
recovery: 1500ms
settle: 200ms
expect: [success]
`)
	t.Run("plain", func(t *testing.T) {
		u.test(t, "-v", "-run", "TestSeaTrial/(rates-slow|unmet)").wants(t, false,
			`a TestMain of the user's own`,
			`--- PASS: TestSeaTrial/rates-slow/success`,
			`--- SKIP: TestSeaTrial/rates-slow/ledger`,
			`--- PASS: TestSeaTrial/rates-slow `,
			`--- FAIL: TestSeaTrial/unmet `,
			`unmet inconclusive: .*`,
			`journal: .*/unmet/[1-3]/journal\.jsonl`)
	})
	t.Run("ginkgo", func(t *testing.T) {
		u.edit(t, "cmd/prices/main.go", "Timeout: 500 * time.Millisecond", "Timeout: 100 * time.Millisecond")
		u.test(t, "-v", "-run", "TestSuite", "-ginkgo.v", "-ginkgo.label-filter", "short || own && !short",
			"-ginkgo.skip", "rates-down").wants(t, false,
			`\[FAIL\] prices rates-slow \[It\] success: `,
			`success is violated: .*99 %`,
			`journal: .*/rates-slow/[23]/journal\.jsonl`,
			`\[FAIL\] prices unmet \[It\] comes to a verdict`,
			`unmet inconclusive: .*`,
			`[1-9] Skipped`)
	})
}

// TestUserParallel has two trials in parallel tests: they take turns.
func TestUserParallel(t *testing.T) {
	u := newUser(t)
	u.write(t, "trial_test.go", `package prices_test

import (
	"testing"

	"github.com/seatrial/seatrial/suites"
)

func TestA(t *testing.T) { t.Parallel(); suites.Run(t, "seatrial.yaml", suites.Only("rates-slow")) }
func TestB(t *testing.T) { t.Parallel(); suites.Run(t, "seatrial.yaml", suites.Only("rates-slow"), suites.Seed(7)) }
`)
	u.test(t, "-v", "-parallel", "2", "-run", "Test[AB]").wants(t, true,
		`PASS: TestA/rates-slow/success`, `PASS: TestB/rates-slow/success`, `its seed was 7`)
	u.test(t, "-parallel", "2", "-timeout", "50s", "-run", "Test[AB]").wants(t, false, `-timeout \dm or more`)
}

func TestUserInterrupted(t *testing.T) {
	u := newUser(t)
	t.Run("SIGINT", func(t *testing.T) {
		cmd := u.command(t, "go", "test", "-v", "-run", "TestSeaTrial")
		out := u.startAndMeet(t, cmd)
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Error("the interrupted test passed")
		}
		if !strings.Contains(out.String(), "interrupted") {
			t.Errorf("it does not say that it was interrupted:\n%s", out.String())
		}
		u.nothingLeft(t)
	})
	t.Run("SIGKILL", func(t *testing.T) {
		binary := filepath.Join(u.dir, "prices.test")
		run(t, u.command(t, "go", "test", "-c", "-o", binary)).wants(t, true)
		cmd := u.command(t, binary, "-test.run", "TestSeaTrial")
		u.startAndMeet(t, cmd)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		u.nothingLeft(t)
	})
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
