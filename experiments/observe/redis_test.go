package observe

import (
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestRoundTripWithRedis(t *testing.T) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("no redis-server on this machine")
	}
	address := nobody(t)
	_, port, _ := net.SplitHostPort(address)
	run := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = run.Process.Kill()
		_ = run.Wait()
	})
	until(t, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	got := observed[journal.RoundTrip](t, &RoundTrip{Kind: "redis", Address: address}, 250*time.Millisecond)
	if len(got) == 0 {
		t.Error("nothing was recorded")
	}
	for _, r := range got {
		if r.Err != "" || r.Up != 14 || r.Down != 7 {
			t.Errorf("a real server answered as %+v", r)
		}
	}
}
