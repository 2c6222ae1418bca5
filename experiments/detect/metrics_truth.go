package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// MetricsTruth asks whether the service's request metrics say what its callers
// saw (D80): for every route and class of status (2xx, 4xx, 5xx), as many
// requests as were answered, summed over the replicas; and a duration
// histogram in seconds whose mean is that of the callers, at most 20 ms and
// 10 % below it and 5 ms above.
//
// It needs a scrape of every replica before the first request, one at least
// 50 ms after the last answer, at least AtLeast answered requests, and failures
// among them: where everything succeeds, an error counted as a success cannot
// show. Requests that got no answer, or were sent twice by the transport, may
// or may not be counted; requests that were under way between the last scrape
// of a process and the first of its successor may be missing.
//
// The counter is found by its shape: see Counter. A traffic request belongs to
// the label value whose path has the same segments ({id}, :id, *, {{.id}} and
// ${id} all stand for a varying one), with the method where there is a label
// for it or the value begins with one; where no path fits any label value, to
// the value whose total is its own; and where that finds none either, only
// classes are compared, over all routes and with the health polls and scrapes
// allowed for.
type MetricsTruth struct {
	// Counter names the request counter or histogram. Empty: the likeliest
	// counter with a label for the status.
	Counter string `json:"counter,omitempty" yaml:"counter"`
	// Duration names the duration histogram, without _sum. Empty: the
	// likeliest histogram of durations.
	Duration string `json:"duration,omitempty" yaml:"duration"`
	// CodeLabel names the label for the status. Empty: found by its usual names
	// and by its values.
	CodeLabel string `json:"code_label,omitempty" yaml:"code_label"`
	// RouteLabel names the label for the route. Empty: found by its usual names.
	RouteLabel string `json:"route_label,omitempty" yaml:"route_label"`
	// MethodLabel names the label for the method. Empty: found by its usual
	// names.
	MethodLabel string `json:"method_label,omitempty" yaml:"method_label"`
	// AtLeast is how many answered requests are needed. Default 100.
	AtLeast int `json:"at_least,omitempty" yaml:"at_least"`
	// Failures is how many of them must be 4xx or 5xx. Default 10.
	Failures int `json:"failures,omitempty" yaml:"failures"`
}

var _ = register(Info{
	Kind: "metrics_truth", ID: "D80", Checklist: []string{"7.3", "7.4"}, Class: Timing,
	Summary: "the request metrics say what callers saw: rate, errors and duration of every route",
}, func() Detector { return &MetricsTruth{AtLeast: 100, Failures: 10} })

// Detect compares the two counts.
func (p *MetricsTruth) Detect(j journal.Journal) Finding {
	d := open("metrics_truth")
	from, ok := firstSent(j)
	if !ok {
		return d.unknown("no request was sent, so there is nothing to compare the metrics with")
	}
	grown, gaps, err := grownSince(j, from)
	if err != nil {
		return d.as(scrapeOutcome(j), "%v", err)
	}
	callers := countCallers(j, gaps)
	p.premise(d, callers)
	families := p.counters(grown, float64(callers.answered))
	if len(families) == 0 {
		d.against("the metrics do not count requests by status; looked for %s", p.lookedFor())
		return d.close("")
	}
	counter := families[0]
	nodes := nodesOf(grown, counter)
	groups, foreign := match(j.Header().Routes, callers, nodes, counter.route != "")
	for i := range groups {
		groups[i].extra += callers.strange.answers() // which series count them is the service's affair
	}
	worst := p.compare(d, j, counter, groups, foreign, callers)
	worst = max(worst, p.strangers(d, counter, nodes, callers))
	p.durations(d, j, grown, groups)
	d.add(measured("answered", float64(callers.answered), "1", callers.answered),
		bounded("count_error_max", worst, "1", "==", 0, callers.answered))
	return d.close("%s counts the %d answers as callers saw them, in %d routes and by class of status",
		counter.name, callers.answered, len(groups))
}

// lookedFor says what counts as the request counter.
func (p *MetricsTruth) lookedFor() string {
	if p.Counter == "" {
		return requestLooked
	}
	return fmt.Sprintf("%s, as it is named in the parameters, with a label %s whose values are HTTP statuses or classes "+
		"of them", p.Counter, orDefault(p.CodeLabel, "for the status"))
}

// scrapeOutcome tells a service without metrics from one whose scrapes failed.
func scrapeOutcome(j journal.Journal) Outcome {
	for range journal.Of[journal.Scrape](j) {
		return Unknown
	}
	return NotApplicable
}

func (p *MetricsTruth) premise(d *docket, c callers) {
	if need := max(p.AtLeast, 1); c.answered < need {
		d.doubt("only %d requests were answered, and %d are needed", c.answered, need)
	}
	if c.failures < p.Failures {
		d.doubt("only %d of %d answers were 4xx or 5xx, and %d are needed: errors counted as "+
			"successes would not show",
			c.failures, c.answered, p.Failures)
	}
	if lost := ratio(c.missing, c.answered); lost > mostMissing {
		d.doubt("%s of the requests were under way while a replica was not scraped (before its first scrape, around a "+
			"restart, or after its last), so that they may be missing from the metrics", pctSeen(lost))
	}
}

// mostMissing is the share of requests that may fall between scrapes.
const mostMissing = 0.05

// counters are the candidates, with the names that were given.
func (p *MetricsTruth) counters(grown []journal.Sample, answered float64) []family {
	if p.CodeLabel != "" {
		relabelled := slices.Clone(grown)
		for i, s := range relabelled {
			if _, ok := s.Labels[p.CodeLabel]; ok {
				relabelled[i].Labels = maps.Clone(s.Labels)
				for _, other := range codeLabels {
					delete(relabelled[i].Labels, other)
				}
				relabelled[i].Labels[codeLabels[0]] = s.Labels[p.CodeLabel]
			}
		}
		grown = relabelled
	}
	families := requestFamilies(grown, answered, strings.TrimSuffix(p.Counter, "_count"))
	for i := range families {
		families[i].code = orDefault(p.CodeLabel, families[i].code)
		families[i].route = orDefault(p.RouteLabel, families[i].route)
		families[i].method = orDefault(p.MethodLabel, families[i].method)
	}
	return families
}

// compare holds the counter of every group of routes to what callers saw, and
// returns by how much it is off at most.
func (p *MetricsTruth) compare(
	d *docket, j journal.Journal, counter family, groups []routeGroup, foreign []node, c callers,
) float64 {
	if len(groups) == 0 {
		all := routeGroup{nodes: foreign, seen: c.total(), extra: c.extra + asked(j)}
		d.note("no label of %s could be tied to the traffic's requests, so only classes of status were compared",
			counter.name)
		return p.compareGroup(d, counter, all, "all routes")
	}
	worst := 0.0
	for _, g := range groups {
		if len(g.nodes) == 0 && g.seen.certain() > 0 {
			d.against("request %s was answered %d times and has no series in %s; there are %s",
				strings.Join(g.routes, ", "), g.seen.answers(), counter.name, labelsOf(foreign))
			worst = max(worst, float64(g.seen.certain()))
			continue
		}
		worst = max(worst, p.compareGroup(d, counter, g, strings.Join(g.routes, ", ")))
	}
	return worst
}

// strangers asks that requests for what is not there (attack: {strange: true})
// are counted, too: together with all others, each class at least as often as it
// was answered.
func (p *MetricsTruth) strangers(d *docket, counter family, nodes []node, c callers) float64 {
	if c.strange.answers() == 0 {
		return 0
	}
	all := c.total()
	all.add(c.strange)
	worst := 0.0
	for _, class := range classes {
		told := 0.0
		for _, n := range nodes {
			told += n.classes[class]
		}
		off := float64(all.answered[class]-all.missing[class]) - told
		worst = max(worst, off)
		if off < 0.5 || c.strange.answered[class] == 0 {
			continue
		}
		d.against("callers got %d answers of %s, %d of them to requests for what is not there; %s counts %.0f: count what "+
			"no route matches as well, under one value for all", all.answered[class], class, c.strange.answered[class],
			counter.name, told)
		d.point(c.strange.example[class])
	}
	return worst
}

func (p *MetricsTruth) compareGroup(
	d *docket, counter family, g routeGroup, what string,
) float64 {
	worst := 0.0
	for _, class := range classes {
		told := 0.0
		for _, n := range g.nodes {
			told += n.classes[class]
		}
		saw, missing := g.seen.answered[class], g.seen.missing[class]
		low, high := float64(saw-missing), float64(saw+g.extra)
		off := max(low-told, told-high, 0)
		worst = max(worst, off)
		if off < 0.5 {
			continue
		}
		may := ""
		if missing+g.extra > 0 {
			may = fmt.Sprintf(" (%.0f to %.0f with what cannot be known)", low, high)
		}
		truthBroken(d, "count each request once, by the status that was sent, when its handler has returned",
			"callers of %s got %d answers of %s%s, and %s counts %.0f", what, saw, class, may, counter.name, told)
		d.point(g.seen.example[class])
	}
	return worst
}

// truthBroken adds a problem; the first says what was promised, and what to do.
func truthBroken(d *docket, remedy, format string, args ...any) {
	text := say(format, args...)
	if len(d.problems) == 0 {
		text = "promised: metrics say what callers saw; " + text + ": " + remedy
	}
	d.against("%s", text)
}

// durations holds the duration histogram's means to those of the callers.
func (p *MetricsTruth) durations(d *docket, j journal.Journal, grown []journal.Sample, groups []routeGroup) {
	name, unit, ok := durationFamily(grown)
	if p.Duration != "" {
		name, unit, ok = p.Duration, 1, true
	}
	if !ok {
		d.against("the metrics have no request durations; looked for %s", durationLooked)
		return
	}
	if unit != 1 {
		d.against("%s is not in seconds, the unit that dashboards and alerts expect", name)
	}
	route := orDefault(p.RouteLabel, routeLabelOf(grown, name))
	tied := false
	for _, g := range groups {
		told := durationOf(grown, name, route, orDefault(p.MethodLabel, methodLabelOf(grown, name)), g)
		tied = tied || told.count > 0
		if told.count == 0 || g.seen.answers() < fewestBaseline || ratio(g.extra, g.seen.answers()) > dropsBearable {
			continue
		}
		mean, saw := time.Duration(told.sum*unit/told.count*float64(time.Second)), g.seen.mean()
		low, high := saw-saw/10-meanBelow, saw+meanAbove
		d.add(measured("duration_mean_"+g.routes[0], mean.Seconds(), "s", int(told.count)),
			measured("caller_mean_"+g.routes[0], saw.Seconds(), "s", g.seen.answers()))
		if mean >= low && mean <= high {
			continue
		}
		text := fmt.Sprintf("callers of %s waited %v on average, and %s says %v (%v to %v would be true)",
			strings.Join(g.routes, ", "), brief(saw), name, brief(mean), brief(max(low, 0)), brief(high))
		if mean < low && g.seen.lag.at(0.99) > time.Duration(guardLag*float64(j.Header().Promises.SLOLatency)) {
			d.doubt("%s; but the load generator was late itself", text)
			continue
		}
		truthBroken(d, "time the whole handler", "%s", text)
	}
	if !tied {
		d.note("no label of %s could be tied to the traffic's requests, so its mean was not compared", name)
	}
}

// meanBelow and meanAbove are how far the service's mean may lie from the
// callers', beside a tenth: what the network, the balancer and the client add,
// and the coarseness of clocks.
const (
	meanBelow = 20 * time.Millisecond
	meanAbove = 5 * time.Millisecond
)
