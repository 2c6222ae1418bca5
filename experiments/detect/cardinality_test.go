package detect

import (
	"fmt"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// cardinalityMade has so many requests of orders by id, and a series for each
// value that a function gives.
func cardinalityMade(requests int, labels func(i int) []string) *made {
	m := newMade()
	x := telling(m)
	x.scrape(0.5, nil)
	for i := range requests {
		m.hit("load", "get", 1+float64(i)/100, 0.005, 200)
		x.add("http_requests_total", "counter", 1, labels(i)...)
		x.observe("http_request_duration_seconds", 0.01, 1, defaultBounds, labels(i)...)
		if i%50 == 49 {
			x.scrape(1+float64(i)/100+0.06, nil)
		}
	}
	x.scrape(2+float64(requests)/100, nil)
	return m
}

func byRoute(int) []string { return []string{"route", "/orders/{id}", "code", "200"} }

// gaining has so many values more after the first 200 requests.
func gaining(n int) func(int) []string {
	return func(i int) []string { return []string{"route", fmt.Sprint("/orders/", max(0, min(i-200, n)))} }
}

// strangers makes the requests those of an attack for what nobody has heard of.
func strangers(m *made) {
	m.header.Routes[1].Path = "/orders"
	m.at(1, "odd", journal.Attack{Strange: true, Began: true})
	m.change(func(r *journal.Request) { r.Attack, r.Code = "odd", 404 })
}

func TestCardinality(t *testing.T) {
	nothing := func(*made) {}
	tests := []struct {
		name     string
		requests int
		labels   func(int) []string
		edit     func(*made)
		outcome  Outcome
		reason   string
	}{
		{"by route", 400, byRoute, nothing, Held, "no label gained more than 0 values over 300 requests"},
		{
			"by path",
			400,
			func(i int) []string { return []string{"route", fmt.Sprint("/orders/", i)} },
			nothing,
			Violated,
			`label route of http_request_duration_seconds gained 300 values over 300 requests with something varying in them ` +
				`(such as "/orders/100", "/orders/101"`,
		},
		{"10 values more", 400, gaining(10), nothing, Held, ""},
		{"11 values more", 400, gaining(11), nothing, Violated, "gained 11 values"},
		{
			"many from the first on", 400, func(i int) []string { return []string{"tenant", fmt.Sprint(i % 100)} }, nothing,
			Held,
			"",
		},
		{"too many from the first on", 400, func(i int) []string {
			return []string{"a", fmt.Sprint(i % 11), "b", fmt.Sprint(i % 10)}
		}, nothing, Violated, "http_request_duration_seconds of replica-1 has 110 series, and at most 100 are bearable"},
		{"just enough requests", 300, byRoute, nothing, Held, ""},
		{"not scraped to the end", 400, gaining(200), func(m *made) {
			replace(m, func(e journal.Entry, s journal.Scrape) journal.Body {
				if e.At > secs(3.2) {
					return journal.Note{}
				}
				return s
			})
		}, Unknown, "when only 205 requests"},
		{"too few requests", 299, byRoute, nothing, Unknown, "only 299 requests"},
		{
			"nothing varies", 400, byRoute, func(m *made) { m.header.Routes[1].Path = "/orders" }, NotApplicable,
			"anything varying",
		},
		{"query varies", 400, byRoute, func(m *made) { m.header.Routes[1].Path = "/orders?after={{.id}}" }, Held, ""},
		{"over a restart", 400, byRoute, func(m *made) {
			n := 0
			replace(m, func(_ journal.Entry, s journal.Scrape) journal.Body {
				n++
				s.Changed = append(s.Changed, series(journal.StartTimeMetric, "gauge", float64(n/4)))
				return s
			})
		}, Held, ""},
		{"strange requests", 400, gaining(2), strangers, Held, "no label gained more than 2 values over 300 requests"},
		{"strange requests, 3 values more", 400, gaining(3), strangers, Violated, "gained 3 values"},
		{"few strange requests", 299, byRoute, strangers, Unknown, "only 299 requests"},
		{"not scraped", 400, byRoute, without[journal.Scrape], NotApplicable, "name the endpoint"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := cardinalityMade(tt.requests, tt.labels)
			tt.edit(m)
			wants(t, judged(t, "cardinality", m), tt.outcome, tt.reason)
		})
	}
	t.Run("ignored", func(t *testing.T) {
		d := &Cardinality{Early: 100, Later: 200, Growth: 10, Most: 100, Ignore: []string{
			"http_requests_total", "http_request_duration_seconds",
		}}
		wants(t, d.Detect(cardinalityMade(400, gaining(200)).memory()), Held, "")
	})
}

var (
	_ = madeUpAs("cardinality/held-by-route", makes(func() *made { return cardinalityMade(310, byRoute) }))
	_ = madeUpAs("cardinality/violated-by-path", makes(func() *made { return cardinalityMade(310, gaining(20)) }))
	_ = madeUpAs("cardinality/unknown-few-requests", makes(func() *made { return cardinalityMade(150, byRoute) }))
)
