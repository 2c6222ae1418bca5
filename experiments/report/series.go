package report

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// point is one value at one time, both as a chart draws them.
type point struct{ x, y float64 }

// line is one curve of a panel. Points whose y is not a number break it.
type line struct {
	name   string
	color  token
	dashed bool
	filled bool
	points []point
}

// panel is one chart of a run's timeline; all panels of a run share the axis
// of time, in seconds since the run's start.
type panel struct {
	title string
	unit  string
	log   bool
	lines []line
}

// buckets cuts a run into spans of equal width.
type buckets struct {
	width time.Duration
	n     int
}

// newBuckets takes about 90 buckets for a run, of 100 ms to 500 ms.
func newBuckets(length time.Duration) buckets {
	width := (length / 90).Round(50 * time.Millisecond)
	width = min(max(width, 100*time.Millisecond), 500*time.Millisecond)
	return buckets{width: width, n: max(int(length/width), 1)}
}

func (b buckets) index(t journal.Instant) (int, bool) {
	if t < 0 {
		return 0, false
	}
	i := int(t.Duration() / b.width)
	return i, i < b.n
}

// middle is the time in the middle of a bucket, in seconds.
func (b buckets) middle(i int) float64 { return (float64(i) + 0.5) * b.width.Seconds() }

// perSecond turns counts into a rate curve.
func (b buckets) perSecond(counts []float64) []point {
	out := make([]point, b.n)
	for i := range out {
		out[i] = point{b.middle(i), counts[i] / b.width.Seconds()}
	}
	return out
}

// runLength is the instant of the last thing that was seen.
func runLength(j journal.Journal) time.Duration {
	var last journal.Instant
	for e := range j.Entries() {
		last = max(last, e.At)
	}
	for r := range j.Requests(journal.Window{}) {
		last = max(last, r.Due, r.Done)
	}
	return last.Duration()
}

// loadPanels are the panels of the load: rates and latencies by the time at
// which a request was due.
func loadPanels(j journal.Journal, b buckets) []panel {
	due, sent, good, bad := make([]float64, b.n), make([]float64, b.n), make([]float64, b.n), make([]float64, b.n)
	latencies := make([][]float64, b.n)
	any, failed := false, false
	for r := range j.Requests(journal.Window{}) {
		i, ok := b.index(r.Due)
		if !ok {
			continue
		}
		any = true
		due[i]++
		if s, ok := b.index(r.Sent); ok && !r.Dropped {
			sent[s]++
		}
		switch {
		case r.OK:
			good[i]++
		case !r.Canceled:
			bad[i]++
			failed = true
		}
		if !r.Dropped {
			latencies[i] = append(latencies[i], max(r.Latency().Seconds(), 1e-4))
		}
	}
	if !any {
		return nil
	}
	rate := panel{title: "Load", unit: "requests/s", lines: []line{
		{name: "good answers", color: colorGood, filled: true, points: b.perSecond(good)},
		{name: "intended", color: colorMuted, dashed: true, points: b.perSecond(due)},
		{name: "sent", color: colorOne, points: b.perSecond(sent)},
	}}
	if failed {
		rate.lines = slices.Insert(rate.lines, 1,
			line{name: "errors", color: colorBad, filled: true, points: b.perSecond(bad)})
	}
	latency := panel{title: "Latency from the time a request was due", unit: "s", log: true, lines: []line{
		{name: "p99", color: colorTwo, points: b.quantile(latencies, 0.99)},
		{name: "p50", color: colorOne, points: b.quantile(latencies, 0.50)},
	}}
	return []panel{rate, latency}
}

func (b buckets) quantile(values [][]float64, q float64) []point {
	out := make([]point, b.n)
	for i, v := range values {
		out[i] = point{b.middle(i), math.NaN()}
		if len(v) > 0 {
			slices.Sort(v)
			out[i].y = v[max(int(math.Ceil(q*float64(len(v))))-1, 0)]
		}
	}
	return out
}

// callPanels show the calls that each stub received, and how many of them were
// attempts after the first of their logical call.
func callPanels(j journal.Journal, b buckets) []panel {
	type counts struct{ all, repeats []float64 }
	by := map[string]*counts{}
	seen := map[string]bool{}
	var order []string
	repeated := map[string]bool{}
	for e, call := range journal.Of[journal.Call](j) {
		c := by[e.On]
		if c == nil {
			c = &counts{make([]float64, b.n), make([]float64, b.n)}
			by[e.On] = c
			order = append(order, e.On)
		}
		i, ok := b.index(e.At)
		if !ok {
			continue
		}
		c.all[i]++
		if key := chainKey(call); key != "" {
			key = e.On + "\x00" + call.Method + "\x00" + key
			if seen[key] {
				c.repeats[i]++
				repeated[e.On] = true
			}
			seen[key] = true
		}
	}
	slices.Sort(order)
	var out []panel
	for _, name := range order {
		p := panel{title: "Calls that " + Clean(name) + " received", unit: "calls/s", lines: []line{
			{name: "calls", color: colorOne, points: b.perSecond(by[name].all)},
		}}
		if repeated[name] {
			p.lines = append(p.lines, line{
				name: "of them repeated attempts", color: colorTwo, filled: true,
				points: b.perSecond(by[name].repeats),
			})
		}
		out = append(out, p)
	}
	return out
}

// chainKey ties the attempts of one logical call together.
func chainKey(c journal.Call) string {
	switch {
	case c.IdempotencyKey != "":
		return c.IdempotencyKey + " " + c.Path
	case c.RequestID != "":
		return c.RequestID + " " + c.Path
	}
	if context, ok := c.TraceContext(""); ok {
		return string(context.Trace[:]) + " " + c.Path
	}
	return ""
}

// backendPanels show what pg_stat_activity said of the service's connections.
func backendPanels(j journal.Journal) []panel {
	by := map[string][][]point{} // all, active, waiting for a lock, idle in transaction
	var order []string
	for e, a := range journal.Of[journal.Activity](j) {
		if by[e.On] == nil {
			by[e.On] = make([][]point, 4)
			order = append(order, e.On)
		}
		n := [4]float64{}
		for _, backend := range a.Backends {
			n[0]++
			switch {
			case backend.WaitType == "Lock":
				n[2]++
			case backend.State == "active":
				n[1]++
			case strings.HasPrefix(backend.State, "idle in transaction"):
				n[3]++
			}
		}
		for i := range n {
			if a.Err != "" {
				n[i] = math.NaN()
			}
			by[e.On][i] = append(by[e.On][i], point{e.At.Duration().Seconds(), n[i]})
		}
	}
	names := [4]string{"connections", "active", "waiting for a lock", "idle in a transaction"}
	colors := [4]token{colorMuted, colorOne, colorTwo, colorThree}
	slices.Sort(order)
	var out []panel
	for _, name := range order {
		p := panel{title: "Connections of the service to " + Clean(name), unit: "backends"}
		for i, points := range by[name] {
			if i == 0 || positive(points) {
				p.lines = append(p.lines, line{name: names[i], color: colors[i], points: points})
			}
		}
		out = append(out, p)
	}
	return out
}

func positive(points []point) bool {
	return slices.ContainsFunc(points, func(p point) bool { return p.y > 0 })
}

// poolGauges are the gauges of database/sql's collector and of the usual
// exporters for pgxpool, by what they mean.
var poolGauges = []struct {
	name    string
	color   token
	metrics []string
}{
	{"in use", colorOne, []string{"go_sql_in_use_connections", "pgxpool_acquired_conns", "pgxpool_acquired_connections"}},
	{"open", colorMuted, []string{"go_sql_open_connections", "pgxpool_total_conns", "pgxpool_total_connections"}},
	{"limit", colorThree, []string{"go_sql_max_open_connections", "pgxpool_max_conns", "pgxpool_max_connections"}},
}

// poolPanel shows the service's own pool gauges, added up over its replicas.
func poolPanel(j journal.Journal, b buckets) []panel {
	p := panel{title: "The service's own view of its pool, all replicas", unit: "connections"}
	for _, g := range poolGauges {
		points := sumOverReplicas(j, b, g.metrics)
		if points != nil {
			p.lines = append(p.lines, line{name: g.name, color: g.color, dashed: g.name == "limit", points: points})
		}
	}
	if len(p.lines) == 0 {
		return nil
	}
	return []panel{p}
}

// sumOverReplicas adds up the last known value of the first of the metrics
// that each replica has, bucket by bucket; nil when none has any.
func sumOverReplicas(j journal.Journal, b buckets, metrics []string) []point {
	sum := make([]point, b.n)
	for i := range sum {
		sum[i] = point{b.middle(i), math.NaN()}
	}
	for _, replica := range j.Header().Replicas {
		for i, v := range gauge(j, b, replica, metrics) {
			switch {
			case math.IsNaN(v):
			case math.IsNaN(sum[i].y):
				sum[i].y = v
			default:
				sum[i].y += v
			}
		}
	}
	if !slices.ContainsFunc(sum, func(p point) bool { return !math.IsNaN(p.y) }) {
		return nil
	}
	return sum
}

// gaugeHolds is how long a scraped value counts when no other comes.
const gaugeHolds = 2 * time.Second

// gauge is a replica's last known value in every bucket; not a number where
// there is none.
func gauge(j journal.Journal, b buckets, replica string, metrics []string) []float64 {
	out := make([]float64, b.n)
	last, next := math.NaN(), 0
	fill := func(to int) {
		for ; next < min(to, b.n); next++ {
			out[next] = last
		}
	}
	for m := range journal.Scrapes(j, replica) {
		i, _ := b.index(m.At)
		fill(i)
		for _, name := range metrics {
			if v, ok := m.Sum(name); ok {
				last = v
				break
			}
		}
	}
	fill(next + int(gaugeHolds/b.width))
	last = math.NaN()
	fill(b.n)
	return out
}

// processGap is how long a process may go unseen before its curves break.
const processGap = 1500 * time.Millisecond

// processPanels show the processor time and the memory of every replica.
func processPanels(j journal.Journal) []panel {
	type sample struct {
		at  journal.Instant
		cpu time.Duration
	}
	last := map[string]sample{}
	cpu, rss := map[string][]point{}, map[string][]point{}
	var order []string
	for e, s := range journal.Of[journal.ProcessSample](j) {
		before, known := last[e.On]
		if !known {
			order = append(order, e.On)
		}
		last[e.On] = sample{e.At, s.CPU}
		at := e.At.Duration().Seconds()
		if known && e.At.Sub(before.at) > processGap { // there was no process
			cpu[e.On] = append(cpu[e.On], point{at, math.NaN()})
			rss[e.On] = append(rss[e.On], point{at, math.NaN()})
			known = false
		}
		rss[e.On] = append(rss[e.On], point{at, float64(s.RSSBytes) / (1 << 20)})
		if d := e.At.Sub(before.at).Seconds(); known && d > 0 {
			used := (s.CPU - before.cpu).Seconds() / d * 100
			if used < 0 { // another process took its place
				used = math.NaN()
			}
			cpu[e.On] = append(cpu[e.On], point{at, used})
		}
	}
	if len(order) == 0 {
		return nil
	}
	slices.Sort(order)
	colors := []token{colorOne, colorTwo, colorThree, colorMuted}
	processor := panel{title: "Processor", unit: "% of a core"}
	memory := panel{title: "Resident memory", unit: "MiB"}
	for i, name := range order {
		color := colors[min(i, len(colors)-1)]
		processor.lines = append(processor.lines, line{name: Clean(name), color: color, points: cpu[name]})
		memory.lines = append(memory.lines, line{name: Clean(name), color: color, points: rss[name]})
	}
	return []panel{processor, memory}
}
