package detect

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// DependencyMetrics asks whether the metrics tell which dependency is in
// trouble (D82). While a dependency is slowed down, the mean of at least one of
// its series of durations must rise by Rise of the latency that was injected,
// and those of other dependencies by at most Others of it. While it fails, its
// errors must be counted: ErrorShare of the answers that the fault made, or at
// least one where the fault makes no answers.
//
// The injected latency is measured: the median round trip of our own through the
// dependency's proxy in the fault, less the one before it. A series of durations
// is a histogram's or summary's sum and count; it is a dependency's where its
// name or a label says the dependency's name, else where they say its kind (sql,
// db, query, redis, cache…), else where the name says client, outbound, upstream,
// dependency or external. The last may be any dependency's that is the only one of
// its kind: where there are two, a series must name the one, or it says nothing of
// either. The durations of the requests that the service answers, of waiting for a
// pool and of the collector are nobody's. Growth is taken between scrapes inside
// the steady state and inside the fault, over all replicas; a series counts with
// FewestCalls in each.
//
// That others moved is held against the service only beyond 25 ms: less is the
// machine's, not the service's (in recorded runs of the reference service other
// means rose by at most 3.1 ms). Fewer errors than were made are unknown,
// because a service may count calls and not attempts; none at all are a
// violation. While a Redis fails, the share of hits among the look-ups that the
// metrics count, where they do, must fall to half of what it was. Source:
// detectors.md D82.
type DependencyMetrics struct {
	// On is the dependency. Empty: the faults' targets.
	On string `json:"on,omitempty" yaml:"on"`
	// Rise is the least rise of its mean, as a share of the latency injected.
	// Default 0.7.
	Rise float64 `json:"rise,omitempty" yaml:"rise"`
	// Others is the largest rise of the others' means. Default 0.3.
	Others float64 `json:"others,omitempty" yaml:"others"`
	// ErrorShare is the least share of the injected errors that is counted.
	// Default 0.9.
	ErrorShare float64 `json:"error_share,omitempty" yaml:"error_share"`
	// FewestCalls is how many a series must have counted. Default 10.
	FewestCalls int `json:"fewest_calls,omitempty" yaml:"fewest_calls"`
	// Names are further words by which a dependency is called in metrics.
	Names map[string][]string `json:"names,omitempty" yaml:"names"`
}

var _ = register(Info{
	Kind: "dependency_metrics", ID: "D82", Checklist: []string{"7.5"}, Class: Timing,
	Summary: "the metrics tell which dependency is slow or failing",
}, func() Detector { return new((&DependencyMetrics{}).resolved()) })

func (p *DependencyMetrics) resolved() DependencyMetrics {
	q := *p
	q.Rise = orDefault(p.Rise, 0.7)
	q.Others = orDefault(p.Others, 0.3)
	q.ErrorShare = orDefault(p.ErrorShare, 0.9)
	q.FewestCalls = orDefault(p.FewestCalls, 10)
	return q
}

// dependencyLooked is what a dependency's series of durations is known by.
func dependencyLooked(h journal.Header, dep journal.DependencyInfo) string {
	const looked = "a histogram or summary of durations that "
	if names := namesLooked(h, dep); names != "" {
		return looked + names
	}
	return looked + "names the dependency or its kind in its name or in a label, or says client, outbound, upstream, " +
		"dependency or external"
}

// othersBearable is how far other dependencies' means may rise in any case.
const othersBearable = 25 * time.Millisecond

// Detect judges every fault step on a dependency.
func (p *DependencyMetrics) Detect(j journal.Journal) Finding {
	d := open("dependency_metrics")
	if outcome, err := unscraped(j); err != nil {
		return d.as(outcome, "%v", err)
	}
	steady, err := steadySpan(j)
	if err != nil {
		return d.unknown("what the metrics say when all is well is not known: %v", err)
	}
	before, err := grownWithin(j, steady.hull())
	if err != nil {
		return d.unknown("%v", err)
	}
	q, judged := p.resolved(), 0
	for _, s := range j.Steps() {
		dep, ok := dependencyOf(j.Header(), s.Target)
		if s.Class != "fault" || !ok || q.On != "" && q.On != dep.Name {
			continue
		}
		judged++
		w, ok := carriedOut(s)
		if !ok || w.To == 0 {
			d.doubt("step %q (%s on %s) was not in force to its end%s", s.Name, s.Action, s.Target, because(s))
			continue
		}
		if s.Action == "latency" {
			q.slow(d, j, dep, w, steady.hull(), before)
		} else {
			q.failing(d, j, dep, s, w)
			if dep.Kind == "redis" {
				q.hits(d, j, dep, w, before)
			}
		}
	}
	if judged == 0 {
		return d.unknown("no step of the method is a fault on a dependency, so its metrics have nothing to show")
	}
	return d.close("the metrics tell what was wrong: %s", strings.Join(dependenciesSaid(d.Quantities), ", "))
}

func dependenciesSaid(all []journal.Quantity) []string {
	var said []string
	for _, q := range all {
		if name, ok := strings.CutPrefix(q.Name, "rise_"); ok {
			said = append(said, "the mean of "+name+" rose by "+briefSeconds(q.Value))
		}
		if name, ok := strings.CutPrefix(q.Name, "errors_told_"); ok {
			said = append(said, "errors of "+name+" were counted")
		}
	}
	return said
}

func dependencyOf(h journal.Header, name string) (journal.DependencyInfo, bool) {
	for _, d := range h.Dependencies {
		if d.Name == name {
			return d, true
		}
	}
	return journal.DependencyInfo{}, false
}

// meanOf is a series' mean duration within a growth, and how many it counted.
func meanOf(g seriesGrowth, count journal.Sample) (mean time.Duration, n int) {
	total := g.samples[count.Key()].Value
	sum := count
	sum.Name = strings.TrimSuffix(count.Name, "_count") + "_sum"
	s, ok := g.samples[sum.Key()]
	if !ok || total <= 0 {
		return 0, 0
	}
	seconds := s.Value * secondsPer(sum.Name) / total
	return time.Duration(seconds * float64(time.Second)), int(math.Round(total))
}

// durations are the counts of a dependency's series of durations.
func (p *DependencyMetrics) durations(h journal.Header, g seriesGrowth) []journal.Sample {
	grown := g.list()
	requests, _, _ := durationFamily(grown)
	return slices.DeleteFunc(grown, func(s journal.Sample) bool {
		family, counts := strings.CutSuffix(s.Name, "_count")
		return !counts || s.Type != "histogram" && s.Type != "summary" || family == requests || p.tieTo(h, s).strength == 0 ||
			words(family, "wait", "acquire", "bytes", "size", "gc_") ||
			words(family, "http_server", "server_request", "promhttp")
	})
}

// slow holds the rise of every series to what was injected.
func (p *DependencyMetrics) slow(
	d *docket, j journal.Journal, dep journal.DependencyInfo, w, steady journal.Window, before seriesGrowth,
) {
	injected, n := injectedLatency(j, dep.Name, steady, w)
	if n == 0 || injected <= 0 {
		d.doubt("how much slower %s was between %v and %v was not measured", dep.Name, w.From, w.To)
		return
	}
	then, err := grownWithin(j, w)
	if err != nil {
		d.doubt("%v", err)
		return
	}
	r := p.rises(j.Header(), dep, before, then)
	least := time.Duration(p.Rise * float64(injected))
	bound := max(time.Duration(p.Others*float64(injected)), othersBearable)
	d.add(measured("injected_"+dep.Name, injected.Seconds(), "s", n),
		bounded("rise_"+dep.Name, r.own.rise.Seconds(), "s", ">=", least.Seconds(), r.own.calls),
		boundedTime("others_rise", max(r.other.rise, 0), bound, r.other.calls))
	switch {
	case r.seen == 0:
		d.against("no metric tells how long calls to %s take; looked for %s", dep.Name,
			dependencyLooked(j.Header(), dep)+vagueSaid(j.Header(), dep, r.vague))
	case r.own.calls == 0:
		d.doubt("no series of %s counted %d calls before and in the fault: send more requests that use it", dep.Name,
			p.FewestCalls)
	case r.own.rise < least:
		d.pointScrapes(j, w.To, func(s journal.Sample) bool { return seriesSaid(s) == r.own.name })
		d.against("%s answered %v later between %v and %v, and the mean of its slowest series, %s, rose by %v; %v would be "+
			"true: measure the whole call, per dependency", dep.Name, brief(injected), w.From, w.To, r.own.name,
			brief(r.own.rise), brief(least))
	default:
		d.note("%s rose by %v when %s answered %v later", r.own.name, brief(r.own.rise), dep.Name, brief(injected))
	}
	if r.other.rise > bound {
		d.pointScrapes(j, w.To, func(s journal.Sample) bool { return seriesSaid(s) == r.other.name })
		d.against("%s answered %v later, and the mean of %s, a series of %s, rose by %v (at most %v): label each call by "+
			"the dependency that it goes to", dep.Name, brief(injected), r.other.name, r.other.owner, brief(r.other.rise),
			brief(bound))
	}
}

// rising is the series whose mean rose most.
type rising struct {
	name, owner string
	rise        time.Duration
	calls       int
}

// riseOf are the largest rises of a dependency's series and of others'.
type riseOf struct {
	own, other rising
	seen       int    // series that may be the dependency's
	vague      string // one that may be its or another's of its kind
}

func (p *DependencyMetrics) rises(
	h journal.Header, dep journal.DependencyInfo, before, then seriesGrowth,
) (out riseOf) {
	all := p.durations(h, then)
	tied := slices.ContainsFunc(all, func(s journal.Sample) bool { return p.tieTo(h, s).owner == dep.Name })
	for _, s := range all {
		t := p.tieTo(h, s)
		own := t.owner == dep.Name || t.may(h, dep) && !tied
		out.seen += one(own)
		if !own && t.vague(h, dep) {
			out.vague = strings.TrimSuffix(s.Name, "_count")
		}
		was, calls := meanOf(before, s)
		is, now := meanOf(then, s)
		if calls < p.FewestCalls || now < p.FewestCalls {
			continue
		}
		r := rising{seriesSaid(s), t.owner, is - was, now}
		switch {
		case own && (out.own.calls == 0 || r.rise > out.own.rise):
			out.own = r
		case !own && t.owner != "" && (out.other.calls == 0 || r.rise > out.other.rise):
			out.other = r
		}
	}
	return out
}

// seriesSaid is a series as Prometheus writes it, without _count.
func seriesSaid(s journal.Sample) string {
	s.Name = strings.TrimSuffix(s.Name, "_count")
	return sampleSaid(s)
}

// sampleSaid is a sample's series as Prometheus writes it.
func sampleSaid(s journal.Sample) string {
	var labels []string
	for _, l := range slices.Sorted(maps.Keys(s.Labels)) {
		labels = append(labels, l+"="+s.Labels[l])
	}
	if len(labels) == 0 {
		return s.Name
	}
	return s.Name + "{" + strings.Join(labels, ",") + "}"
}

// injectedLatency is how much longer our own round trips took in the fault, and
// on how many of them that rests.
func injectedLatency(j journal.Journal, on string, steady, w journal.Window) (time.Duration, int) {
	before, then := newLatencies(), newLatencies()
	for e, r := range journal.Of[journal.RoundTrip](j) {
		switch {
		case e.On != on || r.Err != "" || r.Pooled:
		case steady.Contains(e.At) && steady.Contains(e.At.Add(r.RTT)):
			before.add(r.RTT)
		case w.Contains(e.At) && w.Contains(e.At.Add(r.RTT)):
			then.add(r.RTT)
		}
	}
	if before.count() == 0 || then.count() == 0 {
		return 0, 0
	}
	return then.at(0.5) - before.at(0.5), then.count()
}
