package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// stormMade has both replicas started at 8 s; from then on the database has so
// many backends, and so many connections are opened in the second after.
func stormMade(backends, connects int) *made {
	m := newMade()
	m.header.LoadFor = 15 * time.Second
	m.step("restart", "restart_all", "operation", "", 5, 9)
	for _, r := range m.header.Replicas {
		m.at(8, r, journal.Started{PID: 2, Start: 2})
	}
	for i := range 100 {
		at := 5 + float64(i)/10
		a := journal.Activity{MaxConnections: 50}
		t := journal.Tally{Conns: uint64(i)}
		if at >= 8.5 {
			a.Backends = make([]journal.Backend, backends)
			t.Conns += uint64(min(connects*(i-34)/5, connects))
		}
		m.at(at, "db", a)
		m.at(at, "db", t)
		m.at(at-0.05, "db", journal.RoundTrip{}) // our own, of which the tallies know
	}
	return m
}

func TestDependencyStorm(t *testing.T) {
	promise := func(n int) func(*made) {
		return func(m *made) { m.header.Promises.MaxOpenConnections = n }
	}
	size := func(n float64) func(*made) {
		return func(m *made) {
			m.at(9, "replica-1", journal.Scrape{Fresh: true, Series: 1, Changed: []journal.Sample{
				{Name: "go_sql_max_open_connections", Type: "gauge", Value: n},
			}})
		}
	}
	log := func(on, text string) func(*made) {
		return func(m *made) { m.at(9, on, journal.LogLine{Text: text}) }
	}
	limitless := func(m *made) {
		replace(m, func(_ journal.Entry, a journal.Activity) journal.Body {
			a.MaxConnections = 0
			return a
		})
	}
	tests := []struct {
		name               string
		backends, connects int
		edits              []func(*made)
		outcome            Outcome
		reason             string
	}{
		{"within the promise", 20, 20, nil, Held, "at most 20 backends"},
		{"more than promised", 21, 20, nil, Violated, "promised at most 20 backends"},
		{"more than promised, for a moment", 20, 20, []func(*made){func(m *made) {
			m.at(9.02, "db", journal.Activity{MaxConnections: 50, Backends: make([]journal.Backend, 22)})
		}}, Held, ""},
		{"more than the database bears", 41, 20, []func(*made){promise(25)}, Violated, "of 50 that it allows"},
		{"promised more than it bears", 20, 20, []func(*made){promise(25)}, Held, "check its max_connections"},
		{"too many in a second", 20, 21, nil, Violated, "asked for 21 connections in a second"},
		{"no promise, by the metrics", 12, 12, []func(*made){promise(0), size(5)}, Violated, "promised at most 10 backends"},
		{"unlimited", 12, 12, []func(*made){size(0)}, Violated, "call SetMaxOpenConns"},
		{"nobody says", 30, 30, []func(*made){promise(0)}, Held, "only what the database allows"},
		{"refused", 20, 20, []func(*made){
			log("db", "[7] FATAL:  sorry, too many clients already"),
		}, Violated, "the log tells in 1 line of connections"},
		{"refused, as the service says", 20, 20, []func(*made){
			log("replica-1", `{"error":"FATAL: remaining connection slots are reserved (SQLSTATE 53300)"}`),
		}, Violated, "SQLSTATE 53300"},
		{"another's log", 20, 20, []func(*made){log("cache", "too many clients already")}, Held, ""},
		{"no backend seen", 0, 20, nil, Unknown, "nothing is known of the most"},
		{"not sampled", 20, 20, []func(*made){without[journal.Activity]}, Unknown, "10 samples are needed"},
		{"not started", 20, 20, []func(*made){without[journal.Started]}, Unknown, "no replica was started"},
		{"one of two was started", 10, 10, []func(*made){func(m *made) {
			replace(m, func(e journal.Entry, s journal.Started) journal.Body {
				if e.On == "replica-2" {
					return journal.Note{}
				}
				return s
			})
		}}, Unknown, "only 1 of 2 replicas were started"},
		{"limit not known", 20, 20, []func(*made){limitless}, Held, "max_connections of db is not known"},
		{"limit not known, more than promised", 21, 20, []func(*made){limitless}, Violated, "promised at most 20 backends"},
		{"neither limit nor promise", 20, 20, []func(*made){limitless, promise(0)}, Unknown, "nothing to hold"},
		{"no step", 20, 20, []func(*made){func(m *made) { m.header.Method = nil }}, Unknown, "no restart_all step"},
		{"no database", 20, 20, []func(*made){func(m *made) {
			m.header.Dependencies = m.header.Dependencies[1:]
		}}, NotApplicable, "no database of kind postgres"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := stormMade(tt.backends, tt.connects)
			for _, edit := range tt.edits {
				edit(m)
			}
			wants(t, judged(t, "dependency_storm", m), tt.outcome, tt.reason)
		})
	}
}

var (
	_ = madeUpAs("dependency_storm/held-within", makes(func() *made { return stormMade(14, 14) }))
	_ = madeUpAs("dependency_storm/violated-more-than-it-bears", makes(func() *made { return stormMade(46, 60) }))
	_ = madeUpAs("dependency_storm/unknown-not-sampled", makes(func() *made { return stormMade(14, 14) },
		without[journal.Activity]))
)
