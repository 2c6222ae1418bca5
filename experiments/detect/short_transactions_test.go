package detect

import (
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// waitingMade makes payments slow from 2 s to 12 s; requests take so long, and each
// keeps a transaction open for as long as open says, idle but for its beginning.
func waitingMade(took, open float64) *made {
	m := newMade()
	m.step("slow", "slow_answer", "fault", "payments", 2, 12)
	m.load("waiting", "create", 2, 12, 5, took, 503)
	for i := range 100 {
		t := 2 + 0.1*float64(i)
		a := journal.Activity{Backends: []journal.Backend{{PID: 1, App: "replica-1", State: "idle"}}}
		// One transaction after the other: begun at a multiple of its length.
		if since := t - open*float64(int(t/max(open, 1e-9))); open > 0.1 {
			a.Backends = append(a.Backends, journal.Backend{
				PID: 2, App: "replica-1", State: "idle in transaction",
				IdleAge: secs(since * 0.9).Duration(), XactAge: secs(since).Duration(),
			})
		}
		m.at(t, "db", a)
	}
	m.at(3, "db", journal.RoundTrip{RTT: time.Millisecond})
	return m
}

func TestShortTransactions(t *testing.T) {
	for name, tt := range map[string]struct {
		took, open float64
		edit       func(*made)
		outcome    Outcome
		reason     string
	}{
		"none":     {1.5, 0, nil, Held, "no transaction of the service was idle for more than 0s"},
		"short":    {1.5, 0.2, nil, Held, "50 requests waited"},
		"around":   {1.5, 1.5, nil, Violated, "a transaction was idle for 1.26s"},
		"between":  {1.5, 0.6, nil, Unknown, "less than 1s"},
		"quick":    {0.3, 0, nil, Unknown, "only 0 requests"},
		"unasked":  {1.5, 0, without[journal.Activity], Unknown, "could not be sampled"},
		"no step":  {1.5, 0, func(m *made) { m.header.Method[0].Action = "hang" }, Unknown, "has no slow_answer step"},
		"stranger": {1.5, 0, emptied, Unknown, "connected under another role"},
		"no database": {1.5, 0, func(m *made) {
			m.header.Dependencies = m.header.Dependencies[1:]
		}, NotApplicable, "no Postgres"},
		"observer gone": {1.5, 0, func(m *made) {
			m.entries = slices.DeleteFunc(m.entries, func(e journal.Entry) bool {
				_, sample := e.Body.(journal.Activity)
				return sample && e.At > secs(4)
			})
		}, Unknown, "was not sampled for 8"},
		"other routes": {1.5, 0, func(m *made) {
			m.header.Routes[0].Uses = []string{"payments"}
		}, Unknown, "only 0 requests"},
		"active": {1.5, 1.5, func(m *made) {
			replace(m, func(_ journal.Entry, a journal.Activity) journal.Body {
				for i := range a.Backends {
					a.Backends[i].State, a.Backends[i].IdleAge = "active", 0
				}
				return a
			})
		}, Violated, "one in a hundred was open for"},
	} {
		t.Run(name, func(t *testing.T) {
			m := waitingMade(tt.took, tt.open)
			if tt.edit != nil {
				tt.edit(m)
			}
			wants(t, judged(t, "short_transactions", m), tt.outcome, tt.reason)
		})
	}
}

// emptied leaves samples in which nobody of the service is connected.
func emptied(m *made) {
	replace(m, func(journal.Entry, journal.Activity) journal.Body { return journal.Activity{} })
}

// A transaction is one as long as its beginning stays the same.
func TestTransactionsIn(t *testing.T) {
	j := waitingMade(1.5, 1.5).memory()
	got := transactionsIn(j, "db", journal.Window{From: secs(2), To: secs(12)})
	if len(got.ages) != 7 || len(got.samples) != 100 {
		t.Errorf("%d transactions in %d samples: %v", len(got.ages), len(got.samples), got.ages)
	}
}

func slows(took, open float64) func() *made { return func() *made { return waitingMade(took, open) } }

var (
	_ = madeUpAs("short_transactions/held-ended-before", makes(slows(1.5, 0.15)))
	_ = madeUpAs("short_transactions/violated-around-the-call", makes(slows(1.5, 1.5)))
	_ = madeUpAs("short_transactions/unknown-given-up-soon", makes(slows(0.2, 0.15)))
)
