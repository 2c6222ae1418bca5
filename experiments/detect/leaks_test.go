package detect

import (
	"slices"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// cyclesMade are three hangs of 2 s, 5 s apart, with hang-ups at 20/s in them.
// A replica holds what holds says, in the hang and in each pause.
func cyclesMade(goroutines, descriptors func(cycle int) float64) *made {
	m := newMade()
	m.header.Target, m.header.Rate, m.header.LoadFor = "payments", 5, secs(20).Duration()
	for c := range 3 {
		from := 4 + 5*float64(c)
		m.step("silent", "hang", "fault", "payments", from, from+2)
		m.step("hang-ups", "attack", "operation", "", from+0.1, from+1.8)
		m.load("hang-ups", "create", from+0.1, from+1.8, 20, 0.2, 503)
	}
	m.load("load", "get", 0, 20, 10, 0.005, 200)
	for i := range 40 {
		t := float64(i) / 2
		cycle := int(max(t-4, 0) / 5)
		g, d := goroutines(cycle), descriptors(cycle)
		if in := t - 4 - 5*float64(cycle); t >= 4 && in < 2.5 {
			g, d = g+40, d+20 // calls under way
		}
		m.holds(t, "replica-1", g, d)
		m.holds(t, "replica-2", 20, 15)
	}
	return m
}

// holds records what a replica says of itself at an instant.
func (m *made) holds(t float64, replica string, goroutines, descriptors float64) {
	m.at(t, replica, journal.Scrape{
		Changed: []journal.Sample{{Name: "go_goroutines", Type: "gauge", Value: goroutines}}, Series: 1, Fresh: t == 0,
	})
	m.at(t, replica, journal.ProcessSample{FDs: int(descriptors)})
}

// after makes figures of the three cycles.
func after(figures ...float64) func(int) float64 {
	return func(cycle int) float64 { return figures[min(cycle, 2)] }
}

func TestLeaks(t *testing.T) {
	steady := after(20, 20, 20)
	for _, tt := range []struct {
		name                    string
		goroutines, descriptors func(int) float64
		edit                    func(*made)
		want                    Outcome
		says                    string
	}{
		{"nothing", steady, steady, nil, Held, "neither goroutines nor descriptors"},
		{"a little", after(20, 25, 29), steady, nil, Held, ""},
		{"ten goroutines", after(20, 25, 30), steady, nil, Violated, "replica-1 held 20, 25, 30 goroutines"},
		{"ten descriptors", steady, after(20, 25, 30), nil, Violated, "replica-1 held 20, 25, 30 descriptors"},
		{"thirty at once", after(20, 50, 50), steady, nil, Unknown, "not more each time"},
		{"it was cold", after(3, 3, 3), after(120, 100, 110), nil, Held, ""},
		{"4 % of many requests", after(20, 25, 30), steady, func(m *made) {
			m.load("load", "get", 9, 19, 100, 0.005, 200)
		}, Held, "grew by 24"},
		{"few requests", after(20, 60, 100), steady, func(m *made) {
			m.requests = slices.DeleteFunc(m.requests, func(r journal.Request) bool {
				return r.Attack == "load" || r.Seq%4 != 0
			})
		}, Unknown, "and 10 are needed"},
		{"requests for something else", after(20, 20, 20), steady, func(m *made) {
			m.change(func(r *journal.Request) { r.Route = "get" })
		}, Unknown, "only 0 requests that use payments"},
		{"two cycles", after(20, 60, 100), steady, func(m *made) { m.header.Method[4].For++ }, Unknown, "2 fault steps"},
		{"restarted", after(20, 60, 100), steady, func(m *made) {
			m.at(8, "replica-1", journal.Started{PID: 2, Start: 2})
		}, Unknown, "started again"},
		{"no pause", after(20, 60, 100), steady, func(m *made) {
			m.step("slow", "latency", "fault", "payments", 12.5, 13.5)
		}, Unknown, "looked at 1 time in the pause after cycle 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := cyclesMade(tt.goroutines, tt.descriptors)
			if tt.edit != nil {
				tt.edit(m)
			}
			wants(t, judged(t, "leaks", m), tt.want, tt.says)
		})
	}
}

// What one of the two sources does not say is a remark; without either nothing
// is known.
func TestLeaksWithoutASource(t *testing.T) {
	without := func(kinds ...string) *made {
		m := cyclesMade(after(20, 20, 20), after(20, 50, 80))
		var kept []journal.Entry
		for _, e := range m.entries {
			if len(kinds) > 0 && (e.Body.Kind() == kinds[0] || e.Body.Kind() == kinds[len(kinds)-1]) {
				continue
			}
			kept = append(kept, e)
		}
		m.entries = kept
		return m
	}
	wants(t, judged(t, "leaks", without("scrape")), Violated, "the goroutines of replica-1 are not known")
	wants(t, judged(t, "leaks", without("process")), Held, "the descriptors of replica-1 are not known")
	wants(t, judged(t, "leaks", without("process")), Held, "the goroutines of 2 replicas did not grow by")
	wants(t, judged(t, "leaks", without("process", "scrape")), Unknown, "neither a gauge")
	one := cyclesMade(after(20, 20, 20), after(15, 15, 15))
	one.entries = slices.DeleteFunc(one.entries, func(e journal.Entry) bool { return e.On == "replica-2" })
	wants(t, judged(t, "leaks", one), Unknown, "nor a sample of descriptors of replica-2")
}

func TestGoroutineMetric(t *testing.T) {
	gauge := func(name string) journal.Sample { return journal.Sample{Name: name, Type: "gauge", Value: 1} }
	for _, tt := range []struct {
		samples []journal.Sample
		want    string
	}{
		{[]journal.Sample{gauge("process_runtime_go_goroutines"), gauge("go_goroutines")}, "go_goroutines"},
		{[]journal.Sample{gauge("go_goroutine_count"), gauge("go_threads")}, "go_goroutine_count"},
		{[]journal.Sample{{Name: "goroutines_started_total", Type: "counter"}}, ""},
	} {
		if got := goroutineMetric(journal.NewMetrics(1, tt.samples)); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.samples, got, tt.want)
		}
	}
}

var (
	_ = madeUpAs("leaks/held-steady", makes(func() *made { return cyclesMade(after(20, 21, 20), after(15, 15, 16)) }))
	_ = madeUpAs("leaks/violated-goroutines", makes(func() *made {
		return cyclesMade(after(37, 54, 71), after(15, 15, 15))
	}))
	_ = madeUpAs("leaks/violated-descriptors", makes(func() *made {
		return cyclesMade(after(37, 54, 71), after(32, 49, 66))
	}))
	_ = madeUpAs("leaks/unknown-two-cycles", makes(func() *made {
		return cyclesMade(after(20, 60, 100), after(15, 15, 15))
	}, func(m *made) { m.header.Method[4].For++ }))
)
