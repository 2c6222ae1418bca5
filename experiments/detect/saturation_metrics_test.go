package detect

import (
	"slices"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// full is what a service's metrics say in the worst moment of a lock.
type full struct{ waits, inFlight, goroutines float64 }

// saturationMade has a locked table from 4 to 9 s, and a scrape each half
// second.
func saturationMade(worst full) *made {
	m := newMade()
	m.header.Target = "db"
	m.step("locked", "table_lock", "fault", "db", 4, 9)
	m.load("load", "get", 1, 4, 50, 0.005, 200)
	m.load("load", "get", 4, 9, 50, 2, 503)
	x := telling(m)
	for i := range 24 {
		at := 0.5 + float64(i)/2
		now := full{0, float64(i % 2), 20 + float64(i%3)}
		if at > 4 && at < 9 {
			now = worst
		}
		x.add("go_sql_wait_count_total", "counter", now.waits, "db_name", "orders")
		x.set("http_requests_in_flight", "gauge", now.inFlight)
		x.set("go_goroutines", "gauge", now.goroutines)
		x.set("go_memstats_heap_inuse_bytes", "gauge", 2e6+1e5*float64(i%5))
		x.add("go_gc_duration_seconds_count", "summary", float64(i%2))
		x.scrape(at, nil)
	}
	return m
}

func TestSaturationMetrics(t *testing.T) {
	nothing := func(*made) {}
	unnoticed := func(m *made) {
		m.change(func(r *journal.Request) { r.OK, r.Code, r.Done = true, 200, r.Sent+secs(0.005) })
	}
	good := full{3, 12, 70}
	tests := []struct {
		name    string
		worst   full
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"all moved", good, nothing, Held, "the metrics showed it: pool, in_flight, goroutines"},
		{"no wait counted", full{0, 12, 70}, nothing, Violated, "go_sql_wait_count_total did not show it: 0 at most"},
		{"one wait", full{1, 12, 70}, nothing, Held, ""},
		{"in flight hardly moved", full{3, 2.9, 70}, nothing, Violated, "http_requests_in_flight did not show it"},
		{"in flight moved enough", full{3, 3, 70}, nothing, Held, ""},
		{"goroutines hardly moved", full{3, 12, 26}, nothing, Violated, "go_goroutines did not show it"},
		{"goroutines moved enough", full{3, 12, 27}, nothing, Held, ""},
		{"nobody noticed", full{0, 1, 21}, unnoticed, Unknown, "callers did not notice"},
		{"moved, but nobody noticed", good, unnoticed, Held, ""},
		{"pgxpool", good, relabel(func(s *journal.Sample) {
			renamed("go_sql_wait_count_total", "pgxpool_empty_acquire")(s)
		}), Held, "pgxpool_empty_acquire"},
		{"no pool metric", good, relabel(func(s *journal.Sample) {
			renamed("go_sql_wait_count_total", "queries_total")(s)
		}), Violated, "no metric tells of callers who wait for a database connection; looked for go_sql_wait_count_total"},
		{"no database", good, func(m *made) {
			m.header.Dependencies = m.header.Dependencies[1:]
			relabel(renamed("go_sql_wait_count_total", "queries_total"))(m)
		}, Held, "showed it: in_flight, goroutines"},
		{
			"in flight not told", good, relabel(renamed("http_requests_in_flight", "users")), Violated,
			"no metric tells of requests in flight",
		},
		{"refused instead", good, relabel(func(s *journal.Sample) {
			renamed("http_requests_in_flight", "")(s)
			if s.Name == "go_sql_wait_count_total" {
				s.Labels["pool"] = "orders"
			}
		}), Violated, "in flight"},
		{"no runtime", good, relabel(func(s *journal.Sample) {
			renamed("go_", "app_")(s)
			renamed("app_sql", "go_sql")(s)
			renamed("app_goroutines", "threads")(s)
		}), Violated, "no metric tells of goroutines"},
		{"heap frozen", good, func(m *made) {
			replace(m, func(_ journal.Entry, s journal.Scrape) journal.Body {
				for i := range s.Changed {
					if s.Changed[i].Name == "go_memstats_heap_inuse_bytes" {
						s.Changed[i].Value = 2e6
					}
				}
				return s
			})
		}, Violated, "go_memstats_heap_inuse_bytes stands for the heap, and never changed"},
		{"no collector", good, relabel(renamed("go_gc_duration_seconds", "x")), Violated, "tells of garbage collection"},
		{"not scraped in the lock", full{0, 1, 20}, func(m *made) {
			m.entries = slices.DeleteFunc(m.entries, func(e journal.Entry) bool {
				_, is := e.Body.(journal.Scrape)
				return is && e.At >= secs(4) && e.At < secs(11.5)
			})
		}, Unknown, "was not scraped in"},
		{"no lack of connections", full{0, 12, 70}, func(m *made) {
			m.header.Method[0].Action, m.header.Method[0].Target = "hang", "payments"
		}, Unknown, "no fault was on a database"},
		{"not scraped", good, without[journal.Scrape], NotApplicable, "name the endpoint"},
		{"no fault", good, func(m *made) { m.header.Method = nil }, Unknown, "no fault"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := saturationMade(tt.worst)
			tt.edit(m)
			wants(t, judged(t, "saturation_metrics", m), tt.outcome, tt.reason)
		})
	}
	t.Run("named and ignored", func(t *testing.T) {
		m := saturationMade(good)
		relabel(renamed("http_requests_in_flight", "busy"))(m)
		relabel(renamed("go_gc", "x"))(m)
		d := &SaturationMetrics{Moves: 3, InFlight: "busy", Ignore: []string{"gc"}}
		wants(t, d.Detect(m.memory()), Held, "busy went from")
		d.InFlight = "idle"
		wants(t, d.Detect(m.memory()), Violated, "the metrics have no series idle")
	})
}

var (
	_ = madeUpAs("saturation_metrics/held-moved", makes(func() *made { return saturationMade(full{3, 12, 70}) }))
	_ = madeUpAs("saturation_metrics/violated-no-wait", makes(func() *made { return saturationMade(full{0, 12, 70}) }))
	_ = madeUpAs("saturation_metrics/unknown-unnoticed", makes(func() *made { return saturationMade(full{0, 1, 21}) },
		func(m *made) {
			m.change(func(r *journal.Request) { r.OK, r.Code, r.Done = true, 200, r.Sent+secs(0.005) })
		}))
)
