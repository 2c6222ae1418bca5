package journal

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func counter(name string, value float64, labels ...string) Sample {
	s := Sample{Name: name, Type: "counter", Value: value}
	for i := 0; i+1 < len(labels); i += 2 {
		if s.Labels == nil {
			s.Labels = map[string]string{}
		}
		s.Labels[labels[i]] = labels[i+1]
	}
	return s
}

// scraped writes full scrapes down as the observer does: only what changed.
func scraped(scrapes ...[]Sample) *Memory {
	j := NewMemory(Header{})
	var last Metrics
	for i, samples := range scrapes {
		at := Instant(i+1) * Instant(time.Second)
		now := NewMetrics(at, samples)
		changed, fresh := now.ChangedSince(last)
		j.Record(Entry{At: at, On: "orders-1", Body: Scrape{Changed: changed, Series: len(samples), Fresh: fresh}})
		j.Record(Entry{At: at + 1, On: "orders-2", Body: Scrape{Changed: []Sample{counter("other", 1)}, Fresh: true}})
		j.Record(Entry{At: at + 2, On: "orders-1", Body: Scrape{Err: ErrRefused}})
		last = now
	}
	return j
}

func TestMetricsAreReconstructed(t *testing.T) {
	gauge := Sample{Name: "in_flight", Type: "gauge", Value: 3}
	first := []Sample{counter("requests", 5, "code", "200"), counter("requests", 1, "code", "500"), gauge}
	second := []Sample{counter("requests", 9, "code", "200"), counter("requests", 1, "code", "500"), gauge}
	third := []Sample{counter("requests", 9, "code", "200"), counter("requests", 2, "code", "500")} // one vanished
	fourth := []Sample{counter("requests", 1, "code", "200")}                                       // another process
	j := scraped(first, second, third, fourth)

	var entries []int
	for e, s := range Of[Scrape](j) {
		if e.On == "orders-1" && s.Err == "" {
			entries = append(entries, len(s.Changed))
		}
	}
	if diff := cmp.Diff([]int{3, 1, 2, 1}, entries); diff != "" {
		t.Errorf("samples written (-want +got):\n%s", diff)
	}
	if _, ok := MetricsAt(j, "orders-1", Instant(time.Second)-1); ok {
		t.Error("there are metrics before the first scrape")
	}
	for i, want := range [][]Sample{first, second, third, fourth} {
		at := Instant(i+1) * Instant(time.Second)
		m, ok := MetricsAt(j, "orders-1", at+5)
		if !ok || m.At != at {
			t.Fatalf("scrape %d: found %v at %v", i, ok, m.At)
		}
		for _, s := range want {
			if got, ok := m.Get(s.Key()); !ok || got != s.Value {
				t.Errorf("scrape %d: %s is %v, %v; want %v", i, s.Key(), got, ok, s.Value)
			}
		}
		if m.Len() != len(want) {
			t.Errorf("scrape %d holds %d series, want %d", i, m.Len(), len(want))
		}
	}
	after, ok := MetricsAfter(j, "orders-1", Instant(time.Second)+1)
	if !ok || after.At != Instant(2*time.Second) {
		t.Errorf("the scrape after the first is at %v, %v", after.At, ok)
	}
}

func TestMetricsSelect(t *testing.T) {
	m := NewMetrics(0, []Sample{
		counter("requests", 5, "code", "200", "route", "list"),
		counter("requests", 2, "code", "500", "route", "list"),
		counter("requests", 1, "code", "500", "route", "create"),
		counter("other", 7),
	})
	if got := len(m.Select("requests", "code", "500")); got != 2 {
		t.Errorf("%d series with code 500, want 2", got)
	}
	if sum, ok := m.Sum("requests", "route", "list"); !ok || sum != 7 {
		t.Errorf("the sum is %v, %v; want 7", sum, ok)
	}
	if _, ok := m.Sum("requests", "route", "delete"); ok {
		t.Error("a sum over no series is there")
	}
	if _, ok := m.Sum("other", "code", "200"); ok {
		t.Error("a series without the label matched")
	}
}

func TestMetricsSince(t *testing.T) {
	start := func(at float64) Sample { return Sample{Name: StartTimeMetric, Type: "gauge", Value: at} }
	j := scraped(
		[]Sample{start(1), counter("requests", 5)},
		[]Sample{start(1), counter("requests", 9), counter("new", 2)},
		[]Sample{start(2), counter("requests", 30)}, // more than before, yet another process
	)
	at := func(s int) Metrics {
		m, _ := MetricsAt(j, "orders-1", Instant(s)*Instant(time.Second))
		return m
	}
	values := func(samples []Sample) map[string]float64 {
		m := map[string]float64{}
		for _, s := range samples {
			m[s.Name] = s.Value
		}
		return m
	}
	if diff := cmp.Diff(map[string]float64{"requests": 4, "new": 2}, values(at(2).Since(at(1)))); diff != "" {
		t.Errorf("growth (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"requests": 30}, values(at(3).Since(at(2)))); diff != "" {
		t.Errorf("growth over a restart (-want +got):\n%s", diff)
	}
	if a, b := at(2).Start, at(3).Start; a != 1 || b != 2 {
		t.Errorf("processes are numbered %d and %d, want 1 and 2", a, b)
	}
}
