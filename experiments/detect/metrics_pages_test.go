package detect

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/seatrial/seatrial/experiments/journal"
)

// page reads what a service's metrics endpoint says, in the text format.
func page(t *testing.T, name string) []journal.Sample {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "pages", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []journal.Sample
	for _, family := range families {
		typ := strings.ToLower(family.GetType().String())
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName(), l.GetValue())
			}
			for suffix, value := range numbersOf(m) {
				all = append(all, series(family.GetName()+suffix, typ, value, labels...))
			}
		}
	}
	slices.SortFunc(all, func(a, b journal.Sample) int { return strings.Compare(a.Key(), b.Key()) })
	return all
}

// numbersOf are a metric's own, without buckets and quantiles, by what their names
// end in.
func numbersOf(m *dto.Metric) map[string]float64 {
	switch {
	case m.Counter != nil:
		return map[string]float64{"": m.Counter.GetValue()}
	case m.Histogram != nil:
		h := m.Histogram
		return map[string]float64{"_sum": h.GetSampleSum(), "_count": float64(h.GetSampleCount())}
	case m.Summary != nil:
		return map[string]float64{"_sum": m.Summary.GetSampleSum(), "_count": float64(m.Summary.GetSampleCount())}
	}
	return map[string]float64{"": m.Gauge.GetValue()}
}

// Services of other styles are known by the shape of what they tell.
func TestMetricsOfOtherServices(t *testing.T) {
	type seen struct{ Requests, Durations, Wait, Max, InFlight, Goroutines, Heap, GC, Database, Calls string }
	h := journal.Header{Dependencies: []journal.DependencyInfo{
		{Name: "postgres", Kind: "postgres"}, {Name: "carrier", Kind: "http"},
	}}
	of := func(all []journal.Sample, is func(journal.Sample) bool) string {
		var names []string
		for _, s := range all {
			if is(s) && !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
		return strings.Join(names, " ")
	}
	for name, want := range map[string]seen{
		"classes-and-sqlstats": {
			"myapp_requests_total status ", "myapp_response_time_seconds", "go_sql_stats_connections_waited_for",
			"go_sql_stats_connections_max_open", "myapp_requests_in_progress", "go_goroutines",
			"go_memstats_heap_alloc_bytes", "go_gc_duration_seconds_count", "", "",
		},
		"opentelemetry": {
			"http_server_request_duration_seconds http_response_status_code http_route",
			"http_server_request_duration_seconds", "db_client_connections_pending_requests", "db_client_connections_max",
			"http_server_active_requests", "go_goroutine_count", "go_memory_used_bytes", "process_runtime_go_gc_count_total",
			"db_client_operation_duration_seconds_count", "http_client_request_duration_seconds_count",
		},
		"gin-and-pgxpool": {
			"gin_requests_total code url", "gin_request_duration_seconds",
			"pgxpool_canceled_acquire_count pgxpool_empty_acquire",
			"pgxpool_max_conns", "gin_requests_inflight", "go_goroutines", "go_memstats_heap_inuse_bytes",
			"go_gc_cycles_total_gc_cycles_total", "", "",
		},
		"nothing-of-http": {},
	} {
		t.Run(name, func(t *testing.T) {
			all := page(t, name)
			var got seen
			if f := requestFamilies(all, 1000, ""); len(f) > 0 {
				got.Requests = f[0].name + " " + f[0].code + " " + f[0].route
			}
			got.Durations, _, _ = durationFamily(all)
			saturated := map[string]func(journal.Sample) bool{}
			for _, kind := range (&SaturationMetrics{}).kinds(h) {
				saturated[kind.kind] = kind.is
			}
			got.Wait, got.Max, got.InFlight = of(all, saturated["pool"]), of(all, poolMax), of(all, saturated["in_flight"])
			got.Goroutines, got.Heap = of(all, saturated["goroutines"]), of(all, saturated["heap"])
			got.GC = of(all, saturated["gc"])
			g := seriesGrowth{samples: map[string]journal.Sample{}}
			for _, s := range all {
				g.samples[s.Key()] = s
			}
			for _, s := range (&DependencyMetrics{}).durations(h, g) {
				switch (&DependencyMetrics{}).tieTo(h, s).owner {
				case "postgres":
					got.Database = s.Name
				case "carrier":
					got.Calls = s.Name
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
