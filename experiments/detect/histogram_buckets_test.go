package detect

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

var (
	fineBounds    = []float64{.005, .01, .05, .1, .15, .2, .25, .3, .35, .4, .5, 1, 2.5}
	defaultBounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// bucketsMade has a fault from 4 to 10 s in which creating takes as long as a
// function says, as callers see it and as the service counts it.
func bucketsMade(bounds []float64, rate int, took func(i int) (saw, counted float64)) *made {
	m := newMade()
	m.header.Target = "payments"
	m.step("slow", "latency", "fault", "payments", 4, 10)
	x := telling(m)
	x.observe("http_request_duration_seconds", 0.02, 0, bounds, "route", "/orders", "method", "POST")
	x.scrape(1, nil)
	x.scrape(4.1, nil)
	for i := range 5 * rate {
		saw, counted := took(i)
		m.hit("load", "create", 4.2+float64(i)/float64(rate), saw, 201)
		x.observe("http_request_duration_seconds", counted, 1, bounds, "route", "/orders", "method", "POST")
	}
	for range 200 {
		x.observe("http_request_duration_seconds", 0.001, 1, bounds, "route", "/readyz", "method", "GET")
	}
	x.scrape(9.9, nil)
	return m
}

// flat is 260 to 360 ms, evenly.
func flat(i int) (saw, counted float64) {
	counted = 0.26 + 0.1*float64(i%50)/50
	return counted + 0.002, counted
}

func always(took float64) func(int) (float64, float64) {
	return func(int) (float64, float64) { return took, took }
}

func TestHistogramBuckets(t *testing.T) {
	nothing := func(*made) {}
	edited := func(f func(*journal.Sample)) func(*made) { return relabel(f) }
	tests := []struct {
		name    string
		bounds  []float64
		rate    int
		took    func(int) (float64, float64)
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"fine", fineBounds, 40, flat, nothing, Held, "says what callers of create saw, and has a bound at the SLO of 1s"},
		{"the clients' defaults", defaultBounds, 40, flat, nothing, Held, "+37 % off, from its bucket of 250ms to 500ms"},
		{"three bounds", []float64{.1, 1, 10}, 40, flat, nothing, Violated, "from its bucket of 100ms to 1s: put bounds"},
		{"just no coarser", []float64{.2, .5, 1}, 40, always(0.25), nothing, Held, "no coarser than usual"},
		{"just too coarse", []float64{.199, .5, 1}, 40, always(0.25), nothing, Violated, "put bounds"},
		{
			"another scope", fineBounds, 40, func(int) (float64, float64) { return 0.3, 0.02 }, nothing, Violated,
			"from its bucket of 10ms to 50ms, where that p50 is not: measure from a request's arrival",
		},
		{"1 % above the last bound", fineBounds, 40, func(i int) (float64, float64) {
			if i%50 == 0 { // 4 of 200, and 200 health polls
				return 3, 3
			}
			return flat(i)
		}, nothing, Held, ""},
		{"more than 1 % above", fineBounds, 40, func(i int) (float64, float64) {
			if i%40 == 0 { // 5 of 200
				return 3, 3
			}
			return flat(i)
		}, nothing, Violated, "1.25 % of the requests lie above 2.5s, the last finite bound"},
		{"no bound at the SLO", []float64{.2, .3, .4, .9, 2}, 40, flat, nothing, Violated, "has no bound at the SLO of 1s"},
		{"no bound at a default SLO", []float64{.2, .3, .4, .9, 2}, 40, flat, func(m *made) {
			m.header.Defaults = []string{"slo_latency"}
		}, Held, "slo_latency is a default"},
		{"60 answers", fineBounds, 12, flat, nothing, Held, ""},
		{"55 answers", fineBounds, 11, flat, nothing, Unknown, "no route answered 60 requests"},
		{"below the floor", fineBounds, 40, always(0.049), nothing, Unknown, "a quantile of 50ms or more"},
		{"milliseconds", fineBounds, 40, flat, edited(func(s *journal.Sample) {
			s.Name = strings.ReplaceAll(s.Name, "seconds", "milliseconds")
			if le := s.Labels["le"]; le != "" && le != "+Inf" {
				var bound float64
				_, _ = fmt.Sscan(le, &bound)
				s.Labels["le"] = float(bound * 1000)
			}
		}), Held, ""},
		{"named routes", fineBounds, 40, flat, edited(func(s *journal.Sample) {
			s.Labels["handler"] = map[string]string{"/orders": "createOrder", "/readyz": "ready"}[s.Labels["route"]]
			delete(s.Labels, "route")
		}), Unknown, "no label of http_request_duration_seconds could be tied"},
		{"only +Inf", nil, 40, flat, nothing, NotApplicable, "as native histograms look"},
		{
			"no histogram", fineBounds, 40, flat, edited(func(s *journal.Sample) { s.Name, s.Type = "x_count", "counter" }),
			Violated, "no request durations in buckets; looked for",
		},
		{"restarted", fineBounds, 40, flat, func(m *made) {
			n := 0.0
			replace(m, func(_ journal.Entry, s journal.Scrape) journal.Body {
				n++
				s.Changed = append(s.Changed, series(journal.StartTimeMetric, "gauge", n))
				return s
			})
		}, Unknown, "was not scraped twice"},
		{
			"one scrape", fineBounds, 40, flat, func(m *made) { m.entries = m.entries[:len(m.entries)-1] }, Unknown,
			"was not scraped twice",
		},
		{"not scraped", fineBounds, 40, flat, without[journal.Scrape], NotApplicable, "name the endpoint"},
		{"no fault", fineBounds, 40, flat, func(m *made) { m.header.Method = nil }, Unknown, "no fault to look at"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := bucketsMade(tt.bounds, tt.rate, tt.took)
			tt.edit(m)
			if tt.name == "restarted" {
				wants(t, judged(t, "histogram_buckets", m), tt.outcome, "began anew")
				return
			}
			wants(t, judged(t, "histogram_buckets", m), tt.outcome, tt.reason)
		})
	}
}

func TestBucketQuantileIsPrometheus(t *testing.T) {
	b := buckets{bounds: []float64{1, 2, 4}, counts: []float64{10, 30, 40}, count: 50}
	for _, c := range []struct{ q, value, low float64 }{
		{0.1, 0.5, 0}, {0.2, 1, 0}, {0.4, 1.5, 1}, {0.7, 3, 2}, {0.9, 4, 4}, {0, 0, 0},
	} {
		if value, low, _ := b.quantile(c.q); value != c.value || low != c.low {
			t.Errorf("quantile %v is %v from %v, want %v from %v", c.q, value, low, c.value, c.low)
		}
	}
}

var (
	_ = madeUpAs("histogram_buckets/held-defaults", makes(func() *made { return bucketsMade(defaultBounds, 20, flat) }))
	_ = madeUpAs("histogram_buckets/violated-three-bounds", makes(func() *made {
		return bucketsMade([]float64{.1, 1, 10}, 20, flat)
	}))
	_ = madeUpAs("histogram_buckets/unknown-quick", makes(func() *made {
		return bucketsMade(fineBounds, 20, always(0.01))
	}))
)
