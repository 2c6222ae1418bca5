package detect

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// SaturationMetrics asks whether the metrics show that the service is full
// (D83): while a fault or an attack makes callers wait, the waiting for a
// database connection, the requests in flight (or queued, or refused) and the
// goroutines must move away from what they were before by at least Moves times
// the baseline's interquartile range, and by at least one; and there must be
// metrics of the heap and of the garbage collector that are not frozen.
//
// Series are found by their shape, not only by name: see the *Looked texts.
// Counters are judged by their growth from scrape to scrape. Of several series
// of one kind, and of several replicas, the one that moved most counts: in
// seven recorded runs of the reference service (pool-exhausted, overload) the
// pool's by 66 to 201 ranges, those in flight by 75 to 585, goroutines by 6 to
// 60. The heap and the collector are held to less than detectors.md's three
// ranges: the heap of a few MB goes up and down with every collection, load or
// none, and its range hides everything else.
//
// It needs scrapes before the first step and in the window, and callers who
// noticed: a p95 three times that of the steady state, or one request in ten
// that failed. Without them what did not move is unknown.
type SaturationMetrics struct {
	// During is the window: fault (default), method or a step's name. It is
	// extended by 2 s, since database/sql counts waits when they end.
	During string `json:"during,omitempty" yaml:"during"`
	// Moves is the least movement in interquartile ranges. Default 3.
	Moves float64 `json:"moves,omitempty" yaml:"moves"`
	// PoolWait names the series of waits for a connection of the pool. Empty:
	// found by its usual names.
	PoolWait string `json:"pool_wait,omitempty" yaml:"pool_wait"`
	// InFlight names the series of requests in flight. Empty: found by its usual
	// names.
	InFlight string `json:"in_flight,omitempty" yaml:"in_flight"`
	// Goroutines names the series of goroutines. Empty: found by its usual names.
	Goroutines string `json:"goroutines,omitempty" yaml:"goroutines"`
	// Heap names the series of the heap's size. Empty: found by its usual names.
	Heap string `json:"heap,omitempty" yaml:"heap"`
	// GC names the series of garbage collection. Empty: found by its usual names.
	GC string `json:"gc,omitempty" yaml:"gc"`
	// Ignore lists kinds that are not asked for: pool, in_flight, goroutines,
	// heap, gc.
	Ignore []string `json:"ignore,omitempty" yaml:"ignore"`
}

var _ = register(Info{
	Kind: "saturation_metrics", ID: "D83", Checklist: []string{"7.6"}, Class: Timing,
	Summary: "metrics show saturation: waiting for the pool, requests in flight, goroutines, heap, garbage collection",
}, func() Detector { return &SaturationMetrics{Moves: 3} })

// saturation is one kind of metric, with what it is recognised by.
type saturation struct {
	kind, says, looked string
	named              string // given by the owner
	frozen             bool   // it is enough that it changes at all
	is                 func(journal.Sample) bool
}

const (
	inFlightLooked = "a gauge with in_flight, inflight, in_progress, active, concurrent or queue and request, http or " +
		"server in its name, or a counter of shed or rejected requests"
	goroutinesLooked = "go_goroutines, or any *goroutines* gauge"
	heapLooked       = "go_memstats_heap_*, go_memory_*, or any *heap* series"
	gcLooked         = "go_gc_duration_seconds, go_gc_*_total, or any *gc*count*, *gc*cycles* or *gc*pause* series"
)

func inFlight(s journal.Sample) bool {
	switch s.Type {
	case "counter":
		return words(s.Name, "shed", "reject", "throttled", "limited", "dropped") && !words(s.Name, "log", "span", "network")
	case "gauge", "untyped":
		return words(s.Name, "in_flight", "inflight", "in_progress", "active", "concurren", "queue", "waiting", "pending") &&
			words(s.Name, "http", "request", "server", "handler", "queue", "grpc", "rpc", "limiter") &&
			!words(s.Name, "client", "outbound", "max", "limit_", "promhttp", "capacity")
	}
	return false
}

func garbage(s journal.Sample) bool {
	return s.Name == "go_gc_duration_seconds_count" || words(s.Name, "gc") &&
		words(s.Name, "count", "cycles", "pause", "_total", "runs") && !strings.HasSuffix(s.Name, "_bucket")
}

func (p *SaturationMetrics) kinds(h journal.Header) []saturation {
	all := []saturation{
		{"pool", "callers who wait for a database connection", poolWaitLooked, p.PoolWait, false, poolWait},
		{"in_flight", "requests in flight", inFlightLooked, p.InFlight, false, inFlight},
		{"goroutines", "goroutines", goroutinesLooked, p.Goroutines, false, func(s journal.Sample) bool {
			return s.Type != "counter" && words(s.Name, "goroutine")
		}},
		{"heap", "the heap", heapLooked, p.Heap, true, func(s journal.Sample) bool {
			return words(s.Name, "heap", "go_memory")
		}},
		{"gc", "garbage collection", gcLooked, p.GC, true, garbage},
	}
	database := slices.ContainsFunc(h.Dependencies, func(d journal.DependencyInfo) bool { return d.Kind == "postgres" })
	return slices.DeleteFunc(all, func(s saturation) bool {
		return slices.Contains(p.Ignore, s.kind) || s.kind == "pool" && !database
	})
}

// Detect looks for movement.
func (p *SaturationMetrics) Detect(j journal.Journal) Finding {
	d := open("saturation_metrics")
	if outcome, err := unscraped(j); err != nil {
		return d.as(outcome, "%v", err)
	}
	steady, err := steadySpan(j)
	if err != nil {
		return d.unknown("what the metrics say when all is well is not known: %v", err)
	}
	s, err := resolve(j, p.During, DuringFault)
	if err != nil {
		return d.unknown("saturation cannot be judged: %v", err)
	}
	full := s.hull()
	if full.To != 0 {
		full.To = full.To.Add(poolSettles)
	}
	noticed := callersNoticed(j, steady, s)
	for _, kind := range p.kinds(j.Header()) {
		p.judge(d, kind, p.moved(j, kind, steady.hull(), full), kind.need(j, noticed), s)
	}
	return d.close("while callers waited the metrics showed it: %s", strings.Join(movedSaid(d.Quantities), ", "))
}

// need says why a kind need not have moved; empty where it must have.
func (k saturation) need(j journal.Journal, noticed bool) string {
	if !noticed {
		return "callers did not notice"
	}
	if k.kind != "pool" {
		return ""
	}
	faults := 0
	for _, s := range j.Steps() {
		if dep, _ := dependencyOf(j.Header(), s.Target); dep.Kind == "postgres" && s.Class == "fault" {
			return ""
		}
		faults += one(s.Class == "fault")
	}
	if faults > 0 {
		return "no fault was on a database in"
	}
	return ""
}

// callersNoticed says that answers were slow or failed while the service was
// to be full.
func callersNoticed(j journal.Journal, steady, full span) bool {
	before, then := newLatencies(), newLatencies()
	failed := 0
	for r := range hits(j, steady, anyAttack, nil) {
		before.add(r.Latency())
	}
	for r := range hits(j, full, anyAttack, nil) {
		then.add(r.Latency())
		failed += one(!r.OK)
	}
	slow := then.at(0.95) >= 3*max(before.at(0.95), time.Millisecond)
	return then.count() > 0 && (slow || ratio(failed, then.count()) >= 0.1)
}

// movement is how far the series of one kind that moved most has moved.
type movement struct {
	name, replica   string
	at              journal.Instant // of the peak
	calm, iqr, peak float64
	samples         int // of the baseline
	looks           int // in the window
	changed         bool
}

// ranges is the movement in interquartile ranges, of which one is at least the
// smallest step that a whole number can make.
func (m movement) ranges(moves float64) float64 {
	return math.Abs(m.peak-m.calm) / max(m.iqr, 1/moves)
}

// moved finds the series of a kind that moved most; its name is empty when
// there is none of the kind.
func (p *SaturationMetrics) moved(j journal.Journal, kind saturation, steady, full journal.Window) movement {
	var best movement
	for _, replica := range j.Header().Replicas {
		lines := linesOf(j, replica, func(s journal.Sample) bool {
			if kind.named != "" {
				return s.Name == kind.named
			}
			return kind.is(s)
		})
		for _, l := range lines {
			m := l.movement(steady, full)
			m.replica = replica
			if best.name == "" || cmp.Compare(m.ranges(p.Moves), best.ranges(p.Moves)) > 0 {
				m.changed = m.changed || best.changed
				best = m
			}
			best.changed = best.changed || m.changed
		}
	}
	return best
}

// line is one series of one replica over time; of a counter, by how much it has
// grown from scrape to scrape.
type line struct {
	name   string
	at     []journal.Instant
	values []float64
}

func linesOf(j journal.Journal, replica string, is func(journal.Sample) bool) []*line {
	found := map[string]*line{}
	var order []*line
	var before journal.Metrics
	for m := range journal.Scrapes(j, replica) {
		for s := range m.All() {
			if !is(s) || strings.HasSuffix(s.Name, "_created") {
				continue
			}
			value := s.Value
			if s.Type == "counter" || strings.HasSuffix(s.Name, "_count") || strings.HasSuffix(s.Name, "_sum") {
				then, _ := before.Get(s.Key())
				if value -= then; before.Start != m.Start {
					continue
				}
			}
			if found[s.Key()] == nil {
				found[s.Key()] = &line{name: s.Name}
				order = append(order, found[s.Key()])
			}
			l := found[s.Key()]
			l.at, l.values = append(l.at, m.At), append(l.values, value)
		}
		before = m
	}
	return order
}

// movement compares the window with the baseline; the first scrape after the
// window counts too, because it tells what had happened in it.
func (l *line) movement(steady, full journal.Window) movement {
	var calm []float64
	var then []reading
	m := movement{name: l.name}
	for i, v := range l.values {
		m.changed = m.changed || v != l.values[0]
		switch at := l.at[i]; {
		case steady.Contains(at):
			calm = append(calm, v)
		case full.Contains(at):
			then = append(then, reading{at, journal.Scrape{}.Kind(), v})
		}
	}
	m.samples, m.looks, m.at = len(calm), len(then), full.From
	if len(calm) == 0 {
		calm = []float64{0} // the series began later
	}
	q := quantiles(calm, 0.25, 0.5, 0.75)
	m.calm, m.iqr, m.peak = q[1], q[2]-q[0], q[1]
	for i, r := range then {
		if i == 0 || math.Abs(r.value-m.calm) > math.Abs(m.peak-m.calm) {
			m.peak, m.at = r.value, r.at
		}
	}
	return m
}

func (p *SaturationMetrics) judge(d *docket, kind saturation, m movement, needless string, s span) {
	if m.name == "" {
		if kind.named != "" {
			d.against("the metrics have no series %s, which should tell of %s", kind.named, kind.says)
			return
		}
		d.against("no metric tells of %s; looked for %s", kind.says, kind.looked)
		return
	}
	shown := Evidence{
		At: m.at, Kind: journal.Scrape{}.Kind(), On: m.replica, Excerpt: fmt.Sprintf("%s is %.4g", m.name, m.peak),
	}
	if kind.frozen {
		if !m.changed {
			d.point(shown)
			d.against("%s stands for %s, and never changed in the whole run", m.name, kind.says)
		}
		return
	}
	moved := m.ranges(p.Moves)
	figure := bounded("moved_"+kind.kind, moved, "1", ">=", p.Moves, m.samples)
	d.add(figure)
	switch {
	case figure.Holds():
		d.note("%s went from %.4g to %.4g", m.name, m.calm, m.peak)
	case m.looks == 0:
		d.doubt("%s, which stands for %s, was not scraped in %v", m.name, kind.says, s)
	case needless != "":
		d.doubt("%s %v, so that %s need not show in %s, which went from %.4g to %.4g", needless, s, kind.says, m.name,
			m.calm, m.peak)
	default:
		d.point(shown)
		d.against("callers waited in %v, and %s did not show it: %.4g at most, %.4g before (%.3g of its usual ranges of "+
			"%.3g; %.3g are needed): have it follow %s", s, m.name, m.peak, m.calm, moved, max(m.iqr, 1/p.Moves), p.Moves,
			kind.says)
	}
}

// movedSaid lists what moved, for the reason of a finding that held.
func movedSaid(all []journal.Quantity) []string {
	var said []string
	for _, q := range all {
		said = append(said, strings.TrimPrefix(q.Name, "moved_"))
	}
	return said
}

// readings are the line's values with their instants.
func (l *line) readings() []reading {
	all := make([]reading, 0, len(l.values))
	for i, v := range l.values {
		all = append(all, reading{l.at[i], journal.Scrape{}.Kind(), v})
	}
	return all
}
