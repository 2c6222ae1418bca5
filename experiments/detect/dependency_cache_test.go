package detect

import (
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// cacheGone has a Redis gone from 4 to 9 s, and metrics that count look-ups in it:
// hits of 20 a second before, and in the fault.
func cacheGone(before, then float64) *made {
	m := newMade()
	m.header.Target = "cache"
	m.header.Dependencies = append(m.header.Dependencies, journal.DependencyInfo{Name: "cache", Kind: "redis"})
	m.step("gone", "outage", "fault", "cache", 4, 9)
	m.load("load", "create", 1, 12, 20, 0.05, 201)
	x := telling(m)
	for i := range 24 {
		at := 0.5 + float64(i)/2
		hits, failed := before, 0.0
		if at > 4 && at < 9 {
			hits, failed = then, 10-then
		}
		x.add("cache_requests_total", "counter", hits, "result", "hit")
		x.add("cache_requests_total", "counter", 10-hits-failed, "result", "miss")
		x.add("cache_requests_total", "counter", failed, "result", "error")
		x.add("cache_errors_total", "counter", failed)
		x.scrape(at, nil)
	}
	return m
}

func TestHitsOfACache(t *testing.T) {
	nothing := func(*made) {}
	byName := relabel(func(s *journal.Sample) {
		name := map[string]string{"hit": "cache_hits_total", "miss": "cache_misses_total", "error": "cache_misses_total"}
		if result := s.Labels["result"]; result != "" {
			s.Name = name[result]
			s.Labels["why"] = result
			delete(s.Labels, "result")
		}
	})
	for _, tt := range []struct {
		name         string
		before, then float64
		edit         func(*made)
		outcome      Outcome
		says         string
	}{
		{"they fall", 6, 0, nothing, Held, "errors of cache were counted"},
		{"to half of it", 6, 3, nothing, Held, ""},
		{"to more than half", 6, 4, nothing, Violated, "says that 40 % of the look-ups were hits (60 % before)"},
		{"whatever becomes of them", 10, 10, nothing, Violated, "count a look-up that fails as such"},
		{"by the metrics' names", 6, 0, byName, Held, ""},
		{"by the metrics' names, not falling", 6, 5, byName, Violated, "cache_…_total says"},
		{"few hits", 0.5, 0, nothing, Held, "too few look-ups in cache were hits"},
		{
			"no such metric", 6, 0, relabel(func(s *journal.Sample) { delete(s.Labels, "result") }), Held,
			"looked for counters with hit",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := cacheGone(tt.before, tt.then)
			tt.edit(m)
			wants(t, judged(t, "dependency_metrics", m), tt.outcome, tt.says)
		})
	}
}
