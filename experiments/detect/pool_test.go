package detect

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// lockMade holds a table lock from 3 s to 13 s; each of two replicas has up to
// waiting backends in the lock, and every request is answered after took with
// the code.
func lockMade(waiting int, took float64, code int) *made {
	m := newMade()
	m.header.LoadFor = 25 * time.Second
	m.step("lock", "table_lock", "fault", "db", 3, 13)
	m.load("load", "create", 0, 3, 100, 0.01, 201)
	m.load("load", "create", 3, 13, 100, took, code)
	m.load("load", "create", 13, 25, 100, 0.01, 201)
	for i := range 100 {
		var a journal.Activity
		for n := range 2 * waiting {
			a.Backends = append(a.Backends, journal.Backend{
				PID: n, App: fmt.Sprintf("orders-%d", n%2), State: "active", WaitType: "Lock", Wait: "relation",
				QueryAge: time.Duration(float64(time.Second) * took * float64(i%10) / 9),
			})
		}
		m.at(3.05+0.1*float64(i), "db", a)
	}
	for _, replica := range m.header.Replicas {
		m.scrape(1, replica, true, 0)
		m.scrape(8, replica, false, 40)
		m.scrape(15.5, replica, false, 90)
	}
	return m
}

// scrape records database/sql's pool metrics.
func (m *made) scrape(t float64, replica string, fresh bool, waits float64) {
	s := journal.Scrape{Series: 2, Fresh: fresh, Changed: []journal.Sample{
		{Name: "go_sql_wait_count_total", Type: "counter", Labels: map[string]string{"db_name": "db"}, Value: waits},
	}}
	if fresh {
		s.Changed = append(s.Changed, journal.Sample{Name: "go_sql_max_open_connections", Type: "gauge", Value: 10})
	}
	m.at(t, replica, s)
}

// replace replaces the bodies of one type.
func replace[T journal.Body](m *made, by func(journal.Entry, T) journal.Body) {
	for i, e := range m.entries {
		if body, ok := e.Body.(T); ok {
			m.entries[i].Body = by(e, body)
		}
	}
}

func without[T journal.Body](m *made) {
	replace(m, func(journal.Entry, T) journal.Body { return journal.Note{} })
}

func TestPoolBound(t *testing.T) {
	sameApp := func(m *made) {
		replace(m, func(_ journal.Entry, a journal.Activity) journal.Body {
			for i := range a.Backends {
				a.Backends[i].App = "orders"
			}
			return a
		})
	}
	// onlyIn leaves the backends above the bound to some samples.
	onlyIn := func(samples ...int) func(*made) {
		return func(m *made) {
			n := 0
			replace(m, func(_ journal.Entry, a journal.Activity) journal.Body {
				keep := false
				for _, s := range samples {
					keep = keep || s == n
				}
				if n++; !keep {
					a.Backends = a.Backends[:20]
				}
				return a
			})
		}
	}
	rename := func(from, to string) func(*made) { return relabel(renamed(from, to)) }
	stuck := func(replicas ...string) func(*made) {
		return func(m *made) {
			replace(m, func(e journal.Entry, s journal.Scrape) journal.Body {
				if slices.Contains(replicas, e.On) && !s.Fresh {
					s.Changed = nil
				}
				return s
			})
		}
	}
	failAfter := func(seconds float64) func(*made) {
		return func(m *made) {
			m.change(func(r *journal.Request) {
				if r.Due >= secs(13) && r.Due < secs(13+seconds) {
					r.Code, r.OK = 500, false
				}
			})
		}
	}
	nothing := func(*made) {}
	tests := []struct {
		name    string
		waiting int
		took    float64
		code    int
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"bounded", 10, 1, 503, nothing, Held, "at most 10 backends waited"},
		{"504", 10, 5, 504, nothing, Held, "the waiting shows in go_sql_wait_count_total"},
		{"unbounded", 25, 1, 503, nothing, Violated, "promised at most 10 connections per replica; 25 backends"},
		{"eleven all the time", 11, 1, 503, nothing, Violated, "promised at most 10 connections"},
		{"eleven in three samples", 11, 1, 503, onlyIn(5, 6, 7), Violated, "in 3 samples in a row"},
		{"eleven in two samples", 11, 1, 503, onlyIn(5, 6, 60), Held, "a driver reconnects"},
		{"not exhausted", 9, 1, 503, nothing, Unknown, "10 are needed to have exhausted the pool"},
		{"limited by concurrency", 8, 1, 503, func(m *made) {
			m.header.Promises.MaxConcurrent = 8
		}, Held, ""},
		{"one application name", 10, 1, 503, sameApp, Held, "cannot be told apart"},
		{"one application name, too many", 11, 1, 503, sameApp, Violated, "more than 20 did"},
		{"one application name, half exhausted", 9, 1, 503, sameApp, Unknown, "19 are needed"},
		{
			"not promised", 10, 1, 503, func(m *made) { m.header.Promises.MaxOpenConnections = 0 }, Held,
			"was taken from go_sql_max_open_connections",
		},
		{"not promised and no gauge", 10, 1, 503, func(m *made) {
			m.header.Promises.MaxOpenConnections = 0
			rename("go_sql_max_open_connections", "go_threads")(m)
		}, Unknown, "promise max_open_connections"},
		{"unlimited by its own word", 10, 1, 503, relabel(func(s *journal.Sample) {
			if s.Type == "gauge" {
				s.Value = 0
			}
		}), Violated, "the pool is unlimited"},
		{"just in time", 10, 5.49, 503, nothing, Held, ""},
		{"too late", 10, 5.6, 503, nothing, Violated, "bound the wait for a connection"},
		{"never answered", 10, 10, 0, nothing, Violated, "promised answers within 5.5s"},
		{"client gave up early", 10, 2, 0, nothing, Unknown, "raise its timeout"},
		{"500", 10, 1, 500, nothing, Violated, "1000 × 500"},
		{"no metric", 10, 1, 503, rename("go_sql_wait_count_total", "go_gc_total"), Violated, "looked for go_sql_wait_count"},
		{"pgxpool", 10, 1, 503, rename("go_sql_wait_count_total", "pgxpool_canceled_acquire_count"), Held, ""},
		{
			"pgxpool counts what worked", 10, 1, 503, rename("go_sql_wait_count_total", "pgxpool_acquire_count"), Violated,
			"no metric tells",
		},
		{"metric does not move", 10, 1, 503, stuck("replica-1", "replica-2"), Violated, "did not move"},
		{
			"one replica's metric does not move", 10, 1, 503, stuck("replica-2"), Violated,
			"did not move while the table was locked (3s to 13s) at replica-2",
		},
		{"one replica not exhausted", 10, 1, 503, func(m *made) {
			replace(m, func(_ journal.Entry, a journal.Activity) journal.Body {
				a.Backends = slices.DeleteFunc(a.Backends, func(b journal.Backend) bool { return b.PID%2 == 1 && b.PID > 5 })
				return a
			})
		}, Unknown, "at most 3 backends of orders-1"},
		{"not scraped", 10, 1, 503, func(m *made) { without[journal.Scrape](m) }, Held, "no metrics were scraped"},
		{"good after 4.8 s", 10, 1, 503, failAfter(4.8), Held, ""},
		{"good after 5.3 s", 10, 1, 503, failAfter(5.3), Violated, "good answers within 5s of the unlocking"},
		{"never good again", 10, 1, 503, failAfter(30), Violated, "good answers within 5s of the unlocking"},
		{"watched too briefly", 10, 1, 503, func(m *made) {
			m.header.LoadFor = 16 * time.Second
			failAfter(30)(m)
		}, Unknown, "make the experiment's recovery longer"},
		{"no samples", 10, 1, 503, func(m *made) { without[journal.Activity](m) }, Unknown, "could not be sampled"},
		{"a gap in the samples", 10, 1, 503, func(m *made) {
			replace(m, func(e journal.Entry, a journal.Activity) journal.Body {
				if e.At > secs(6) && e.At < secs(8) {
					return journal.Activity{Err: "too many clients already"}
				}
				return a
			})
		}, Unknown, "who waited then is not known"},
		{"no requests", 10, 1, 503, func(m *made) { m.requests = nil }, Unknown, "0 were sent"},
		{"not in force", 10, 1, 503, func(m *made) { without[journal.StepEvent](m) }, Unknown, "was never in force"},
		{"no step", 10, 1, 503, func(m *made) { m.header.Method = nil }, Unknown, "has no table_lock step"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := lockMade(tt.waiting, tt.took, tt.code)
			tt.edit(m)
			wants(t, judged(t, "pool_bound", m), tt.outcome, tt.reason)
		})
	}
}

func TestStatementBound(t *testing.T) {
	nothing := func(*made) {}
	hangUp := func(r *journal.Request, after float64) {
		r.Canceled, r.Err, r.Code, r.OK = true, journal.ErrCanceled, 0, false
		r.Done = r.Sent + secs(after)
	}
	hungUp := func(after float64) func(*made) {
		return func(m *made) { m.change(func(r *journal.Request) { hangUp(r, after) }) }
	}
	// mostHungUp has one of three callers wait for the answer.
	mostHungUp := func(answered func(*journal.Request)) func(*made) {
		return func(m *made) {
			n := 0
			m.change(func(r *journal.Request) {
				if n++; n%3 > 0 {
					hangUp(r, 0.2)
				} else {
					answered(r)
				}
			})
		}
	}
	tests := []struct {
		name    string
		took    float64
		edit    func(*made)
		outcome Outcome
		reason  string
	}{
		{"bounded", 1, nothing, Held, "no statement was on the server for longer than 1s"},
		{"at the bound", 5.5, nothing, Held, ""},
		{"beyond it", 5.6, nothing, Violated, "one was on the server for 5.6s"},
		{"hung up, cancelled", 0.65, hungUp(0.2), Held, "at most 700ms"},
		{"hung up, not cancelled", 0.75, hungUp(0.2), Violated, "the last hang-up"},
		{"some answered before that", 0.75, mostHungUp(func(r *journal.Request) {
			r.Done = r.Sent + secs(0.1)
		}), Violated, "the last hang-up"},
		{"some answered after that", 0.75, mostHungUp(func(*journal.Request) {}), Held, ""},
		{"idle is no statement", 9, func(m *made) {
			replace(m, func(_ journal.Entry, a journal.Activity) journal.Body {
				for i := range a.Backends {
					a.Backends[i].State = "idle"
				}
				return a
			})
		}, Unknown, "no backend of the service waited"},
		{"lock too short", 1, func(m *made) {
			m.header.Promises.AnswersWithin = 12 * time.Second
		}, Unknown, "too short"},
		{"sampled at first", 1, func(m *made) {
			replace(m, func(e journal.Entry, a journal.Activity) journal.Body {
				if e.At > secs(5) {
					return journal.Activity{Err: "no room"}
				}
				return a
			})
		}, Unknown, "was not sampled for 8"},
		{"waited in the end", 1, func(m *made) {
			replace(m, func(e journal.Entry, a journal.Activity) journal.Body {
				if e.At < secs(9) {
					return journal.Activity{}
				}
				return a
			})
		}, Unknown, "the first statement began to wait"},
		{"no samples", 1, func(m *made) { without[journal.Activity](m) }, Unknown, "in 0 samples"},
		{"no step", 1, func(m *made) { m.header.Method = nil }, Unknown, "has no table_lock step"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := lockMade(10, tt.took, 503)
			tt.edit(m)
			wants(t, judged(t, "statement_bound", m), tt.outcome, tt.reason)
		})
	}
}
