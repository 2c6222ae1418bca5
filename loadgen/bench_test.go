package loadgen

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/seatrial/seatrial/experiments/journal"
)

// counter is a recorder that only counts, so that the attack itself is
// measured.
type counter struct {
	start time.Time
	n     atomic.Uint64
	lag   atomic.Int64
}

func (c *counter) Now() journal.Instant { return journal.Instant(time.Since(c.start)) }
func (c *counter) Record(journal.Entry) {}
func (c *counter) Request(r journal.Request) {
	if r.OK {
		c.n.Add(1)
		c.lag.Add(int64(r.Lag()))
	}
}

// benchServer is a bare net/http server on loopback.
func benchServer(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"id":1}`)
		}),
	}
	go func() { _ = server.Serve(l) }()
	b.Cleanup(func() { server.Close() })
	return "http://" + l.Addr().String()
}

const benchConnections = 32

// oursAtMost is our hits a second with every connection busy.
func oursAtMost(b *testing.B, url string, length time.Duration) float64 {
	b.Helper()
	rate, err := ClosedLoop{
		Name: "load", RunID: "bench", Source: compiled(b), BaseURL: url, Connections: benchConnections, For: length,
	}.Run(b.Context(), &counter{start: time.Now()})
	if err != nil {
		b.Fatal(err)
	}
	return rate
}

// vegetasAtMost is the same with vegeta as its command uses it: -rate 0 and
// -max-workers.
func vegetasAtMost(b *testing.B, url string, length time.Duration) float64 {
	b.Helper()
	a := vegeta.NewAttacker(vegeta.Workers(benchConnections), vegeta.MaxWorkers(benchConnections))
	n := 0
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url + "/orders"})
	for r := range a.Attack(target, vegeta.ConstantPacer{}, length, "load") {
		if r.Code == http.StatusOK {
			n++
		}
	}
	return float64(n) / length.Seconds()
}

// BenchmarkThroughput is the most that goes through our attack and through
// vegeta's own, in short turns against the same server; the ratio is the median
// over the turns, so that a noisy neighbour does not decide. Goal: 0.95.
func BenchmarkThroughput(b *testing.B) {
	const pairs, turn = 12, 250 * time.Millisecond
	url := benchServer(b)
	var ours, theirs, ratios []float64
	for b.Loop() {
		for i := range pairs {
			var us, them float64
			if i%2 == 0 {
				us, them = oursAtMost(b, url, turn), vegetasAtMost(b, url, turn)
			} else {
				them, us = vegetasAtMost(b, url, turn), oursAtMost(b, url, turn)
			}
			ours, theirs, ratios = append(ours, us), append(theirs, them), append(ratios, us/them)
		}
	}
	b.ReportMetric(median(ours), "ours/s")
	b.ReportMetric(median(theirs), "vegeta/s")
	b.ReportMetric(median(ratios), "ratio")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// BenchmarkRate is the share of the planned rate that is achieved at 1000/s.
// Goal: 0.999.
func BenchmarkRate(b *testing.B) {
	const rate, length = 1000, 3 * time.Second
	url := benchServer(b)
	b.Run("ours", func(b *testing.B) {
		achieved, lag := 0.0, time.Duration(0)
		for b.Loop() {
			c := &counter{start: time.Now()}
			end, err := Attack{
				Name: "load", RunID: "bench", Pacer: Constant(rate, length), Source: compiled(b), BaseURL: url,
				Timeout: 2 * time.Second,
			}.Run(b.Context(), c)
			if err != nil {
				b.Fatal(err)
			}
			took := c.Now().Sub(end.From)
			achieved += float64(c.n.Load()) / rate / max(took, length).Seconds()
			lag += time.Duration(c.lag.Load() / int64(max(c.n.Load(), 1)))
		}
		b.ReportMetric(achieved/float64(b.N), "achieved/intended")
		b.ReportMetric(float64(lag.Microseconds())/float64(b.N), "lag-µs")
	})
	b.Run("vegeta", func(b *testing.B) {
		achieved := 0.0
		for b.Loop() {
			n, began := 0, time.Now()
			target := vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url + "/orders"})
			pacer := vegeta.ConstantPacer{Freq: rate, Per: time.Second}
			for r := range vegeta.NewAttacker().Attack(target, pacer, length, "load") {
				if r.Code == http.StatusOK {
					n++
				}
			}
			achieved += float64(n) / rate / max(time.Since(began), length).Seconds()
		}
		b.ReportMetric(achieved/float64(b.N), "achieved/intended")
	})
}

// BenchmarkTarget is the cost of one hit's target.
func BenchmarkTarget(b *testing.B) {
	static := compiled(b)
	templated, err := mustCompile(b, orders, 1).Only("create")
	if err != nil {
		b.Fatal(err)
	}
	for name, s := range map[string]*Source{"static": static, "templated": templated} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for seq := uint64(0); b.Loop(); seq++ {
				if _, err := s.Target("load", seq); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func ExampleConstant() {
	p := Constant(50, 2*time.Second)
	due, _ := p.Due(25)
	fmt.Println(p, p.Hits(), due)
	// Output: 50/s for 2s 100 500ms
}
