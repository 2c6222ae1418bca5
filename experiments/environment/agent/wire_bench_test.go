package agent_test

import (
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/agent/agenttest"
	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
)

// benchTurns is how many pairs of turns are measured, benchSeconds how long one
// turn takes.
const (
	benchTurns   = 7
	benchSeconds = "2"
)

// BenchmarkWireThroughput measures pgbench -S through Toxiproxy and the wire tap
// (with every statement recorded) beside pgbench -S through Toxiproxy alone, in
// turns. The ratio is the median of the pairs'.
func BenchmarkWireThroughput(b *testing.B) {
	upstream := postgrestest.Start(b)
	pgbench, err := exec.LookPath("pgbench")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
		if len(found) == 0 {
			b.Skip(err)
		}
		pgbench = slices.Max(found)
	}
	bench(b, pgbench, upstream, "-i", "-q")
	a := agenttest.Supervise(b, agent.Config{
		Trial: "bench", Proxies: []agent.ProxyConfig{
			{Name: "plain", Kind: "postgres", Listen: "127.0.0.1:0", Upstream: upstream},
			{Name: "tapped", Kind: "postgres", Listen: "127.0.0.1:0", Upstream: upstream, Wire: &agent.WireConfig{}},
		},
	}, discard{journal.NewMemory(journal.Header{})})
	shake := a.Handshake()
	var plain, tapped, ratio []float64
	for range benchTurns * b.N {
		plain = append(plain, bench(b, pgbench, shake.Proxies["plain"], "-S", "-n", "-c", "4", "-T", benchSeconds))
		tapped = append(tapped, bench(b, pgbench, shake.Proxies["tapped"], "-S", "-n", "-c", "4", "-T", benchSeconds))
		ratio = append(ratio, tapped[len(tapped)-1]/plain[len(plain)-1])
	}
	for what, all := range map[string][]float64{"plain-tps": plain, "tapped-tps": tapped, "ratio": ratio} {
		slices.Sort(all)
		b.ReportMetric(all[len(all)/2], what)
	}
	b.ReportMetric(0, "ns/op") // the sum of unlike things
}

// discard keeps nothing, so that a long turn does not fill the memory.
type discard struct{ *journal.Memory }

func (discard) Record(journal.Entry) {}

var tpsRule = regexp.MustCompile(`tps = ([0-9.]+)`)

// bench runs pgbench against an address and returns its transactions a second.
func bench(b *testing.B, pgbench, address string, args ...string) float64 {
	b.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		b.Fatal(err)
	}
	args = append([]string{"-h", host, "-p", port, "-U", "postgres"}, args...)
	out, err := exec.CommandContext(b.Context(), pgbench, append(args, "app")...).CombinedOutput()
	if err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	found := tpsRule.FindSubmatch(out)
	if found == nil {
		return 0
	}
	tps, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return tps
}
