package detect

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestPoolWait(t *testing.T) {
	tests := map[string]bool{
		"go_sql_wait_count_total":               true,
		"go_sql_wait_duration_seconds_total":    true,
		"go_sql_in_use_connections":             false,
		"pgxpool_canceled_acquire_count":        true,
		"pgxpool_empty_acquire":                 true,
		"pgxpool_empty_acquire_wait_time_ns":    true,
		"pgxpool_acquire_count":                 false,
		"pgxpool_acquire_duration_ns":           false,
		"pgxpool_acquired_conns":                false,
		"db_client_connections_pending":         true,
		"hikaricp_pool_wait_seconds":            true,
		"hikaricp_pool_wait_seconds_bucket":     false,
		"orders_db_pool_acquire_timeouts_total": true,
		"redis_pool_wait_total":                 false,
		"http_requests_waiting":                 false,
		"go_gc_duration_seconds":                false,
	}
	for name, want := range tests {
		if got := poolWait(journal.Sample{Name: name}); got != want {
			t.Errorf("%s tells of waiting: %v", name, got)
		}
	}
}

func TestPoolMax(t *testing.T) {
	tests := map[string]bool{
		"go_sql_max_open_connections":      true,
		"go_sql_max_idle_closed_total":     false,
		"pgxpool_max_conns":                true,
		"orders_pgxpool_max_conns":         true,
		"db_pool_max_size":                 true,
		"pgxpool_max_lifetime_destroy":     false,
		"redis_pool_max_conns":             false,
		"go_sql_open_connections":          false,
		"process_max_fds":                  false,
		"http_server_pool_max_connections": false,
	}
	for name, want := range tests {
		if got := poolMax(journal.Sample{Name: name, Type: "gauge"}); got != want {
			t.Errorf("%s is a pool's size: %v", name, got)
		}
	}
}

func TestPathShape(t *testing.T) {
	type shape struct{ Method, Shape string }
	tests := map[string]shape{
		"/orders":                             {"", "/orders"},
		"/orders/":                            {"", "/orders"},
		"/orders/{id}":                        {"", "/orders/*"},
		"/orders/:id/items":                   {"", "/orders/*/items"},
		`/orders/{{ pick "id" }}?x={{.y}}`:    {"", "/orders/*"},
		"/orders/${id}":                       {"", "/orders/*"},
		"/orders/<int:id>":                    {"", "/orders/*"},
		"GET /orders/{id}":                    {"GET", "/orders/*"},
		"POST example.com/orders/{$}":         {"POST", "/orders"},
		"/files/{rest...}":                    {"", "/files/*"},
		"getOrder":                            {"", "/getOrder"},
		`/{{ .kind }}/orders/{{pick "id"}}/x`: {"", "/*/orders/*/x"},
	}
	for value, want := range tests {
		method, got := pathShape(value)
		if diff := cmp.Diff(want, shape{method, got}); diff != "" {
			t.Errorf("%s: %s", value, diff)
		}
	}
}

func TestRequestFamilies(t *testing.T) {
	sample := func(name, kind string, value float64, labels ...string) journal.Sample {
		s := journal.Sample{Name: name, Type: kind, Value: value, Labels: map[string]string{}}
		for i := 0; i < len(labels); i += 2 {
			s.Labels[labels[i]] = labels[i+1]
		}
		return s
	}
	grown := []journal.Sample{
		sample("promhttp_metric_handler_requests_total", "counter", 100, "code", "200"),
		sample("http_client_requests_total", "counter", 100, "code", "200", "path", "/charge"),
		sample("cache_requests_total", "counter", 100, "result", "hit"),
		sample("api_hits_total", "counter", 100, "status", "2xx"),
		sample("http_server_duration_count", "histogram", 90, "http_status_code", "200", "http_route", "/a"),
		sample("http_server_duration_bucket", "histogram", 90, "http_status_code", "200", "le", "1"),
		sample("http_requests_total", "counter", 100, "code", "200", "route", "/a"),
		sample("http_requests_in_flight", "gauge", 3, "code", "200"),
	}
	var names []string
	for _, f := range requestFamilies(grown, 100, "") {
		names = append(names, f.name+" "+f.code+" "+f.route)
	}
	want := []string{
		"http_requests_total code route", "http_server_duration http_status_code http_route", "api_hits_total status ",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

func TestDurationFamily(t *testing.T) {
	histogram := func(name, label string) journal.Sample {
		return journal.Sample{Name: name + "_count", Type: "histogram", Labels: map[string]string{label: "/a"}}
	}
	tests := []struct {
		name  string
		grown []journal.Sample
		want  string
		unit  float64
	}{
		{
			"seconds",
			[]journal.Sample{histogram("http_request_duration_seconds", "route")},
			"http_request_duration_seconds", 1,
		},
		{
			"milliseconds",
			[]journal.Sample{histogram("http_request_duration_ms", "path")},
			"http_request_duration_ms", 0.001,
		},
		{"not of a dependency", []journal.Sample{
			histogram("dependency_request_duration_seconds", "operation"), histogram("latency", "handler"),
		}, "latency", 1},
		{"sizes are no durations", []journal.Sample{histogram("http_response_size_bytes", "route")}, "", 1},
		{"nothing says whose", []journal.Sample{histogram("http_request_duration_seconds", "pod")}, "", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			name, unit, ok := durationFamily(tt.grown)
			if name != tt.want || unit != tt.unit || ok != (tt.want != "") {
				t.Errorf("found %q in units of %v s (%v), wanted %q in %v", name, unit, ok, tt.want, tt.unit)
			}
		})
	}
}
