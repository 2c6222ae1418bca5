package detect

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// counted is how a service counts one request.
type counted struct {
	route, method, code string
	seconds             float64
	not                 bool // not at all
}

// honest counts what callers saw.
func honest(r journal.Request) counted {
	c := counted{route: "/orders", method: "POST", code: strconv.Itoa(r.Code), seconds: r.RawLatency().Seconds() - 0.001}
	if r.Route == "get" {
		c.route, c.method = "/orders/{id}", "GET"
	}
	return c
}

// truthMade has 1000 requests to two replicas between 1 s and 11 s, some of
// them failing, and scrapes before (with what a setup had counted) and after.
func truthMade(how func(journal.Request) counted) *made {
	m := newMade()
	m.step("down", "outage", "fault", "payments", 4, 6)
	m.load("load", "get", 1, 11, 50, 0.01, 200)
	m.load("load", "create", 1, 4, 50, 0.04, 201)
	m.load("load", "create", 4, 6, 50, 0.04, 503)
	m.load("load", "create", 6, 11, 50, 0.04, 201)
	m.change(func(r *journal.Request) {
		if r.Route == "get" && r.Seq%50 == 7 {
			r.OK, r.Code = false, 404
		}
	})
	m.expose(how)
	return m
}

// expose replaces the scrapes by those of a service that counts in some way.
func (m *made) expose(how func(journal.Request) counted) {
	without[journal.Scrape](m)
	for n, replica := range m.header.Replicas {
		place := how(journal.Request{Route: "create", Code: 201})
		setup := []journal.Sample{
			series("http_requests_total", "counter", 4, "route", place.route, "method", place.method, "code", "201"),
			series("http_requests_total", "counter", 9, "route", "/readyz", "method", "GET", "code", "200"),
		}
		m.at(0.5, replica, journal.Scrape{Fresh: true, Changed: setup, Series: 2})
		sums := map[string]journal.Sample{setup[0].Key(): setup[0], setup[1].Key(): setup[1]}
		add := func(s journal.Sample) {
			s.Value += sums[s.Key()].Value
			sums[s.Key()] = s
		}
		add(series("http_requests_total", "counter", 80, "route", "/readyz", "method", "GET", "code", "200"))
		for _, r := range m.requests {
			c := how(r)
			if int(r.Seq)%2 != n || c.not {
				continue
			}
			add(series("http_requests_total", "counter", 1, "route", c.route, "method", c.method, "code", c.code))
			labels := []string{"route", c.route, "method", c.method}
			add(series("http_request_duration_seconds_count", "histogram", 1, labels...))
			add(series("http_request_duration_seconds_sum", "histogram", c.seconds, labels...))
		}
		m.at(14, replica, journal.Scrape{Changed: sortedSamples(sums), Series: len(sums)})
	}
}

// sortedSamples are samples by their keys, so that a made-up journal is always the same.
func sortedSamples(samples map[string]journal.Sample) []journal.Sample {
	var all []journal.Sample
	for _, key := range slices.Sorted(maps.Keys(samples)) {
		all = append(all, samples[key])
	}
	return all
}

func series(name, kind string, value float64, labels ...string) journal.Sample {
	s := journal.Sample{Name: name, Type: kind, Value: value, Labels: map[string]string{}}
	for i := 0; i < len(labels); i += 2 {
		s.Labels[labels[i]] = labels[i+1]
	}
	return s
}

func TestMetricsTruth(t *testing.T) {
	but := func(edit func(journal.Request, *counted)) func(journal.Request) counted {
		return func(r journal.Request) counted {
			c := honest(r)
			edit(r, &c)
			return c
		}
	}
	nothing := func(*made) {}
	polled := func(m *made) {
		m.polls("replica-1", journal.Readiness, 1, 5, 200)
		m.polls("replica-2", journal.Readiness, 1, 5, 200)
	}
	nth := func(n uint64, edit func(*journal.Request)) func(*made) {
		return func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Seq == n {
					edit(r)
				}
			})
		}
	}
	tests := []struct {
		name    string
		how     func(journal.Request) counted
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"true", honest, nothing, Held, "http_requests_total counts the 1000 answers as callers saw them, in 2 routes"},
		{"errors counted as 200", but(func(r journal.Request, c *counted) {
			if r.Code >= 500 {
				c.code = "200"
			}
		}), nothing, Violated, "callers of create got 100 answers of 5xx, and http_requests_total counts 0"},
		{"one error counted as 200", but(func(r journal.Request, c *counted) {
			if r.Seq == 700 {
				c.code = "200"
			}
		}), nothing, Violated, "callers of create got 100 answers of 5xx, and http_requests_total counts 99"},
		{"404 counted as 400", but(func(r journal.Request, c *counted) {
			if r.Code == 404 {
				c.code = "400"
			}
		}), nothing, Held, ""},
		{
			"404 not counted", but(func(r journal.Request, c *counted) { c.not = r.Code == 404 }), nothing, Violated,
			"answers of 4xx",
		},
		{"counted twice", honest, func(m *made) {
			replace(m, func(e journal.Entry, s journal.Scrape) journal.Body {
				for i := range s.Changed {
					if !s.Fresh && s.Changed[i].Labels["code"] == "201" {
						s.Changed[i].Value += 3
					}
				}
				return s
			})
		}, Violated, "callers of create got 400 answers of 2xx, and http_requests_total counts 406"},
		{
			"route missing", but(func(r journal.Request, c *counted) { c.not = r.Route == "create" && r.Code != 0 }),
			func(m *made) {
				relabel(func(s *journal.Sample) {
					if s.Labels["route"] == "/orders" {
						s.Labels["route"] = "/other/path"
					}
				})(m)
			}, Violated, "request create was answered 500 times and has no series",
		},
		{"classes in the label", honest, relabel(func(s *journal.Sample) {
			if code := s.Labels["code"]; code != "" {
				s.Labels["status"] = code[:1] + "xx"
				delete(s.Labels, "code")
				s.Labels["exact"] = code
			}
		}), Held, ""},
		{"method in the route", honest, relabel(func(s *journal.Sample) {
			s.Labels["handler"] = s.Labels["method"] + " " + s.Labels["route"]
			delete(s.Labels, "method")
			delete(s.Labels, "route")
		}), Held, "in 2 routes"},
		{"no method", honest, relabel(func(s *journal.Sample) { delete(s.Labels, "method") }), Held, "in 2 routes"},
		{"named routes", honest, func(m *made) {
			m.requests = m.requests[:900]
			m.expose(honest)
			relabel(func(s *journal.Sample) {
				s.Labels["route"] = map[string]string{
					"/orders": "createOrder", "/orders/{id}": "getOrder", "/readyz": "ready",
				}[s.Labels["route"]]
			})(m)
		}, Held, "in 2 routes"},
		{
			"no route", but(func(_ journal.Request, c *counted) { c.route, c.method = "", "" }), polled, Held,
			"only classes of status were compared",
		},
		{"no route, errors counted as 200", but(func(r journal.Request, c *counted) {
			c.route, c.method = "", ""
			if r.Code >= 400 {
				c.code = "200"
			}
		}), polled, Violated, "callers of all routes got 100 answers of 5xx (100 to 264 with what cannot be known)"},
		{"unanswered may be counted", honest, nth(9, func(r *journal.Request) {
			r.Code, r.OK, r.Err = 0, false, journal.ErrTimeout
		}), Held, ""},
		{"replayed may be counted twice", honest, func(m *made) {
			nth(9, func(r *journal.Request) { r.Replays = 1 })(m)
			replace(m, func(_ journal.Entry, s journal.Scrape) journal.Body {
				for i := range s.Changed {
					if l := s.Changed[i].Labels; !s.Fresh && l["route"] == "/orders/{id}" && l["code"] == "200" {
						s.Changed[i].Value += 0.5
					}
				}
				return s
			})
		}, Held, ""},
		{"after the last scrape", honest, func(m *made) {
			m.hit("load", "get", 13.97, 0.01, 200)
			m.hit("load", "get", 15, 0.01, 200)
		}, Held, ""},
		{"only successes", honest, func(m *made) {
			m.requests = slices.DeleteFunc(m.requests, func(r journal.Request) bool { return !r.OK })
			m.expose(honest)
		}, Unknown, "only 0 of"},
		{"few answers", honest, func(m *made) {
			m.requests = m.requests[:60]
			m.expose(honest)
		}, Unknown, "only 60 requests were answered"},
		{"durations too short", but(func(_ journal.Request, c *counted) { c.seconds = 0.0158 }), func(m *made) {
			m.change(func(r *journal.Request) { r.Done = r.Sent + secs(0.04) })
		}, Violated, "waited 40ms on average, and http_request_duration_seconds says 16ms"},
		{"durations just right", but(func(_ journal.Request, c *counted) { c.seconds = 0.0162 }), func(m *made) {
			m.change(func(r *journal.Request) { r.Done = r.Sent + secs(0.04) })
		}, Held, ""},
		{
			"durations too long", but(func(_ journal.Request, c *counted) { c.seconds += 0.0062 }), nothing, Violated,
			"http_request_duration_seconds says",
		},
		{"durations without a route", honest, relabel(func(s *journal.Sample) {
			if strings.Contains(s.Name, "duration") {
				s.Labels = map[string]string{"code": "200"}
			}
		}), Held, "so its mean was not compared"},
		{"durations missing", honest, relabel(func(s *journal.Sample) {
			s.Name = strings.ReplaceAll(s.Name, "duration_seconds", "size_bytes")
		}), Violated, "have no request durations; looked for"},
		{
			"durations in milliseconds", but(func(_ journal.Request, c *counted) { c.seconds *= 1000 }),
			relabel(func(s *journal.Sample) { s.Name = strings.ReplaceAll(s.Name, "seconds", "ms") }), Violated,
			"is not in seconds",
		},
		{
			"no counter", honest, relabel(func(s *journal.Sample) { delete(s.Labels, "code") }), Violated,
			"do not count requests by status; looked for",
		},
		{"not scraped", honest, without[journal.Scrape], NotApplicable, "name the endpoint"},
		{"scrapes failed", honest, func(m *made) {
			replace(m, func(journal.Entry, journal.Scrape) journal.Body { return journal.Scrape{Err: "404 Not Found"} })
		}, Unknown, "404 Not Found"},
		{"no requests", honest, func(m *made) { m.requests = nil }, Unknown, "no request was sent"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := truthMade(tt.how)
			tt.edit(m)
			wants(t, judged(t, "metrics_truth", m), tt.outcome, tt.reason)
		})
	}
}

// A restart in between resets the counters; what was answered between the last
// scrape of the old process and the first of the new one may be missing.
func TestMetricsTruthOverRestart(t *testing.T) {
	build := func(lost, falsified int) *made {
		m := newMade()
		m.header.Replicas = m.header.Replicas[:1]
		m.load("load", "get", 1, 3, 100, 0.001, 200)
		m.load("load", "create", 1, 3, 100, 0.001, 503)
		sample := func(route, method, code string, v int) journal.Sample {
			return series("http_requests_total", "counter", float64(v), "route", route, "method", method, "code", code)
		}
		scrape := func(at float64, start, get, create int) {
			m.at(at, "replica-1", journal.Scrape{Fresh: get == 0 || start == 2, Changed: []journal.Sample{
				sample("/orders/{id}", "GET", "200", get), sample("/orders", "POST", "503", create),
				series("http_request_duration_seconds_count", "histogram", float64(get), "route", "/orders/{id}"),
				series(journal.StartTimeMetric, "gauge", float64(start)),
			}})
		}
		scrape(0.5, 1, 0, 0)
		scrape(1.995, 1, 100, 100)
		scrape(2.05, 2, 5-lost, 5-lost)
		scrape(4, 2, 100-lost, 100-lost-falsified)
		return m
	}
	tests := []struct {
		lost, falsified int
		outcome         Outcome
	}{
		{0, 0, Held}, {5, 0, Held}, {5, 20, Violated},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d lost, %d falsified", tt.lost, tt.falsified), func(t *testing.T) {
			wants(t, judged(t, "metrics_truth", build(tt.lost, tt.falsified)), tt.outcome, "")
		})
	}
}

// Requests for what is not there are answered by no route of the traffic, and
// counted all the same.
func TestMetricsTruthOfStrangers(t *testing.T) {
	build := func(counted404 int) *made {
		m := truthMade(honest)
		m.at(12, "strange", journal.Attack{From: secs(11), For: secs(1).Duration(), Strange: true})
		m.load("strange", "get", 11, 12, 100, 0.002, 404)
		replace(m, func(_ journal.Entry, s journal.Scrape) journal.Body {
			if !s.Fresh {
				labels := []string{"route", "unmatched", "method", "GET", "code", "404"}
				more := series("http_requests_total", "counter", float64(counted404)/2, labels...)
				s.Changed = append(slices.Clone(s.Changed), more)
			}
			return s
		})
		return m
	}
	wants(t, judged(t, "metrics_truth", build(100)), Held, "counts the 1100 answers as callers saw them, in 2 routes")
	wants(t, judged(t, "metrics_truth", build(0)), Violated, "100 of them to requests for what is not there")
	wants(t, judged(t, "metrics_truth", build(98)), Violated, "under one value for all")
}

// A counter whose name looks like that of calls to others can be named.
func TestMetricsTruthOfANamedCounter(t *testing.T) {
	m := truthMade(honest)
	relabel(renamed("http_requests_total", "client_api_requests_total"))(m)
	wants(t, judged(t, "metrics_truth", m), Violated, "do not count requests by status; looked for a counter")
	named := &MetricsTruth{Counter: "client_api_requests_total"}
	wants(t, named.Detect(m.memory()), Held, "client_api_requests_total counts")
	wants(t, (&MetricsTruth{Counter: "no_such"}).Detect(m.memory()), Violated, "looked for no_such, as it is named in the")
}
