package agent_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// TestRoundTrips has the agent make round trips to proxies that are published
// where somebody else accepts everything: what they meet is told as the service
// meets it.
func TestRoundTrips(t *testing.T) {
	up := listenFor(t, func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, 14))
		_, _ = io.WriteString(c, "+PONG\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	elsewhere := listenFor(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	a, _ := start(t, agent.Config{Trial: "t1", Proxies: []agent.ProxyConfig{
		{Name: "cache", Kind: "redis", Listen: "127.0.0.1:0", Reached: elsewhere, Upstream: up},
		{Name: "gone", Kind: "redis", Listen: "127.0.0.1:0", Reached: elsewhere, Upstream: "127.0.0.1:1"},
		{Name: "here", Kind: "redis", Listen: "127.0.0.1:0", Upstream: up},
	}})
	trip := func(name string) journal.RoundTrip {
		return a.Dependency(name).RoundTrips()(t.Context(), 300*time.Millisecond)
	}
	if a.Dependency("here").RoundTrips() != nil {
		t.Error("where nothing is published, there is a detour")
	}
	if got := trip("cache"); got.Err != "" || got.Up != 14 || got.Down != 7 || got.Dial <= 0 {
		t.Errorf("a calm one is told as %+v", got)
	}
	if got := trip("gone"); got.Err != journal.ErrEOF && got.Err != journal.ErrReset {
		t.Errorf("one to nobody behind the proxy is told as %+v", got)
	}
	for _, c := range []struct {
		fault faults.Fault
		want  string
	}{
		{&faults.Outage{}, journal.ErrRefused},
		{&faults.Reset{}, journal.ErrReset},
		{&faults.Blackhole{}, journal.ErrTimeout},
	} {
		i, err := c.fault.Inject(t.Context(), a.Dependency("cache"))
		if err != nil {
			t.Fatal(c.fault, err)
		}
		if got := trip("cache"); got.Err != c.want {
			t.Errorf("%s: told as %+v, want %s", c.fault, got, c.want)
		}
		if err := i.Revert(t.Context()); err != nil {
			t.Error(c.fault, err)
		}
	}
	if got := trip("cache"); got.Err != "" {
		t.Errorf("restored, it is told as %+v", got)
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if got := trip("cache"); got.Err != journal.ErrOther {
		t.Errorf("without an agent: %+v", got)
	}
}

// listenFor serves connections until the test's end.
func listenFor(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}
