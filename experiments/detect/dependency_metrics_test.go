package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// meansIn are the means of the series of payments, db and cache in a fault.
type meansIn struct{ payments, db, cache float64 }

// slowedMade has payments (or another) answer 0.5 s later from 4 to 9 s.
func slowedMade(target string, then meansIn) *made {
	m := newMade()
	m.header.Target = target
	m.step("slow", "latency", "fault", target, 4, 9)
	m.load("load", "create", 1, 12, 20, 0.05, 201)
	x := telling(m)
	for i := range 24 {
		at := 0.5 + float64(i)/2
		now := meansIn{0.01, 0.002, 0.001}
		trip := 0.005
		if at > 4 && at < 9 {
			now, trip = then, 0.505
		}
		for name, took := range map[string]float64{"payments": now.payments, "db": now.db, "cache": now.cache} {
			x.observe("dependency_duration_seconds", took, 5, nil, "dependency", name, "outcome", "ok")
		}
		x.observe("http_request_duration_seconds", trip, 5, nil, "route", "/orders")
		x.scrape(at, nil)
		m.roundTrip(at-0.2, target, 0.005)
		if at > 4 && at < 8 {
			m.roundTrip(at+0.1, target, 0.505)
		}
	}
	without[journal.RoundTrip](m)
	for i := range 24 {
		at := 1 + float64(i)/3
		if at < 4 {
			m.roundTrip(at, target, 0.005)
		} else if at < 8.4 {
			m.roundTrip(at, target, 0.505)
		}
	}
	return m
}

func TestDependencyMetricsOfASlowOne(t *testing.T) {
	nothing := func(*made) {}
	quick := meansIn{0.51, 0.002, 0.001}
	unlabelled := func(name string) func(*made) {
		return relabel(func(s *journal.Sample) {
			if s.Labels["dependency"] != "" {
				renamed("dependency_duration", s.Labels["dependency"]+name)(s)
				delete(s.Labels, "dependency")
			}
		})
	}
	tests := []struct {
		name    string
		target  string
		then    meansIn
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"told", "payments", quick, nothing, Held, "the mean of payments rose by 500ms"},
		{"0.7 of it", "payments", meansIn{0.361, 0.002, 0.001}, nothing, Held, ""},
		{"less than 0.7", "payments", meansIn{0.359, 0.002, 0.001}, nothing, Violated, "rose by 349ms; 350ms would be true"},
		{"another moves 0.3", "payments", meansIn{0.51, 0.151, 0.001}, nothing, Held, ""},
		{
			"another moves more", "payments",
			meansIn{0.51, 0.153, 0.001},
			nothing, Violated,
			"the mean of dependency_duration_seconds{dependency=db,outcome=ok}, a series of db, rose by 151ms",
		},
		{"mislabelled", "payments", meansIn{0.01, 0.502, 0.001}, nothing, Violated, "a series of db, rose by 500ms"},
		{"the database", "db", meansIn{0.01, 0.5, 0.001}, nothing, Held, "the mean of db rose by 498ms"},
		{"by kind", "db", meansIn{0.01, 0.5, 0.001}, relabel(func(s *journal.Sample) {
			if s.Labels["dependency"] == "db" {
				renamed("dependency_duration", "sql_query_duration")(s)
				delete(s.Labels, "dependency")
			}
		}), Held, "sql_query_duration_seconds"},
		{"by name of the metric", "payments", quick, unlabelled("_call_duration"), Held, "payments_call_duration"},
		{"some client", "payments", quick, relabel(func(s *journal.Sample) {
			if s.Labels["dependency"] == "payments" {
				renamed("dependency_duration", "http_client_duration")(s)
				delete(s.Labels, "dependency")
			}
		}), Held, "http_client_duration_seconds"},
		{"milliseconds", "payments", meansIn{510, 2, 1}, func(m *made) {
			relabel(func(s *journal.Sample) { renamed("dependency_duration_seconds", "dependency_milliseconds")(s) })(m)
		}, Held, ""},
		{
			"no series", "payments", quick, relabel(func(s *journal.Sample) {
				renamed("dependency_duration", "work_duration")(s)
				delete(s.Labels, "dependency")
			}), Violated,
			"no metric tells how long calls to",
		},
		{"one for all", "payments", quick, func(m *made) {
			replace(m, func(_ journal.Entry, s journal.Scrape) journal.Body {
				sums := map[string]journal.Sample{}
				for _, one := range s.Changed {
					delete(one.Labels, "dependency")
					addGrowth(sums, []journal.Sample{one})
				}
				s.Changed = s.Changed[:0]
				for _, one := range sums {
					s.Changed = append(s.Changed, one)
				}
				return s
			})
		}, Violated, "measure the whole call, per dependency"},
		{"not measured", "payments", quick, without[journal.RoundTrip], Unknown, "was not measured"},
		{"not scraped", "payments", quick, without[journal.Scrape], NotApplicable, "name the endpoint"},
		{
			"no fault on a dependency", "payments", quick, func(m *made) { m.header.Method[0].Target = "replica-1" }, Unknown,
			"no step of the method is a fault on a dependency",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := slowedMade(tt.target, tt.then)
			tt.edit(m)
			wants(t, judged(t, "dependency_metrics", m), tt.outcome, tt.reason)
		})
	}
}

func TestDependencyMetricsOfFewCalls(t *testing.T) {
	d := &DependencyMetrics{FewestCalls: 1000}
	wants(t, d.Detect(slowedMade("payments", meansIn{0.51, 0.002, 0.001}).memory()), Unknown,
		"no series of payments counted 1000 calls before and in the fault")
	named := &DependencyMetrics{Names: map[string][]string{"payments": {"psp"}}}
	m := slowedMade("payments", meansIn{0.51, 0.002, 0.001})
	relabel(func(s *journal.Sample) {
		if s.Labels["dependency"] == "payments" {
			renamed("dependency", "psp")(s)
			delete(s.Labels, "dependency")
		}
	})(m)
	wants(t, named.Detect(m.memory()), Held, "psp_duration_seconds{outcome=ok} rose")
}

// failedMade has payments answer 100 calls with 503, of which some are counted.
func failedMade(counted int, labels ...string) *made {
	m := newMade()
	m.header.Target = "payments"
	m.step("flaky", "status", "fault", "payments", 4, 9)
	m.load("load", "create", 1, 12, 20, 0.05, 201)
	for i := range 100 {
		m.at(4.1+float64(i)/25, "payments", journal.Call{
			Status: 503, Fault: "status", Answered: time.Millisecond, BodyRead: true,
		})
	}
	x := telling(m)
	x.add("dependency_calls_total", "counter", 50, "dependency", "payments", "outcome", "ok")
	x.add("dependency_calls_total", "counter", 0, "dependency", "db", "outcome", "error")
	x.scrape(1, nil)
	x.scrape(3.5, nil)
	x.add("dependency_calls_total", "counter", float64(counted), labels...)
	x.scrape(10, nil)
	return m
}

func TestDependencyMetricsOfAFailingOne(t *testing.T) {
	ours := []string{"dependency", "payments", "outcome", "error"}
	outage := func(m *made) {
		m.header.Method[0].Action = "outage"
		without[journal.Call](m)
	}
	tests := []struct {
		name    string
		counted int
		labels  []string
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"all", 100, ours, func(*made) {}, Held, "errors of payments were counted"},
		{"nine in ten", 90, ours, func(*made) {}, Held, ""},
		{"fewer", 89, ours, func(*made) {}, Unknown, "counted 89 errors of payments, of 100 attempts"},
		{"by status", 100, []string{"dependency", "payments", "code", "503"}, func(*made) {}, Held, ""},
		{
			"as successes", 100,
			[]string{"dependency", "payments", "outcome", "ok"},
			func(*made) {}, Violated,
			"no metric counts errors of payments",
		},
		{
			"to another's account", 100,
			[]string{"dependency", "db", "outcome", "error"},
			func(*made) {}, Violated,
			"no metric counts errors of payments",
		},
		{"none", 0, ours, func(*made) {}, Violated, "counted no error of payments, while status was in force"},
		{"nobody used it", 0, ours, func(m *made) {
			outage(m)
			m.change(func(r *journal.Request) { r.Route = "get" })
		}, Unknown, "no request that uses payments was sent"},
		{"not scraped again", 100, ours, func(m *made) {
			replace(m, func(e journal.Entry, s journal.Scrape) journal.Body {
				if e.At > secs(9) {
					return journal.Note{}
				}
				return s
			})
		}, Unknown, "not scraped after"},
		{"outage", 1, ours, outage, Held, ""},
		{"outage not counted", 0, ours, outage, Violated, "counted no error of payments, while outage"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := failedMade(tt.counted, tt.labels...)
			tt.edit(m)
			wants(t, judged(t, "dependency_metrics", m), tt.outcome, tt.reason)
		})
	}
}

var (
	_ = madeUpAs("dependency_metrics/held-told", makes(func() *made {
		return slowedMade("payments", meansIn{0.51, 0.002, 0.001})
	}))
	_ = madeUpAs("dependency_metrics/violated-mislabelled", makes(func() *made {
		return slowedMade("payments", meansIn{0.01, 0.502, 0.001})
	}))
	_ = madeUpAs("dependency_metrics/violated-errors-not-counted", makes(func() *made {
		return failedMade(0, "dependency", "payments", "outcome", "error")
	}))
	_ = madeUpAs("dependency_metrics/unknown-not-measured", makes(func() *made {
		return slowedMade("payments", meansIn{0.51, 0.002, 0.001})
	}, without[journal.RoundTrip]))
)
