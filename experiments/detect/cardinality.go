package detect

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Cardinality asks whether the number of series stays bounded while callers
// send ever new ids (D84): from the scrape after Early requests with something
// varying in their paths to the last one, no label may gain more than Growth
// values, and no metric may have more than Most series of a replica beside its
// buckets and quantiles.
//
// It counts values of labels, and not series, because a fault rightly adds
// series: of new statuses and outcomes, each with all of its buckets. Those are
// few and do not go on growing; measured on the reference service over all
// recorded experiments, no label gained more than 3. The labels of all replicas
// together are counted, across restarts. It needs Early and then Later such
// requests that were answered.
//
// Where an attack asked for what nobody has heard of (strange: paths, ids,
// methods and hosts that are not known, queries and user agents that are new
// each time), its requests are counted instead, and no label may gain more than
// Strange values after the first Early of them: nothing is broken then, and
// whatever such requests can cause the first 100 have caused.
// Sources: detectors.md D84; Prometheus: aim for less than 10 series a metric,
// and look for another way above 100.
type Cardinality struct {
	// Early is how many varying requests come before the count. Default 100.
	Early int `json:"early,omitempty" yaml:"early"`
	// Later is how many more are needed. Default 200.
	Later int `json:"later,omitempty" yaml:"later"`
	// Growth is how many values a label may gain. Default 10.
	Growth int `json:"growth,omitempty" yaml:"growth"`
	// Strange is how many values a label may gain by requests for what nobody
	// has heard of. Default 2.
	Strange int `json:"strange,omitempty" yaml:"strange"`
	// Most is how many series a metric may have. Default 100.
	Most int `json:"most,omitempty" yaml:"most"`
	// Ignore lists metrics that are not judged.
	Ignore []string `json:"ignore,omitempty" yaml:"ignore"`
}

var _ = register(Info{
	Kind: "cardinality", ID: "D84", Checklist: []string{"7.4"}, Class: Timing,
	Summary: "the number of series does not grow with the ids that callers send",
}, func() Detector { return &Cardinality{Early: 100, Later: 200, Growth: 10, Strange: 2, Most: 100} })

// Detect compares the labels early and late.
func (p *Cardinality) Detect(j journal.Journal) Finding {
	d := open("cardinality")
	if outcome, err := unscraped(j); err != nil {
		return d.as(outcome, "%v", err)
	}
	q := *p
	var until journal.Instant // later scrapes are of other requests
	ends := answeredEnds{early: max(p.Early, 1)}
	if ends.strange(j) {
		q.Growth = p.Strange
		if ends.n > 0 {
			until = ends.last.Add(scrapeMargin)
		}
	} else if !ends.varying(j) {
		return d.notApplicable("no request of the traffic has anything varying in its path, so labels cannot grow with it")
	}
	if need := p.Early + p.Later; ends.n < need {
		return d.unknown("only %d requests with something varying in them were answered, and %d are needed", ends.n, need)
	}
	early, late := labelValues{}, labelValues{}
	last := map[string]journal.Metrics{}
	var seenTo journal.Instant // what all replicas' metrics tell of
	for _, replica := range j.Header().Replicas {
		counted := journal.Window{From: ends.first[ends.early-1].Add(scrapeMargin), To: until}
		last[replica] = p.count(j, replica, counted, early, late)
		if at := last[replica].At; seenTo == 0 || at < seenTo {
			seenTo = at
		}
	}
	if n := ends.by(j, seenTo); n < p.Early+p.Later {
		return d.unknown("the metrics of a replica were scraped last at %v, when only %d requests with something varying in "+
			"them had been answered, and %d are needed", seenTo, n, p.Early+p.Later)
	}
	later, after := ends.n-p.Early, 0
	q.growth(d, early, late, later, func(at labelOfMetric, value string) {
		d.pointScrapes(j, orDefault(until, math.MaxInt64), func(s journal.Sample) bool {
			return metricOf(s) == at.metric && strconv.Quote(s.Labels[at.label]) == value
		})
	})
	for _, replica := range j.Header().Replicas {
		p.total(d, replica, last[replica])
		after += last[replica].Len()
	}
	d.add(measured("series", float64(after), "1", ends.n))
	return d.close(
		"no label gained more than %s values over %d requests with something varying in them; the replicas had "+
			"%d series in the end",
		valueOf(d.Quantities, "label_growth_max"),
		later,
		after,
	)
}

// answeredEnds are when requests with something varying in them were answered:
// the first so many of these instants, the last, and how many there are.
type answeredEnds struct {
	early int // how many are kept
	first []journal.Instant
	last  journal.Instant
	n     int
	upTo  journal.Instant // later ones are left out; zero: none is
}

// by is how many there were by an instant.
func (a answeredEnds) by(j journal.Journal, at journal.Instant) int {
	if a.last <= at {
		return a.n
	}
	sooner := answeredEnds{early: 1, upTo: at}
	if !sooner.strange(j) {
		sooner.varying(j)
	}
	return sooner.n
}

func (a *answeredEnds) add(at journal.Instant) {
	if a.upTo != 0 && at > a.upTo {
		return
	}
	a.n++
	a.last = max(a.last, at)
	if len(a.first) == a.early && at >= a.first[a.early-1] {
		return
	}
	i, _ := slices.BinarySearch(a.first, at)
	a.first = slices.Insert(a.first, i, at)
	a.first = a.first[:min(len(a.first), a.early)]
}

// strangeAttacks are those that asked for what nobody has heard of.
func strangeAttacks(j journal.Journal) map[string]bool {
	attacks := map[string]bool{}
	for e, attack := range journal.Of[journal.Attack](j) {
		if attack.Strange {
			attacks[e.On] = true
		}
	}
	return attacks
}

// strange adds the answered requests for what nobody has heard of; it is false
// when there was no such attack.
func (a *answeredEnds) strange(j journal.Journal) bool {
	attacks := strangeAttacks(j)
	if len(attacks) == 0 {
		return false
	}
	for r := range j.Requests(journal.Window{}) {
		if attacks[r.Attack] && r.Code != 0 {
			a.add(r.Done)
		}
	}
	return true
}

// varying adds the answered requests whose path varies; it is false when the
// traffic has no such request.
func (a *answeredEnds) varying(j journal.Journal) bool {
	varies := map[string]bool{}
	for _, r := range j.Header().Routes {
		if strings.Contains(r.Path, "{{") || strings.Contains(r.Path, "${") {
			varies[r.Name] = true
		}
	}
	if len(varies) == 0 {
		return false
	}
	for r := range j.Requests(journal.Window{}) {
		if varies[r.Route] && r.Code != 0 {
			a.add(r.Done)
		}
	}
	return true
}

// labelValues are the values seen of each label of each metric.
type labelValues map[labelOfMetric]map[string]bool

type labelOfMetric struct{ metric, label string }

func (v labelValues) add(metric string, s journal.Sample) {
	for label, value := range s.Labels {
		if label == "le" || label == "quantile" {
			continue
		}
		at := labelOfMetric{metric, label}
		if v[at] == nil {
			v[at] = map[string]bool{}
		}
		v[at][value] = true
	}
}

// metricOf is a sample's metric, without what a histogram or summary adds.
func metricOf(s journal.Sample) string {
	if s.Type != "histogram" && s.Type != "summary" {
		return s.Name
	}
	for _, suffix := range []string{"_bucket", "_count", "_sum"} {
		if name, ok := strings.CutSuffix(s.Name, suffix); ok {
			return name
		}
	}
	return s.Name
}

// count collects a replica's label values up to the first scrape of a window,
// and up to the first one after it (without an end, the last of the run), which
// it returns.
func (p *Cardinality) count(
	j journal.Journal, replica string, w journal.Window, early, late labelValues,
) journal.Metrics {
	var last, first journal.Metrics // of the present process
	add := func(to labelValues, m journal.Metrics) {
		for s := range m.All() {
			to.add(metricOf(s), s)
		}
	}
	reached := false
	for m := range journal.Scrapes(j, replica) {
		if last.Start != 0 && m.Start != last.Start {
			add(late, last)
			if !reached {
				add(early, last)
			}
		}
		if !reached {
			first = m
			reached = m.At >= w.From
		}
		last = m
		if w.To != 0 && m.At >= w.To {
			break
		}
	}
	add(early, first)
	add(late, last)
	return last
}

// growth holds every label to what it may gain, and points at the first value of
// one that gained more.
func (p *Cardinality) growth(
	d *docket, early, late labelValues, later int, point func(at labelOfMetric, value string),
) {
	most := 0
	for _, at := range slices.SortedFunc(maps.Keys(late), func(a, b labelOfMetric) int {
		return cmp.Or(cmp.Compare(a.metric, b.metric), cmp.Compare(a.label, b.label))
	}) {
		gained := newValues(early[at], late[at])
		most = max(most, len(gained))
		if len(gained) <= p.Growth || slices.Contains(p.Ignore, at.metric) {
			continue
		}
		point(at, gained[0])
		d.against("label %s of %s gained %d values over %d requests with something varying in them (such as %s; at most %d "+
			"may be new): label by the route's pattern and known methods, not by what callers send", at.label, at.metric,
			len(gained), later, strings.Join(gained[:min(2, len(gained))], ", "), p.Growth)
	}
	d.add(bounded("label_growth_max", float64(most), "1", "<=", float64(p.Growth), later))
}

// newValues are the values that were not there before, quoted and bounded.
func newValues(before, now map[string]bool) []string {
	var gained []string
	for _, value := range slices.Sorted(maps.Keys(now)) {
		if !before[value] {
			if len(value) > 60 {
				value = value[:60] + "…"
			}
			gained = append(gained, strconv.Quote(value))
		}
	}
	return gained
}

// total holds the number of series of every metric of one replica to its limit.
func (p *Cardinality) total(d *docket, replica string, m journal.Metrics) {
	series := map[string]map[string]bool{}
	for s := range m.All() {
		metric := metricOf(s)
		if series[metric] == nil {
			series[metric] = map[string]bool{}
		}
		s.Name, s.Labels = metric, maps.Clone(s.Labels)
		delete(s.Labels, "le")
		delete(s.Labels, "quantile")
		series[metric][s.Key()] = true
	}
	most := 0
	for _, metric := range slices.Sorted(maps.Keys(series)) {
		n := len(series[metric])
		most = max(most, n)
		if n > p.Most && !slices.Contains(p.Ignore, metric) {
			d.against("%s of %s has %d series, and at most %d are bearable: drop a label, or values of one", metric, replica, n,
				p.Most)
		}
	}
	d.add(bounded("metric_series_max_"+replica, float64(most), "1", "<=", float64(p.Most), 0))
}
