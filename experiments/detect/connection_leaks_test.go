package detect

import (
	"fmt"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// leakMade takes a census of one replica before and after 300 refused writes:
// so many connections come to wait, and so many are in use when all is quiet.
func leakMade(before, after, inUse int) *made {
	m := newMade()
	m.header.Replicas = []string{"replica-1"}
	m.header.LoadFor = 20 * time.Second
	m.step("census-before", "table_lock", "fault", "db", 1, 2.5)
	m.step("refused", "refuse_writes", "fault", "db", 4, 10)
	m.step("census-after", "table_lock", "fault", "db", 16, 17.5)
	m.load("writers", "create", 4.2, 9.7, 55, 0.01, 503)
	waits := func(t float64, n int) {
		a := journal.Activity{Backends: []journal.Backend{{PID: 100, App: "replica-1", State: "idle"}}}
		for i := range n {
			a.Backends = append(a.Backends, journal.Backend{
				PID: i, App: "replica-1", State: "active", WaitType: "Lock", Wait: "relation",
			})
		}
		m.at(t, "db", a)
	}
	for i := range 200 {
		t := 0.1 * float64(i)
		n := 0
		switch {
		case t > 1.3 && t < 2.5:
			n = before
		case t > 16.3 && t < 17.5:
			n = after
		}
		waits(t, n)
	}
	for i := range 40 {
		t := float64(i) / 2
		m.at(t, "replica-1", journal.Scrape{Series: 1, Fresh: i == 0, Changed: []journal.Sample{
			{Name: "go_sql_in_use_connections", Type: "gauge", Value: float64(inUse + 2*(i%2))},
		}})
	}
	return m
}

func TestConnectionLeaks(t *testing.T) {
	idle := func(m *made) {
		replace(m, func(_ journal.Entry, a journal.Activity) journal.Body {
			a.Backends[0].State, a.Backends[0].IdleAge, a.Backends[0].XactAge = "idle in transaction", 1500*ms, 1600*ms
			return a
		})
	}
	panicking := func(m *made) {
		m.header.Method[1].Class, m.header.Method[1].Action, m.header.Method[1].Name = "operation", "attack", "writers"
		m.header.Routes[0].Panics = true
	}
	for name, tt := range map[string]struct {
		before, after, inUse int
		edit                 func(*made)
		outcome              Outcome
		reason               string
	}{
		"as before":     {10, 10, 0, nil, Held, "as many connections as before: 10"},
		"two lost":      {10, 8, 0, nil, Violated, "10 connections of the replica came to wait, and 8 after"},
		"all lost":      {10, 0, 0, nil, Violated, "10 are lost to the pool"},
		"in use":        {10, 10, 1, nil, Violated, "never was less than 1"},
		"idle":          {10, 10, 0, idle, Violated, "one was idle for 1.5s"},
		"not exhausted": {6, 6, 0, nil, Unknown, "only 6 connections of the replica came to wait, and 10 are there"},
		"nobody":        {0, 0, 0, nil, Unknown, "only 0 connections of the replica"},
		"no metrics":    {10, 10, 0, without[journal.Scrape], Held, "no gauge of connections in use"},
		"not sampled":   {10, 10, 0, without[journal.Activity], Unknown, "could not be sampled"},
		"good answers": {10, 10, 0, func(m *made) {
			m.change(func(r *journal.Request) { r.OK, r.Code = true, 201 })
		}, Unknown, "0 failed during refused"},
		"panics":       {10, 10, 0, panicking, Held, "after 302 requests"},
		"panics, lost": {10, 7, 0, panicking, Violated, "3 are lost to the pool"},
		"one census": {10, 10, 0, func(m *made) {
			m.header.Method[2].Action = "outage"
		}, Unknown, "one before and one after"},
		"another database": {10, 8, 0, func(m *made) {
			m.header.Dependencies = append(m.header.Dependencies, journal.DependencyInfo{Name: "old", Kind: "postgres"})
			m.header.Method[2].Target = "old"
		}, Unknown, "one before and one after"},
		"fewer callers the second time": {10, 8, 0, func(m *made) {
			m.load("callers", "create", 1, 2, 60, 1, 503)
			m.load("callers", "create", 16, 17, 9, 1, 503)
		}, Unknown, "only 9 requests met the census"},
		"told apart once": {10, 10, 0, func(m *made) {
			m.header.Replicas = append(m.header.Replicas, "replica-2")
			replace(m, func(e journal.Entry, a journal.Activity) journal.Body {
				for i := range a.Backends {
					a.Backends[i].App = "one"
					if e.At < secs(10) && i%2 == 0 {
						a.Backends[i].App = "two"
					}
				}
				return a
			})
		}, Unknown, "told apart in one census"},
		"no fault": {10, 10, 0, func(m *made) { m.header.Method[1].Class = "probe" }, Unknown, "no fault between"},
	} {
		t.Run(name, func(t *testing.T) {
			m := leakMade(tt.before, tt.after, tt.inUse)
			if tt.edit != nil {
				tt.edit(m)
			}
			wants(t, judged(t, "connection_leaks", m), tt.outcome, tt.reason)
		})
	}
}

func TestPoolInUse(t *testing.T) {
	for name, want := range map[string]bool{
		"go_sql_in_use_connections": true, "pgxpool_acquired_conns": true, "app_db_pool_in_use": true,
		"go_sql_idle_connections": false, "redis_pool_in_use": false, "pgxpool_acquired_conns_total": false,
	} {
		if got := poolInUse(journal.Sample{Name: name, Type: "gauge"}); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func leaking(before, after int) func() *made {
	return func() *made { return leakMade(before, after, 0) }
}

var (
	_ = madeUpAs("connection_leaks/held-all-back", makes(leaking(10, 10)))
	_ = madeUpAs("connection_leaks/violated-rows-left-open", makes(leaking(10, 3)))
	_ = madeUpAs("connection_leaks/unknown-not-exhausted", makes(leaking(4, 4)))
)

// failoverMade has 50 requests a second; at 10 s all connections are ended, and
// requests due so long afterwards fail. Connections live for as long as age
// says.
func failoverMade(failing, age float64) *made {
	m := newMade()
	m.header.LoadFor = 20 * time.Second
	m.header.Promises.ConnectionLifetime = 4 * time.Second
	m.step("ended", "terminate_backends", "fault", "db", 10, 10.1)
	m.load("load", "get", 0, 20, 50, 0.01, 200)
	m.change(func(r *journal.Request) {
		if r.Due >= secs(10) && r.Due < secs(10+failing) {
			r.OK, r.Code = false, 503
		}
	})
	for i := range 200 {
		t := 0.1 * float64(i)
		var a journal.Activity
		for n := range 4 {
			since := t + 0.3*float64(n)
			generation := int(since / age)
			a.Backends = append(a.Backends, journal.Backend{
				PID: 10*generation + n, App: fmt.Sprint("replica-", n%2), State: "idle",
				Age: secs(since - age*float64(generation)).Duration(),
			})
		}
		m.at(t, "db", a)
	}
	return m
}

func TestFailover(t *testing.T) {
	for name, tt := range map[string]struct {
		failing float64
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		"a few":        {0.3, nil, Held, "at most 15 requests failed"},
		"none":         {0, nil, Held, "at most 0 requests failed"},
		"too many":     {0.9, nil, Violated, "45 requests failed"},
		"late":         {1.5, nil, Violated, "still failed"},
		"for ever":     {20, nil, Violated, "0 of 400 were"},
		"no promise":   {0, func(m *made) { m.header.Promises.MaxOpenConnections = 0 }, Held, "is not promised"},
		"disconnected": {0, emptied, Unknown, "no connection of the service"},
		"no load": {0, func(m *made) {
			m.requests = m.requests[:550]
		}, Unknown, "only 0 requests were due"},
		"not used": {0, func(m *made) {
			m.header.Routes[1].Uses = []string{"payments"}
		}, Unknown, "only 0 requests that use db"},
		"uses not said": {0, func(m *made) { m.header.Routes[1].Uses = nil }, Held, ""},
		"no step":       {0, func(m *made) { m.header.Method[0].Action = "outage" }, Unknown, "no terminate_backends step"},
	} {
		t.Run(name, func(t *testing.T) {
			m := failoverMade(tt.failing, 4.5)
			if tt.edit != nil {
				tt.edit(m)
			}
			wants(t, judged(t, "failover", m), tt.outcome, tt.reason)
		})
	}
}

func TestConnectionLifetime(t *testing.T) {
	for name, tt := range map[string]struct {
		age     float64
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		"replaced":  {4.5, nil, Held, "no connection became older than 4.4"},
		"kept":      {60, nil, Violated, "promised to replace connections at an age of 4s; one was 10.8s old"},
		"unsaid":    {4.5, func(m *made) { m.header.Promises.ConnectionLifetime = 0 }, Unknown, "has not said"},
		"too short": {60, func(m *made) { m.header.Promises.ConnectionLifetime = time.Hour }, Unknown, "none had to be"},
		"churn": {0.1, func(m *made) {
			m.requests = m.requests[:100]
		}, Held, "keep as many idle ones"},
		"restarted": {4.5, func(m *made) {
			m.at(4, "replica-1", journal.Signalled{Signal: "SIGTERM"})
		}, Unknown, "none had to be"},
		"not sampled": {4.5, without[journal.Activity], Unknown, "was not sampled"},
		"nobody":      {4.5, emptied, Unknown, "no connection of the service"},
		"counted": {4.5, func(m *made) {
			m.header.Promises.ConnectionLifetime = 0
			for i := range 4 {
				m.at(float64(i), "replica-1", journal.Scrape{Series: 1, Fresh: i == 0, Changed: []journal.Sample{
					{Name: "go_sql_max_lifetime_closed_total", Type: "counter", Value: float64(i)},
				}})
			}
		}, Unknown, "the pool does close old connections"},
	} {
		t.Run(name, func(t *testing.T) {
			m := failoverMade(0, tt.age)
			if tt.edit != nil {
				tt.edit(m)
			}
			wants(t, judged(t, "connection_lifetime", m), tt.outcome, tt.reason)
		})
	}
}

func failsOver(failing, age float64) func() *made {
	return func() *made { return failoverMade(failing, age) }
}

var (
	_ = madeUpAs("failover/held-replaced", makes(failsOver(0.2, 4.5)))
	_ = madeUpAs("failover/violated-cached-connection", makes(failsOver(20, 4.5)))
	_ = madeUpAs("failover/unknown-not-connected", makes(failsOver(0, 4.5), emptied))

	_ = madeUpAs("connection_lifetime/held-replaced", makes(failsOver(0, 4.5), thin(10)))
	_ = madeUpAs("connection_lifetime/violated-for-ever", makes(failsOver(0, 60), thin(10)))
	_ = madeUpAs("connection_lifetime/unknown-not-said", makes(failsOver(0, 4.5), thin(10), func(m *made) {
		m.header.Promises.ConnectionLifetime = 0
	}))
)
