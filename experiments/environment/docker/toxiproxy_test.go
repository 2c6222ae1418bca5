package docker

import (
	"errors"
	"strings"
	"testing"
	"time"

	toxiclient "github.com/Shopify/toxiproxy/v2/client"
	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/container"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/environment/environmenttest"
	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// toxiproxyStandIn is the image that make images builds.
const toxiproxyStandIn = "seatrial/toxiproxy:local"

// agentless is a subject with Toxiproxy's own server in place of the agent; the
// test is skipped where there is no image of it.
func agentless(t *testing.T, b *Backend, s *subject.Subject) *subject.Subject {
	t.Helper()
	if err := b.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Environment, s.Images.Toxiproxy = "docker", toxiproxyStandIn
	if found, err := b.engine.has(t.Context(), toxiproxyStandIn); err != nil || !found {
		t.Skipf("%s is not here (make images): %v", toxiproxyStandIn, err)
	}
	s.Dependencies = s.Dependencies[:len(s.Dependencies)-1] // the stub
	delete(s.Service.Env, "PAYMENTS_URL")
	return s
}

func TestConformAgentless(t *testing.T) {
	b := backend(t)
	environmenttest.Conform(t, b, agentless(t, b, tiny()))
}

// TestAgentlessFaults delays and holds what a Toxiproxy carries, and has the
// engine count that.
func TestAgentlessFaults(t *testing.T) {
	b := backend(t)
	s := agentless(t, b, small())
	j := journal.NewMemory(journal.Header{})
	e, err := b.Start(t.Context(), s, j, environment.Options{Trial: "agentless"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	cache, err := e.Target("cache")
	if err != nil {
		t.Fatal(err)
	}
	address := cache.(faults.Proxied).ProxyAddress()
	ping := func() time.Duration {
		began := time.Now()
		if err := fleet.PingRedis(t.Context(), address); err != nil {
			return time.Minute
		}
		return time.Since(began)
	}
	for _, f := range []faults.Fault{
		&faults.Latency{Latency: 200 * time.Millisecond, Stream: faults.Downstream}, &faults.Blackhole{}, &faults.LostReply{},
	} {
		i, err := f.Inject(t.Context(), cache)
		if err != nil {
			t.Fatal(f, err)
		}
		if took := ping(); took < 200*time.Millisecond {
			t.Errorf("%s: an answer after %v", f, took)
		}
		if err := i.Revert(t.Context()); err != nil {
			t.Error(f, err)
		}
		if took := ping(); took == time.Minute {
			t.Errorf("%s: it is not restored", f)
		}
	}
	slow := &faults.Bandwidth{KilobytesPerSecond: 1, Stream: faults.Both}
	if _, err := slow.Inject(t.Context(), cache); !errors.Is(err, faults.ErrNotHere) {
		t.Errorf("bandwidth: %v", err)
	}
	if err := new(faults.ConnectBlackhole).Supports(cache); err == nil {
		t.Error("connects are held without the agent")
	}
	tell(t, address, "SET k "+strings.Repeat("x", 4000))
	eventually(t, func() bool {
		sum := uint64(0)
		for _, c := range journal.Of[journal.Carried](j) {
			sum += c.Bytes
		}
		return sum > 4000
	})
}

func TestPlainToxic(t *testing.T) {
	for name, c := range map[string]struct {
		toxic faults.Toxic
		kind  string
		want  toxiclient.Attributes
	}{
		"latency": {
			faults.Toxic{Type: faults.OwnToxics + "latency", Attributes: map[string]any{
				"latency": 1500 * time.Microsecond, "jitter": time.Second, "seed": uint64(1),
			}},
			"latency",
			toxiclient.Attributes{"latency": int64(1), "jitter": int64(1000)},
		},
		"blackhole": {faults.Toxic{Type: faults.OwnToxics + "blackhole"}, "timeout", toxiclient.Attributes{"timeout": 0}},
		"its own": {
			faults.Toxic{Type: "slicer", Attributes: map[string]any{"delay": 1}},
			"slicer",
			toxiclient.Attributes{"delay": 1},
		},
		"ours": {faults.Toxic{Type: faults.OwnToxics + "slicer"}, "", nil},
	} {
		kind, attributes, err := plainToxic(c.toxic)
		if diff := cmp.Diff(c.want, attributes); kind != c.kind || diff != "" {
			t.Errorf("%s: %s %s", name, kind, diff)
		}
		if errors.Is(err, faults.ErrNotHere) != (c.kind == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPayload(t *testing.T) {
	before := container.NetworkStats{RxBytes: 1000, RxPackets: 10}
	for name, c := range map[string]struct{ bytes, packets, want uint64 }{
		"nothing":   {1000, 10, 0},
		"a ping":    {1000 + 74 + 66 + 66 + 8 + 66 + 66, 15, 0},
		"a query":   {1000 + 66 + 500 + 66, 12, 488},
		"a restart": {10, 1, 0},
	} {
		if got := payload(before, container.NetworkStats{RxBytes: c.bytes, RxPackets: c.packets}); got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, got, c.want)
		}
	}
}

func TestAgentlessFaultsOfServers(t *testing.T) {
	b, s := backend(t), tiny()
	s.Service.Replicas = 1
	environmenttest.Break(t, b, agentless(t, b, s))
}
