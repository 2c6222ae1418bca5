// Package environmenttest holds backends to what package environment promises,
// so that an experiment means the same in each of them.
package environmenttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Conform starts one environment of the subject and holds it to the contract.
// The subject's service has a port "http", two replicas or more, and answers
// GET /name with its replica's name, its next version with "next " before that;
// it has migrations that can be run again. What can be asked of a dependency is
// told by the capabilities of its target.
func Conform(t *testing.T, b environment.Backend, s *subject.Subject) {
	t.Helper()
	if err := b.Prepare(t.Context(), s, nil); err != nil {
		t.Fatal("prepare:", err)
	}
	if err := b.Prepare(t.Context(), s, nil); err != nil {
		t.Fatal("prepare again:", err)
	}
	j := journal.NewMemory(journal.Header{})
	e, err := b.Start(t.Context(), s, j, environment.Options{Trial: "conform", Run: "conform-1", Next: true, Seed: 1})
	if err != nil {
		t.Fatal("start:", err)
	}
	c := &conformance{e: e, s: s, j: j}
	t.Run("targets", c.targets)
	t.Run("dependencies", c.dependencies)
	t.Run("balance", c.balance)
	t.Run("replica", c.replica)
	t.Run("versions", c.versions)
	t.Run("scale", c.scale)
	t.Run("stop", c.stop)
}

type conformance struct {
	e environment.Environment
	s *subject.Subject
	j *journal.Memory
}

// ask is what the service answers through the balancer, or directly.
func ask(ctx context.Context, base string) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/name", nil)
	if err != nil {
		return err.Error()
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (c *conformance) targets(t *testing.T) {
	var want, got []string
	for _, d := range c.s.Dependencies {
		want = append(want, d.Name+" "+d.Kind)
	}
	for i := range c.e.Replicas() {
		want = append(want, environment.ReplicaName(c.s.Name, i+1)+" replica")
	}
	for _, target := range c.e.Targets() {
		got = append(got, target.Name()+" "+target.Kind())
		same, err := c.e.Target(target.Name())
		if err != nil || same.Name() != target.Name() {
			t.Errorf("target %s is not found by its name: %v", target.Name(), err)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("targets %q, want %q", got, want)
	}
	if _, err := c.e.Target("nobody"); err == nil {
		t.Error("a target that is not there was found")
	}
	if got := c.e.Endpoint("no-port"); got != "" {
		t.Errorf("a port that is not there is reached at %s", got)
	}
}

func (c *conformance) dependencies(t *testing.T) {
	ctx := t.Context()
	for _, target := range c.e.Targets() {
		if target.Kind() == "replica" {
			continue
		}
		p, ok := target.(faults.Proxied)
		if !ok {
			t.Errorf("%s is not behind a proxy", target.Name())
			continue
		}
		err := errors.Join(p.RemoveToxic(ctx, "none"), p.SetEnabled(ctx, false), p.SetEnabled(ctx, false))
		if sql, ok := target.(faults.SQL); ok && err == nil {
			err = askSQL(ctx, sql)
		}
		if err := errors.Join(err, p.SetEnabled(ctx, true), p.SetEnabled(ctx, true)); err != nil {
			t.Errorf("%s: %v", target.Name(), err)
		}
		if err := disturb(ctx, target); err != nil {
			t.Errorf("%s: %v", target.Name(), err)
		}
	}
	if err := c.e.Flush(ctx); err != nil {
		t.Error("flush:", err)
	}
}

// disturb does to a target what its capabilities say can be done.
func disturb(ctx context.Context, target faults.Target) error {
	if r, ok := target.(faults.Restartable); ok {
		if err := r.Restart(ctx); err != nil {
			return fmt.Errorf("restart: %w", err)
		}
	}
	if s, ok := target.(faults.Signalled); ok {
		return errors.Join(s.Signal(ctx, syscall.SIGSTOP), s.Signal(ctx, syscall.SIGCONT))
	}
	return nil
}

// askSQL asks past a closed proxy.
func askSQL(ctx context.Context, target faults.SQL) error {
	conn, err := target.Admin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var super, service bool
	return conn.QueryRow(ctx, "SELECT usesuper, EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND NOT rolsuper) "+
		"FROM pg_user WHERE usename = current_user AND usesuper", target.ServiceRole()).Scan(&super, &service)
}

func (c *conformance) balance(t *testing.T) {
	seen := map[string]bool{}
	replicas := c.e.Replicas()
	for range 4 * len(replicas) {
		seen[ask(t.Context(), c.e.Endpoint("http"))] = true
	}
	for _, r := range replicas {
		if !seen[r.Name()] {
			t.Errorf("%s was never asked; answers: %v", r.Name(), seen)
		}
		if got := ask(t.Context(), r.Endpoint("http")); got != r.Name() {
			t.Errorf("%s answers %q directly", r.Name(), got)
		}
	}
}

func (c *conformance) replica(t *testing.T) {
	ctx, r := t.Context(), c.e.Replicas()[0]
	before := r.PID()
	step := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	step("deregister", r.Deregister(ctx))
	for range 4 {
		if got := ask(ctx, c.e.Endpoint("http")); got == r.Name() {
			t.Error("it is deregistered, and still asked")
		}
	}
	step("terminate", r.Terminate(ctx, 10*time.Second))
	step("wait for the exit", r.WaitExit(ctx))
	if r.PID() != 0 {
		t.Errorf("it ended, and its process is %d", r.PID())
	}
	if err := r.Signal(ctx, syscall.SIGTERM); err == nil {
		t.Error("a replica that does not run took a signal")
	}
	step("start", r.Start(ctx))
	step("register", r.Register(ctx))
	if r.PID() == 0 || r.PID() == before {
		t.Errorf("process %d before and %d after", before, r.PID())
	}
	c.balance(t)
	step("kill", r.Signal(ctx, syscall.SIGKILL))
	step("wait for the exit", r.WaitExit(ctx))
	step("restart", r.Restart(ctx))
	c.balance(t)
	var exits []string
	for e, x := range journal.Of[journal.Exited](c.j) {
		if e.On == r.Name() {
			exits = append(exits, x.Asked)
		}
	}
	if want := []string{"SIGTERM", "SIGKILL"}; !slices.Equal(exits, want) {
		t.Errorf("exits after %q in the journal, want %q", exits, want)
	}
}

func (c *conformance) versions(t *testing.T) {
	m, ok := c.e.(environment.Migrator)
	if !ok {
		t.Fatal("it does not migrate")
	}
	var group errgroup.Group
	for range 2 {
		group.Go(func() error { return m.Migrate(t.Context()) })
	}
	if err := group.Wait(); err != nil {
		t.Error("two migrators at once:", err)
	}
	r := c.e.Replicas()[0]
	for _, version := range []struct{ name, answer string }{
		{subject.NextVersion, "next " + r.Name()}, {subject.CurrentVersion, r.Name()},
	} {
		if err := errors.Join(r.Use(version.name), r.Restart(t.Context())); err != nil {
			t.Errorf("the %s version: %v", version.name, err)
		}
		if got := ask(t.Context(), r.Endpoint("http")); got != version.answer || r.Version() != version.name {
			t.Errorf("the %s version (%s) answers %q", version.name, r.Version(), got)
		}
	}
	if err := r.Use("last"); err == nil || r.Version() != subject.CurrentVersion {
		t.Errorf("a version that is not there runs as %s: %v", r.Version(), err)
	}
}

func (c *conformance) scale(t *testing.T) {
	n := len(c.e.Replicas())
	if err := c.e.Scale(t.Context(), n+1); err != nil {
		t.Fatal("one more:", err)
	}
	if got := c.e.Replicas(); len(got) != n+1 {
		t.Fatalf("%d replicas, want %d", len(got), n+1)
	}
	c.balance(t)
	if err := c.e.Scale(t.Context(), 1); err != nil {
		t.Fatal("down to one:", err)
	}
	if got := c.e.Replicas(); len(got) != 1 || got[0].Name() != environment.ReplicaName(c.s.Name, 1) {
		t.Errorf("%d replicas, want the first alone", len(got))
	}
	c.balance(t)
}

func (c *conformance) stop(t *testing.T) {
	base := c.e.Endpoint("http")
	count := func() int { return len(slices.Collect(c.j.Entries())) }
	exits := func() int { return len(slices.Collect(c.j.Entries("exited"))) }
	gone := exits()
	if err := c.e.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error("stop:", err)
	}
	if err := c.e.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error("stop again:", err)
	}
	if got := ask(t.Context(), base); !strings.Contains(got, "refused") {
		t.Errorf("the balancer still answers %q", got)
	}
	after := count()
	if exits() != gone {
		t.Error("what happened while it was taken down is in the journal")
	}
	if err := c.e.Flush(t.Context()); err == nil || count() != after {
		t.Error("it still flushes:", err)
	}
}
