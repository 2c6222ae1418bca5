package agent_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/tcptest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

// echo is a dependency that sends back what it gets.
func echo(t testing.TB) string {
	t.Helper()
	return tcptest.Serve(t, func(_ int, c *net.TCPConn) { _, _ = io.Copy(c, c) })
}

// Toxics that come and go while data flows lose, double and reorder nothing.
func TestToxicsKeepDataInOrder(t *testing.T) {
	a, rec := start(t, agent.Config{Trial: "t1", Proxies: []agent.ProxyConfig{
		{Name: "db", Kind: "tcp", Listen: "127.0.0.1:0", Upstream: echo(t)},
	}})
	d := a.Dependency("db")
	conn := dial(t, d.ProxyAddress())
	draws := rand.NewChaCha8([32]byte{7})
	sent := make([]byte, 8<<20)
	_, _ = draws.Read(sent)
	writing := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		writing <- err
	}()
	toggling := make(chan error, 1)
	stop := make(chan struct{})
	go func() { toggling <- toggle(t, d, stop) }()
	got := make([]byte, len(sent))
	for n := 0; n < len(got); { // a reader that takes its time, so that buffers fill
		m, err := conn.Read(got[n:min(n+64<<10, len(got))])
		if err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		n += m
	}
	close(stop)
	if err := <-toggling; err != nil {
		t.Error(err)
	}
	if err := <-writing; err != nil {
		t.Error(err)
	}
	if !bytes.Equal(sent, got) {
		t.Error("what came back is not what was sent")
	}
	flush(t, a)
	if v := lastTally(rec, "db"); v.UpBytes != uint64(len(sent)) || v.DownBytes != uint64(len(sent)) || v.Shaped == 0 {
		t.Errorf("tally %+v, want %d bytes each way", v, len(sent))
	}
	for _, r := range journal.Of[journal.AgentReplaced](rec) {
		t.Errorf("the agent was replaced: %s", r.Reason)
	}
	conn.Close()
	waitFor(t, func() bool { flush(t, a); return lastTally(rec, "db").Open == 0 })
}

// toggle injects and reverts faults one over the other until it is stopped.
func toggle(t *testing.T, d *agent.Dependency, stop <-chan struct{}) error {
	list := []faults.Fault{
		&faults.Latency{Latency: 3 * time.Millisecond, Jitter: 2 * time.Millisecond, Stream: faults.Both},
		&faults.Slicer{SliceBytes: 3000, Stream: faults.Both},
		&faults.Bandwidth{KilobytesPerSecond: 30_000, Stream: faults.Both},
		&faults.SlowClose{Delay: time.Millisecond},
	}
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		first, err := list[i%len(list)].Inject(t.Context(), d)
		if err != nil {
			return err
		}
		second, err := list[(i+1)%len(list)].Inject(t.Context(), d)
		if err != nil {
			return err
		}
		<-time.After(10 * time.Millisecond)
		for _, injection := range []faults.Injection{first, second} {
			if err := injection.Revert(t.Context()); err != nil {
				return fmt.Errorf("round %d: %w", i, err)
			}
		}
	}
}

// Our own toxics do not wedge Toxiproxy's API when a client has stopped
// reading: its connection is cut instead of the agent replaced.
func TestOwnToxicsDoNotWedge(t *testing.T) {
	for _, f := range []faults.Fault{
		&faults.Latency{Latency: 10 * time.Millisecond, Stream: faults.Downstream},
		&faults.Bandwidth{KilobytesPerSecond: 100_000, Stream: faults.Downstream},
		&faults.Slicer{SliceBytes: 30_000, Stream: faults.Downstream},
		&faults.LimitData{Bytes: 1 << 30, Stream: faults.Downstream},
		&faults.Blackhole{},
		&faults.SlowClose{Delay: time.Second},
	} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			a, rec := start(t, agent.Config{Trial: "t1", Proxies: []agent.ProxyConfig{
				{Name: "db", Kind: "tcp", Listen: "127.0.0.1:0", Upstream: pour(t)},
			}})
			d := a.Dependency("db")
			injection, err := f.Inject(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			dial(t, d.ProxyAddress()) // and never read
			waitFor(t, func() bool {
				seen := lastTally(rec, "db").DownBytes
				return seen > 0 && still(t, rec, seen)
			})
			began := time.Now()
			if err := injection.Revert(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the revert took %v", took)
			}
			for _, r := range journal.Of[journal.AgentReplaced](rec) {
				t.Errorf("the agent was replaced: %s", r.Reason)
			}
			if _, err := dial(t, d.ProxyAddress()).Read(make([]byte, 1)); err != nil {
				t.Errorf("a new connection: %v", err)
			}
		})
	}
}

// BenchmarkRoundTrip is one byte there and back: direct, and through a proxy
// with its tally.
func BenchmarkRoundTrip(b *testing.B) {
	direct := echo(b)
	a, _ := start(b, agent.Config{Trial: "t1", Proxies: []agent.ProxyConfig{
		{Name: "db", Kind: "tcp", Listen: "127.0.0.1:0", Upstream: direct},
	}})
	for name, address := range map[string]string{"direct": direct, "proxied": a.Dependency("db").ProxyAddress()} {
		b.Run(name, func(b *testing.B) {
			c, err := net.Dial("tcp", address)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			buffer := []byte{1}
			for b.Loop() {
				if _, err := c.Write(buffer); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, buffer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
