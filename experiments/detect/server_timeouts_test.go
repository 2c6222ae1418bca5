package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// heldMade is a server that closes connections of each manner after so many
// seconds, under promises of 5 s (head), 15 s (request) and 18 s (idle, answer),
// and keeps a slow reader's answer but for 3 MB.
func heldMade(edit func(i int, c *journal.Connection)) *made {
	m := newMade()
	p := &m.header.Promises
	p.ReadsHeadWithin, p.ReadsWithin = 5*time.Second, 15*time.Second
	p.IdlesWithin, p.WritesWithin = 18*time.Second, 18*time.Second
	m.header.Routes = append(m.header.Routes, journal.Route{Name: "export", Method: "GET", Path: "/export", Large: true})
	m.step("slow", "hold_connections", "probe", "replica-1", 3, 26)
	for i := range 25 {
		c := journal.Connection{Step: "slow", Closed: true}
		switch i / 5 {
		case 0:
			c.Manner, c.After = journal.Silent, 5*time.Second
		case 1:
			c.Manner, c.After = journal.SlowHead, 5020*ms
		case 2:
			c.Manner, c.After, c.Status, c.Received = journal.SlowBody, 15*time.Second, 408, 250
		case 3:
			c.Manner, c.After = journal.Idle, 18*time.Second
		case 4:
			c.Manner, c.After, c.Paused = journal.SlowReader, 20200*ms, 20*time.Second
			c.Status, c.Received = 200, 3_292_155
		}
		if edit != nil {
			edit(i/5, &c)
		}
		if c.Manner != "" {
			m.at(3.1, "replica-1", c)
		}
	}
	return m
}

// of edits the connections of one manner.
func of(manner string, f func(*journal.Connection)) func(int, *journal.Connection) {
	return func(_ int, c *journal.Connection) {
		if c.Manner == manner {
			f(c)
		}
	}
}

func leftOpen(c *journal.Connection) {
	c.Closed, c.After, c.Status, c.Received = false, 23*time.Second, 0, 0
}
func notTried(c *journal.Connection)  { c.Manner = "" }
func givenAll(c *journal.Connection)  { c.Closed, c.Whole, c.Received = false, true, 9_600_000 }
func givenMost(c *journal.Connection) { c.Closed, c.Received = false, 9_000_000 }

func TestServerTimeouts(t *testing.T) {
	for _, tt := range []struct {
		name   string
		edit   func(int, *journal.Connection)
		want   Outcome
		reason string
	}{
		{"all bounded", nil, Held, "none of 25 connections was open for longer"},
		{"silent left open", of(journal.Silent, leftOpen), Violated, "5 were still open after 23s: set ReadHeaderTimeout"},
		{"head left open", of(journal.SlowHead, leftOpen), Violated, "whose request's head comes a line at a time"},
		{"body left open", of(journal.SlowBody, leftOpen), Violated, "set ReadTimeout"},
		{"idle left open", of(journal.Idle, leftOpen), Violated, "set IdleTimeout"},
		{"idle closed late", of(journal.Idle, func(c *journal.Connection) {
			c.After = 19001 * ms
		}), Violated, "5 were closed later"},
		{"idle closed just in time", of(journal.Idle, func(c *journal.Connection) { c.After = 19 * time.Second }), Held, ""},
		{"answer given after all", of(journal.SlowReader, givenAll), Violated, "(9.6 MB): set WriteTimeout"},
		{"answer still coming", of(journal.SlowReader, givenMost), Violated, "5 of 5 readers"},
		{"answer reset", of(journal.SlowReader, func(c *journal.Connection) {
			c.Reset, c.Status, c.Received = true, 0, 0
		}), Held, ""},
		{"answer too small", of(journal.SlowReader, func(c *journal.Connection) {
			c.Closed, c.Whole, c.Received = false, true, 3_000_000
		}), Unknown, "others got 3.0 MB, which buffers hold"},
		{"answer refused", of(journal.SlowReader, func(c *journal.Connection) {
			c.Closed, c.Whole, c.Status, c.Received = false, true, 503, 100
		}), Unknown, "others were answered with 503"},
		{
			"pause too short", of(journal.SlowReader, func(c *journal.Connection) { c.Paused = 18 * time.Second }), Unknown,
			"others paused for 18s only",
		},
		{"no large answer", of(journal.SlowReader, notTried), Held, "it was not asked for"},
		{"no body", of(journal.SlowBody, notTried), Held, "no request of the traffic has a body"},
		{
			"watched too short", of(journal.Idle, func(c *journal.Connection) { c.Closed, c.After = false, 10*time.Second }),
			Unknown, "were watched for 10s at most, and 18s are promised",
		},
		{"nothing held", func(_ int, c *journal.Connection) { notTried(c) }, Unknown, "no connection was held open"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wants(t, judged(t, "server_timeouts", heldMade(tt.edit)), tt.want, tt.reason)
		})
	}
}

// Connections that were opened anew shortly before the probe's end say nothing.
func TestServerTimeoutsReopened(t *testing.T) {
	m := heldMade(nil)
	for range 200 {
		m.at(10, "replica-1", journal.Connection{Step: "crowd", Manner: journal.SlowHead, After: 4 * time.Second})
	}
	f := judged(t, "server_timeouts", m)
	wants(t, f, Held, "none of 225 connections")
	if q := quantityOf(t, f, "slow_head_open"); q.Samples != 205 || q.Value != 5.02 {
		t.Errorf("slow heads: %+v", q)
	}
}

// What ends with its replica says nothing of the server's patience.
func TestServerTimeoutsOfOneThatEnds(t *testing.T) {
	m := heldMade(of(journal.Silent, func(c *journal.Connection) { c.After = time.Second }))
	m.at(4.12, "replica-1", journal.Exited{Code: 2})
	wants(t, judged(t, "server_timeouts", m), Unknown, "25 connections ended with replica-1")
	m = heldMade(nil)
	m.at(4.12, "replica-2", journal.Exited{Code: 2})
	wants(t, judged(t, "server_timeouts", m), Held, "")
}

func TestServerTimeoutsWithoutLarge(t *testing.T) {
	m := heldMade(of(journal.SlowReader, notTried))
	m.header.Routes = m.header.Routes[:2]
	wants(t, judged(t, "server_timeouts", m), Held, "no request of the traffic says that its answer is large")
}

func heldAs(edit func(int, *journal.Connection)) func() journal.Journal {
	return func() journal.Journal { return heldMade(edit).memory() }
}

var (
	_ = madeUpAs("server_timeouts/held-bounded", heldAs(nil))
	_ = madeUpAs("server_timeouts/held-nothing-large", heldAs(of(journal.SlowReader, notTried)))
	_ = madeUpAs("server_timeouts/violated-no-timeouts", heldAs(func(i int, c *journal.Connection) {
		if i == 4 {
			givenAll(c)
		} else {
			leftOpen(c)
		}
	}))
	_ = madeUpAs("server_timeouts/violated-head-alone", heldAs(func(i int, c *journal.Connection) {
		switch i {
		case 2, 3:
			leftOpen(c)
		case 4:
			givenAll(c)
		}
	}))
	_ = madeUpAs("server_timeouts/unknown-small-answer", heldAs(of(journal.SlowReader, func(c *journal.Connection) {
		c.Closed, c.Whole, c.Received = false, true, 20_000
	})))
)
