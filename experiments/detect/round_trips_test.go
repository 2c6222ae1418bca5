package detect

import (
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// gauged measures round trips from 1 s to 3 s, with a latency of 20 ms on the
// database from 2 s to 3.5 s: answers of create wait for five of them, those of
// get for one, and those of quote for none.
func gauged(m *made) {
	m.step("round_trips", "measure_round_trips", "operation", "replica-1", 1, 3)
	m.step("gauge", "latency", "fault", "db", 2, 3.5)
	m.at(1, "round_trips", journal.Attack{Began: true, From: secs(1), For: 2 * time.Second})
	m.at(3, "round_trips", journal.Attack{From: secs(1), For: 2 * time.Second})
	for i := range 60 {
		at, rtt := 0.5+float64(i)*0.05, 0.001
		if at >= 2 {
			rtt = 0.021
		}
		m.at(at, "db", journal.RoundTrip{RTT: secs(rtt).Duration(), Bytes: 1})
	}
	for route, trips := range map[string]float64{"create": 5, "get": 1, "quote": 0} {
		m.load("round_trips", route, 1, 1.9, 10, 0.006, 200)
		m.load("round_trips", route, 2.05, 2.8, 10, 0.006+0.02*trips, 200)
	}
}

func TestRoundTrips(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*made)
		want []string
		err  string
	}{
		"measured": {func(*made) {}, []string{"create 5", "get 1", "quote 0"}, ""},
		"one route failed": {func(m *made) {
			m.change(func(r *journal.Request) { r.OK = r.Route != "create" })
		}, []string{"get 1", "quote 0"}, ""},
		"all failed": {func(m *made) {
			m.change(func(r *journal.Request) { r.OK = false })
		}, nil, "had 3 good answers both before and while"},
		"no answers before": {func(m *made) {
			m.change(func(r *journal.Request) { r.OK = r.Due > secs(2) })
		}, nil, "had 3 good answers both before and while"},
		"other attack": {func(m *made) {
			m.change(func(r *journal.Request) { r.Attack = loadAttack })
		}, nil, "had 3 good answers both before and while"},
		"our round trips were not longer": {func(m *made) {
			for i, e := range m.entries {
				if r, ok := e.Body.(journal.RoundTrip); ok {
					r.RTT = time.Millisecond
					m.entries[i].Body = r
				}
			}
		}, nil, "took only 0s longer"},
		"no round trips of ours": {func(m *made) {
			for i, e := range m.entries {
				if _, ok := e.Body.(journal.RoundTrip); ok {
					m.entries[i].Body = journal.Note{}
				}
			}
		}, nil, "0 before and 0 during"},
		"no latency": {func(m *made) { m.header.Method[1].Action = "bandwidth" }, nil, "no latency came into force"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMade()
			gauged(m)
			tt.edit(m)
			found, err := RoundTrips(m.memory(), "round_trips")
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error is %v, wanted …%s…", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, f.Route+" "+string(rune('0'+f.Rounded())))
			}
			if strings.Join(got, ", ") != strings.Join(tt.want, ", ") {
				t.Errorf("found %q, wanted %q", got, tt.want)
			}
		})
	}
}

func TestSheddingAsksForTheDelay(t *testing.T) {
	overloaded := func(latency float64, edit func(*made)) Finding {
		m := newMade()
		gauged(m)
		m.at(3.6, "slow", journal.Measured{Quantity: journal.Quantity{Name: "injected_latency", Value: latency}})
		m.at(6, "capacity", journal.Measured{Quantity: journal.Quantity{Name: "capacity", Value: 40, Unit: "1/s"}})
		surgeMade(m, "x0.8", 7, 0.8, 32, 0, 503)
		surgeMade(m, "x5", 39, 5, 36, 0.02, 503)
		edit(m)
		return judged(t, "shedding", m)
	}
	nothing := func(*made) {}
	f := overloaded(0.04, nothing)
	wants(t, f, Held, "went on with")
	if q := quantityOf(t, f, "answer_delay"); q.Value < 0.199 || q.Value > 0.201 || !q.Holds() {
		t.Errorf("answer_delay is %+v", q)
	}
	if q := quantityOf(t, f, "round_trips"); q.Value < 4.99 || q.Value > 5.01 {
		t.Errorf("round_trips is %+v", q)
	}
	wants(t, overloaded(0.06, nothing), Unknown, "has an answer of create wait 300ms, more than 200ms")
	wants(t, overloaded(0.04, func(m *made) {
		m.change(func(r *journal.Request) { r.OK = r.OK && (r.Attack != "round_trips" || r.Route == "quote") })
	}), Unknown, "no route was seen to wait")
	wants(t, overloaded(0.04, func(m *made) { m.header.Method[1].Action = "bandwidth" }), Unknown, "were not measured")
}
