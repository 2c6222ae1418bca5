package agent_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seatrial/seatrial/faults"
)

func TestHoldConnects(t *testing.T) {
	a, _ := start(t, stubConfig())
	d := a.Dependency("payments")
	pooled := dial(t, d.ProxyAddress())
	if err := d.HoldConnects(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pooled.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the pooled connection was not cut: %v", err)
	}
	for range 3 {
		c, err := net.DialTimeout("tcp", d.ProxyAddress(), 300*time.Millisecond)
		var n net.Error
		if err == nil || !errors.As(err, &n) || !n.Timeout() {
			t.Errorf("a connect did not hang: %v %v", c, err)
		}
	}
	for range 2 {
		if err := d.ReleaseConnects(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ping(t, d.ProxyAddress())
}

// Toxiproxy's reset_peer ends connections that are already open cleanly; ours
// are reset too, and end cleanly again afterwards.
func TestResetReachesPooledConnections(t *testing.T) {
	a, _ := start(t, stubConfig())
	d := a.Dependency("payments")
	pooled, spared := dial(t, d.ProxyAddress()), dial(t, d.ProxyAddress())
	say(t, pooled)
	say(t, spared)
	toxic := faults.Toxic{
		Name: "r", Type: "reset_peer", Stream: "upstream", Toxicity: 1, Attributes: map[string]any{"timeout": 0},
	}
	if err := d.AddToxic(t.Context(), toxic); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(pooled, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := pooled.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the pooled connection got %v, want a reset", err)
	}
	for range 2 {
		if err := d.RemoveToxic(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
	}
	say(t, spared)
	fmt.Fprint(spared, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if _, err := io.ReadAll(spared); err != nil {
		t.Errorf("the spared connection ended with %v, want a clean end", err)
	}
}
