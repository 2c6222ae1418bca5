package agent_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/tcptest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// A client that stopped reading and a latency toxic: removing the toxic wedges
// Toxiproxy's API (it answers 503 after 25 s, and so does everything after it).
func TestWedgeReplacesTheAgent(t *testing.T) {
	dependency := pour(t)
	a, rec := start(t, agent.Config{Trial: "t1", Proxies: []agent.ProxyConfig{
		{Name: "db", Kind: "tcp", Listen: "127.0.0.1:0", Upstream: dependency},
	}})
	agent.SetWedged(a, time.Second)
	d := a.Dependency("db")
	before := a.Handshake()
	toxic := faults.Toxic{
		Name: "slow", Type: "latency", Stream: "downstream", Toxicity: 1, Attributes: map[string]any{"latency": 10},
	}
	if err := d.AddToxic(t.Context(), toxic); err != nil {
		t.Fatal(err)
	}
	reader := dial(t, d.ProxyAddress())
	waitFor(t, func() bool { // until nothing moves any more: its buffers are full
		seen := lastTally(rec, "db").DownBytes
		return seen > 1<<20 && still(t, rec, seen)
	})
	began := time.Now()
	if err := d.RemoveToxic(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	t.Logf("removing the toxic took %v", time.Since(began))
	var reasons []string
	for _, r := range journal.Of[journal.AgentReplaced](rec) {
		reasons = append(reasons, r.Reason)
	}
	if len(reasons) != 1 || !strings.Contains(reasons[0], "did not answer within 1s") {
		t.Errorf("replacements: %q", reasons)
	}
	after := a.Handshake()
	if after.PID == before.PID {
		t.Error("the process is the same")
	}
	if diff := cmp.Diff(before.Proxies, after.Proxies); diff != "" {
		t.Errorf("addresses: %s", diff)
	}
	reader.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, reader); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the old connection was not cut")
	}
	if _, err := dial(t, d.ProxyAddress()).Read(make([]byte, 1)); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	flush(t, a)
}

// still reports whether the tally is the same a moment later.
func still(t *testing.T, rec *journal.Memory, seen uint64) bool {
	t.Helper()
	<-time.After(300 * time.Millisecond)
	return lastTally(rec, "db").DownBytes == seen
}

// pour is a dependency that sends as much as it can on every connection.
func pour(t *testing.T) string {
	t.Helper()
	return tcptest.Serve(t, func(_ int, c *net.TCPConn) {
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
}

// A process that dies by itself is replaced too.
func TestDeadAgentIsReplaced(t *testing.T) {
	a, rec := start(t, stubConfig())
	before := a.Handshake()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return a.Handshake().PID != before.PID })
	ping(t, a.Dependency("payments").ProxyAddress())
	flush(t, a)
	n := 0
	for range journal.Of[journal.AgentReplaced](rec) {
		n++
	}
	if n != 1 {
		t.Errorf("%d replacements recorded, want 1", n)
	}
}
