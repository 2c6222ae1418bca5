package journal

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// StartTimeMetric is the sample by which Prometheus clients say when their
// process began; another value means another process.
const StartTimeMetric = "process_start_time_seconds"

// Metrics is all that a replica's metrics endpoint said in one scrape, put
// together from the [Scrape] entries up to it.
type Metrics struct {
	// At is when the scrape was sent: what the replica had counted before At is
	// in it.
	At Instant
	// Start numbers the processes seen under this replica's name, from 1: a
	// counter is only comparable within one.
	Start   int
	samples map[string]Sample
}

// Scrapes yields a replica's metrics after each good scrape of the run, in
// order. The value is the caller's to keep.
func Scrapes(j Journal, replica string) iter.Seq[Metrics] {
	return func(yield func(Metrics) bool) {
		var m Metrics
		for e, s := range Of[Scrape](j) {
			if e.On != replica || s.Err != "" {
				continue
			}
			m = m.apply(e.At, s)
			if !yield(m) {
				return
			}
		}
	}
}

// MetricsAt returns a replica's metrics at the last good scrape that was sent
// at or before t; false when there was none.
func MetricsAt(j Journal, replica string, t Instant) (Metrics, bool) {
	var last Metrics
	for m := range Scrapes(j, replica) {
		if m.At > t {
			break
		}
		last = m
	}
	return last, last.Start > 0
}

// MetricsAfter returns a replica's metrics at the first good scrape that was
// sent at or after t, which therefore holds all that was counted before t;
// false when there was none.
func MetricsAfter(j Journal, replica string, t Instant) (Metrics, bool) {
	for m := range Scrapes(j, replica) {
		if m.At >= t {
			return m, true
		}
	}
	return Metrics{}, false
}

// Changes yields a replica's metrics after each good scrape sent in the window.
func Changes(j Journal, replica string, w Window) iter.Seq[Metrics] {
	return func(yield func(Metrics) bool) {
		for m := range Scrapes(j, replica) {
			if w.Contains(m.At) && !yield(m) {
				return
			}
		}
	}
}

// Len is the number of series.
func (m Metrics) Len() int { return len(m.samples) }

// All yields every sample, sorted by name and labels.
func (m Metrics) All() iter.Seq[Sample] {
	return func(yield func(Sample) bool) {
		for _, key := range slices.Sorted(maps.Keys(m.samples)) {
			if !yield(m.samples[key]) {
				return
			}
		}
	}
}

// Select returns the samples of that name whose labels have all the given
// values, sorted by labels. Matchers come in pairs of label and value:
//
//	m.Select("http_requests_total", "code", "500")
func (m Metrics) Select(name string, matchers ...string) []Sample {
	var keys []string
	for key, s := range m.samples {
		if s.Name == name && s.matches(matchers) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	found := make([]Sample, len(keys))
	for i, key := range keys {
		found[i] = m.samples[key]
	}
	return found
}

// Sum adds up the samples that [Metrics.Select] finds; false when it finds none.
func (m Metrics) Sum(name string, matchers ...string) (float64, bool) {
	sum, any := 0.0, false
	for _, s := range m.Select(name, matchers...) {
		sum, any = sum+s.Value, true
	}
	return sum, any
}

// Get returns the value of one series by its [Sample.Key].
func (m Metrics) Get(key string) (float64, bool) {
	s, ok := m.samples[key]
	return s.Value, ok
}

// Since returns by how much every series has grown since an earlier scrape of
// the same replica: a series that was not there before counts from zero, and
// after a restart in between all of them do. Only counters, histograms and
// summaries are in it. A restart hides what the old process counted after its
// last scrape; Start tells the caller that there was one.
func (m Metrics) Since(earlier Metrics) []Sample {
	var grown []Sample
	for s := range m.All() {
		if !s.cumulative() {
			continue
		}
		if before, ok := earlier.samples[s.Key()]; ok && earlier.Start == m.Start {
			s.Value -= before.Value
		}
		grown = append(grown, s)
	}
	return grown
}

// Key identifies the sample's series: its name and its labels, sorted.
func (s Sample) Key() string {
	if len(s.Labels) == 0 {
		return s.Name
	}
	var b strings.Builder
	b.WriteString(s.Name)
	for _, label := range slices.Sorted(maps.Keys(s.Labels)) {
		b.WriteByte(0)
		b.WriteString(label)
		b.WriteByte('=')
		b.WriteString(s.Labels[label])
	}
	return b.String()
}

func (s Sample) matches(matchers []string) bool {
	for i := 0; i+1 < len(matchers); i += 2 {
		if value, ok := s.Labels[matchers[i]]; !ok || value != matchers[i+1] {
			return false
		}
	}
	return true
}

// cumulative says that the sample only grows within one process. A summary's
// quantiles do not.
func (s Sample) cumulative() bool {
	switch s.Type {
	case "counter":
		return true
	case "histogram":
		return true
	case "summary":
		return strings.HasSuffix(s.Name, "_sum") || strings.HasSuffix(s.Name, "_count")
	}
	return false
}

// apply returns the metrics after one more scrape.
func (m Metrics) apply(at Instant, s Scrape) Metrics {
	next := Metrics{At: at, Start: m.Start, samples: make(map[string]Sample, s.Series)}
	if !s.Fresh {
		maps.Copy(next.samples, m.samples)
	}
	for _, sample := range s.Changed {
		next.samples[sample.Key()] = sample
	}
	if m.Start == 0 || s.Fresh && RestartedBetween(m, next) {
		next.Start++
	}
	return next
}

// RestartedBetween says whether a later scrape comes from another process than
// an earlier one: it states another start time, or, where none is stated, a
// counter went back.
func RestartedBetween(earlier, later Metrics) bool {
	then, stated := earlier.Get(StartTimeMetric)
	now, restated := later.Get(StartTimeMetric)
	if stated && restated {
		return then != now
	}
	for key, s := range later.samples {
		if before, ok := earlier.samples[key]; ok && s.cumulative() && s.Value < before.Value {
			return true
		}
	}
	return false
}

// NewMetrics puts a complete scrape together.
func NewMetrics(at Instant, samples []Sample) Metrics {
	return Metrics{}.apply(at, Scrape{Changed: samples, Fresh: true})
}

// ChangedSince returns the samples of m that are new or differ from an earlier
// scrape, and whether m can only be written down as a whole: another process
// answered, or series have vanished.
func (m Metrics) ChangedSince(earlier Metrics) (changed []Sample, fresh bool) {
	fresh = earlier.Start == 0 || RestartedBetween(earlier, m)
	for key := range earlier.samples {
		if _, still := m.samples[key]; !still {
			fresh = true
			break
		}
	}
	for s := range m.All() {
		before, ok := earlier.samples[s.Key()]
		if fresh || !ok || before.Value != s.Value || before.Type != s.Type {
			changed = append(changed, s)
		}
	}
	return changed, fresh
}
