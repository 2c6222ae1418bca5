package process

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/environmenttest"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/gobuild"
	"github.com/seatrial/seatrial/experiments/environment/postgres"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

func TestConform(t *testing.T) {
	if _, found, err := postgres.Find(t.Context(), ""); err != nil || !found {
		t.Skip("no PostgreSQL on this machine:", err)
	}
	environmenttest.Conform(t, backend(t), tiny())
}

// TestWithoutRedisServer has the agent host a small Redis.
func TestWithoutRedisServer(t *testing.T) {
	dir := t.TempDir()
	for _, tool := range []string{"go", "git", "gcc"} {
		if path, err := gobuild.Find("", tool); err == nil {
			if err := os.Symlink(path, filepath.Join(dir, tool)); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := backend(t)
	if err := b.Prepare(t.Context(), bare(""), nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	s := bare("")
	s.Service.Replicas = 1
	s.Service.Env["CACHE"] = "${cache.url} ${cache.host} ${cache.port} ${far.address}"
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	s.Dependencies = subject.Dependencies{
		{Name: "cache", Kind: subject.Redis}, {Name: "far", Kind: subject.TCP, Address: far.Addr().String()},
	}
	e, err := b.Start(t.Context(), s, journal.NewMemory(journal.Header{}), environment.Options{Trial: "t1"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Stop(context.Background())
	target, err := e.Target("cache")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := target.(faults.Signalled); ok {
		t.Error("a Redis in the agent takes signals")
	}
	address := target.(faults.Proxied).ProxyAddress()
	if err := fleet.PingRedis(t.Context(), address); err != nil {
		t.Error("through the proxy:", err)
	}
	c, err := net.Dial("tcp", e.(*Environment).references(false)["far.address"])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = far.(*net.TCPListener).SetDeadline(time.Now().Add(5 * time.Second))
	if conn, err := far.Accept(); err != nil {
		t.Error("tcp through the proxy:", err)
	} else {
		_ = conn.Close()
	}
	_, env := get(t, e.Replicas()[0].Endpoint("http")+"/env")
	host, port, _ := strings.Cut(address, ":")
	if want := "CACHE=redis://" + address + "/0 " + host + " " + port + " "; !strings.Contains(env, want) {
		t.Errorf("the service was given\n%s\nwant %s", env, want)
	}
}

// TestCommandAndFiles runs something that is already there, with a file.
func TestCommandAndFiles(t *testing.T) {
	b := backend(t)
	built := bare("")
	if err := b.Prepare(t.Context(), built, nil); err != nil {
		t.Fatal(err)
	}
	program := func() string {
		file, err := b.build(t.Context(), built, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	first := program()
	if err := b.Prepare(t.Context(), built, nil); err != nil || program() != first {
		t.Error("an unchanged service was kept twice:", err)
	}
	s := bare("")
	s.Service.Build = nil
	s.Service.Command = []string{"sh", "-c", `. "$1/settings"; exec "$0"`, first, "${scratch}"}
	s.Service.Files = map[string]string{"settings": "export NAME=from-$(echo ${replica.name})\n"}
	s.Service.Balancer.Mode = "http"
	e, _ := start(t, b, s)
	for _, r := range e.Replicas() {
		if _, name := get(t, r.Endpoint("http")+"/name"); name != "from-"+r.Name() {
			t.Errorf("%s answers %q", r.Name(), name)
		}
	}
	if code, name := get(t, e.Endpoint("http")+"/name"); code != 200 || !strings.HasPrefix(name, "from-tiny-") {
		t.Errorf("through the balancer: %d %q", code, name)
	}
}

func TestACancelledStartLeavesNothing(t *testing.T) {
	b := backend(t)
	s := bare("unready")
	if err := b.Prepare(t.Context(), s, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := b.Start(ctx, s, journal.NewMemory(journal.Header{}), environment.Options{Trial: "t1"}); err == nil {
		t.Fatal("it came up")
	}
	scratch := b.host.Watcher().Scratch()
	eventually(t, "nothing is left", func() bool { return len(leftovers(t, scratch)) == 0 })
	if found, err := filepath.Glob(filepath.Join(scratch, "e*", "*")); err != nil || len(found) > 0 {
		t.Error("left behind:", found, err)
	}
}

func TestAClosedBackend(t *testing.T) {
	b := &Backend{}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := b.Prepare(t.Context(), bare(""), nil); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v", err)
	}
}
