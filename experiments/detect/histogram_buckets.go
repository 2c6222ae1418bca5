package detect

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// HistogramBuckets asks whether the buckets of the request durations are fine
// enough to read latencies from (D81): while a fault makes answers slow, the
// quantiles that histogram_quantile computes from each route's buckets must be
// those that callers saw (p50 and p95 within 30 %, p99 within 75 %), at most
// 1 % of the requests may lie above the last finite bound, and the promised
// slo_latency must be a bound, so that the share of good answers can be counted.
//
// A quantile is judged where callers waited at least Floor: below it the network
// and the balancer are too large a part of what they saw. Where all answers fall
// into one bucket the error is as large as that bucket, whatever its bounds: with
// answers of 250 to 360 ms the default bounds of Prometheus' clients (.25, .5)
// read p95 37 % too high. So an error above the tolerance is a violation only if
// the bucket's bounds lie further apart than Resolution times, or if callers'
// quantile is not in that bucket at all; otherwise it is a remark. Simulated
// (detectors.md D81): bounds .1, 1, 10 are wrong by 84 to 300 %, a last bound of
// 1 s under slower answers by 50 to 87 %.
//
// It needs AtLeast answers of a route in the fault (100 for p99), and scrapes in
// it. A histogram with no bound but +Inf is taken for a native one, whose
// buckets the text format does not show: not applicable. The bound at the SLO is
// required where the owner stated the promise, and else a remark.
type HistogramBuckets struct {
	// Duration names the duration histogram, without _bucket. Empty: the
	// likeliest histogram of durations.
	Duration string `json:"duration,omitempty" yaml:"duration"`
	// RouteLabel names the label for the route. Empty: found by its usual names.
	RouteLabel string `json:"route_label,omitempty" yaml:"route_label"`
	// MethodLabel names the label for the method. Empty: found by its usual
	// names.
	MethodLabel string `json:"method_label,omitempty" yaml:"method_label"`
	// During is the window: fault (default), steady, method, all or a step's name.
	During string `json:"during,omitempty" yaml:"during"`
	// Floor is the shortest quantile that is judged. Default 50ms.
	Floor time.Duration `json:"floor,omitempty" yaml:"floor"`
	// AtLeast is how many answers of a route are needed. Default 60.
	AtLeast int `json:"at_least,omitempty" yaml:"at_least"`
	// Resolution is the largest ratio between a bucket's bounds that is excused.
	// Default 2.5, the coarsest of the clients' default bounds.
	Resolution float64 `json:"resolution,omitempty" yaml:"resolution"`
	// AboveShare is the largest share above the last finite bound. Default 0.01.
	AboveShare float64 `json:"above_share,omitempty" yaml:"above_share"`
}

var _ = register(Info{
	Kind: "histogram_buckets", ID: "D81", Checklist: []string{"7.4"}, Class: Timing,
	Summary: "the buckets of the request durations are fine enough to read slow answers and the SLO from",
}, func() Detector { return new((&HistogramBuckets{}).resolved()) })

func (p *HistogramBuckets) resolved() HistogramBuckets {
	q := *p
	q.Floor = orDefault(p.Floor, 50*time.Millisecond)
	q.AtLeast = orDefault(p.AtLeast, 60)
	q.Resolution = orDefault(p.Resolution, 2.5)
	q.AboveShare = orDefault(p.AboveShare, 0.01)
	return q
}

// bucketQuantiles are judged with their tolerances; p99 needs 100 answers.
var bucketQuantiles = []struct {
	name         string
	q, tolerance float64
	need         int
}{{"p50", 0.5, 0.30, 1}, {"p95", 0.95, 0.30, 1}, {"p99", 0.99, 0.75, 100}}

// Detect compares the quantiles of the buckets with those of the callers.
func (p *HistogramBuckets) Detect(j journal.Journal) Finding {
	d := open("histogram_buckets")
	q := p.resolved()
	if outcome, err := unscraped(j); err != nil {
		return d.as(outcome, "%v", err)
	}
	s, err := resolve(j, q.During, DuringFault)
	if err != nil {
		return d.unknown("the buckets cannot be judged: %v", err)
	}
	g, err := grownWithin(j, s.hull())
	if err != nil {
		return d.unknown("%v", err)
	}
	grown := g.list()
	name, unit, ok := durationFamily(grown)
	if q.Duration != "" {
		name, unit, ok = q.Duration, secondsPer(q.Duration), true
	}
	if !ok {
		return d.violated("the metrics have no request durations in buckets; looked for %s", durationLooked)
	}
	all := bucketsOf(grown, name, unit, func(map[string]string) bool { return true })
	switch {
	case all.count == 0:
		return d.unknown("%s counted nothing in %v, so its buckets cannot be judged", name, s)
	case len(all.bounds) == 0:
		return d.notApplicable("%s has no bound but +Inf, as native histograms look in the text format", name)
	}
	q.top(d, name, all)
	q.boundary(d, j.Header(), name, all)
	judged := q.routes(d, j, g, name, unit)
	if len(d.problems) > 0 {
		d.pointScrapes(j, g.window.To, func(s journal.Sample) bool { return s.Name == name+"_count" && s.Value > 0 })
	}
	return d.close("%s, read by histogram_quantile, says what callers of %s saw, and has a bound at the SLO of %v",
		name, strings.Join(judged, ", "), j.Header().Promises.SLOLatency)
}

// buckets is one histogram: how many requests took at most each bound.
type buckets struct {
	bounds []float64 // finite, in seconds, ascending
	counts []float64 // cumulative
	count  float64
}

// bucketsOf sums the buckets of the series that a function picks.
func bucketsOf(grown []journal.Sample, name string, unit float64, pick func(map[string]string) bool) buckets {
	var b buckets
	sums := map[float64]float64{}
	for _, s := range grown {
		if s.Name != name+"_bucket" || !pick(s.Labels) {
			continue
		}
		le, err := strconv.ParseFloat(s.Labels["le"], 64)
		if err != nil {
			continue
		}
		if math.IsInf(le, 1) {
			b.count += s.Value
			continue
		}
		le *= unit
		if _, known := sums[le]; !known {
			b.bounds = append(b.bounds, le)
		}
		sums[le] += s.Value
	}
	slices.Sort(b.bounds)
	for _, le := range b.bounds {
		b.counts = append(b.counts, sums[le])
	}
	return b
}

// quantile is Prometheus' histogram_quantile, and the bucket in which it lies;
// the last bucket's upper bound is infinite.
func (b buckets) quantile(q float64) (value, low, high float64) {
	rank := q * b.count
	below := 0.0
	for i, le := range b.bounds {
		if b.counts[i] >= rank {
			if b.counts[i] == below {
				return low, low, le
			}
			return low + (le-low)*(rank-below)/(b.counts[i]-below), low, le
		}
		low, below = le, b.counts[i]
	}
	return low, low, math.Inf(1)
}

// top holds the share above the last finite bound to its limit.
func (p *HistogramBuckets) top(d *docket, name string, b buckets) {
	last := len(b.bounds) - 1
	above := (b.count - b.counts[last]) / b.count
	d.add(bounded("above_last_bound", above, "1", "<=", p.AboveShare, int(b.count)))
	if above > p.AboveShare {
		d.against("%s of the requests lie above %s, the last finite bound of %s, where quantiles cannot be read; at most %s "+
			"should: add bounds", pctSeen(above), briefSeconds(b.bounds[last]), name, pct(p.AboveShare))
	}
}

// boundary asks for a bound at the SLO.
func (p *HistogramBuckets) boundary(d *docket, h journal.Header, name string, b buckets) {
	slo := h.Promises.SLOLatency.Seconds()
	if slices.ContainsFunc(b.bounds, func(le float64) bool { return math.Abs(le-slo) <= slo/1000 }) {
		return
	}
	said := make([]string, len(b.bounds))
	for i, le := range b.bounds {
		said[i] = briefSeconds(le)
	}
	text := fmt.Sprintf("%s has no bound at the SLO of %v, so the share of answers within it cannot be read; its bounds "+
		"are %s", name, h.Promises.SLOLatency, strings.Join(said, ", "))
	if slices.Contains(h.Defaults, "slo_latency") {
		d.note("%s (slo_latency is a default: promise your own)", text)
		return
	}
	d.against("%s", text)
}

// routes compares every route that was slow enough, and names those it judged.
func (p *HistogramBuckets) routes(
	d *docket, j journal.Journal, g seriesGrowth, name string, unit float64,
) (judged []string) {
	grown := g.list()
	route := orDefault(p.RouteLabel, routeLabelOf(grown, name))
	method := orDefault(p.MethodLabel, methodLabelOf(grown, name))
	groups := p.groups(j, grown, name, route, method)
	if len(groups) == 0 {
		d.doubt("no label of %s could be tied to the traffic's requests, so its quantiles cannot be compared", name)
		return nil
	}
	for _, group := range groups {
		saw := newLatencies()
		for r := range j.Requests(journal.Window{}) {
			if r.Code != 0 && g.window.Contains(r.Done) && slices.Contains(group.routes, r.Route) {
				saw.add(r.RawLatency())
			}
		}
		told := bucketsOf(grown, name, unit, func(l map[string]string) bool { return group.covers(l[route], l[method]) })
		label := strings.Join(group.routes, "+")
		if saw.count() >= p.AtLeast && told.count > 0 && p.compare(d, name, label, told, saw) {
			judged = append(judged, strings.Join(group.routes, ", "))
		}
	}
	if len(judged) == 0 {
		d.doubt("no route answered %d requests with a quantile of %v or more between %v and %v: slow a dependency down "+
			"for longer", p.AtLeast, p.Floor, g.window.From, g.window.To)
	}
	return judged
}

// groups ties the traffic's requests to the histogram's label values.
func (p *HistogramBuckets) groups(
	j journal.Journal, grown []journal.Sample, name, route, method string,
) []routeGroup {
	found := map[string]*node{}
	var order []string
	for _, s := range grown {
		if s.Name != name+"_count" || s.Value == 0 {
			continue
		}
		value := s.Labels[route]
		in, shape := pathShape(value)
		in = strings.ToUpper(cmp.Or(s.Labels[method], in))
		if found[in+" "+value] == nil {
			found[in+" "+value] = &node{value: value, method: in, shape: shape}
			order = append(order, in+" "+value)
		}
		found[in+" "+value].total += s.Value
	}
	var nodes []node
	for _, key := range order {
		nodes = append(nodes, *found[key])
	}
	groups, _ := match(j.Header().Routes, countCallers(j, nil), nodes, route != "")
	return slices.DeleteFunc(groups, func(g routeGroup) bool { return len(g.nodes) == 0 })
}

// compare holds one route's quantiles to those of its callers; false when none
// was long enough to be judged.
func (p *HistogramBuckets) compare(d *docket, name, label string, told buckets, saw latencies) bool {
	any := false
	for _, q := range bucketQuantiles {
		want := saw.at(q.q)
		if want < p.Floor || saw.count() < q.need {
			continue
		}
		any = true
		got, low, high := told.quantile(q.q)
		off := got/want.Seconds() - 1
		figure := bounded(q.name+"_error_"+label, math.Abs(off), "1", "<=", q.tolerance, saw.count())
		if figure.Holds() {
			d.add(figure)
			continue
		}
		text := fmt.Sprintf("callers of %s saw a %s of %v; %s says %s, %+.0f %% off, from its bucket of %s to %s",
			label, q.name, brief(want), name, briefSeconds(got), 100*off, briefSeconds(low), boundSaid(high))
		if within(want, low, high) && high <= p.Resolution*low {
			d.note("%s, which is no coarser than usual", text)
			d.add(measured(figure.Name, figure.Value, "1", saw.count()))
			continue
		}
		d.add(figure)
		if within(want, low, high) {
			d.against("%s: put bounds around the latencies that matter", text)
		} else {
			d.against("%s, where that %s is not: measure from a request's arrival to the end of its answer", text, q.name)
		}
	}
	return any
}

// within says that what callers saw may lie in a bucket: the network and the
// client come on top of what the service measures.
func within(saw time.Duration, low, high float64) bool {
	return (saw+meanAbove).Seconds() >= low && (saw-saw/10-meanBelow).Seconds() <= high
}

func boundSaid(le float64) string {
	if math.IsInf(le, 1) {
		return "+Inf"
	}
	return briefSeconds(le)
}
