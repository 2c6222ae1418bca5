package faults

import (
	"errors"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// parts make up a tale.
type parts []func(*tale)

func at(ms int) journal.Instant { return journal.Instant(time.Duration(ms) * time.Millisecond) }

// tale writes a small journal about "db", from 3 s to 9 s.
type tale struct {
	*journal.Memory
	tally journal.Tally
}

// trips records round trips every 100 ms: calm before the window, then other.
func trips(other journal.RoundTrip) func(*tale) {
	return func(s *tale) {
		calm := journal.RoundTrip{Dial: time.Millisecond, RTT: 2 * time.Millisecond, Up: 8, Down: 1, Bytes: 1}
		for ms := 3000; ms < 9000; ms += 100 {
			r := calm
			if window.Contains(at(ms)) {
				r = other
			}
			s.Record(journal.Entry{At: at(ms) + 1, On: "db", Body: r})
		}
	}
}

// traffic records tallies every 100 ms that grow by the service's bytes and
// connections, and by ours; shaped grows in the window only.
func traffic(before, during journal.Tally) func(*tale) {
	return func(s *tale) {
		for ms := 3000; ms < 9000; ms += 100 {
			step := before
			if window.Contains(at(ms)) {
				step = during
			}
			s.tally.UpBytes += step.UpBytes
			s.tally.DownBytes += step.DownBytes
			s.tally.Conns += step.Conns
			s.tally.Shaped += step.Shaped
			s.tally.Open = step.Open
			s.Record(journal.Entry{At: at(ms) + 2, On: "db", Body: s.tally})
		}
	}
}

func with(t journal.Tally, shaped uint64) journal.Tally { t.Shaped = shaped; return t }

// samples records pg_stat_activity every 100 ms.
func samples(before, during journal.Activity) func(*tale) {
	return func(s *tale) {
		for ms := 3000; ms < 9000; ms += 100 {
			a := before
			if at(ms) >= window.From {
				a = during
			}
			s.Record(journal.Entry{At: at(ms) + 3, On: "db", Body: a})
		}
	}
}

// calls records a stub's calls every 100 ms in the window.
func calls(c ...journal.Call) func(*tale) {
	return func(s *tale) {
		for i, ms := 0, 5050; ms < 6900; i, ms = i+1, ms+100 {
			s.Record(journal.Entry{At: at(ms), On: "db", Body: c[i%len(c)]})
		}
	}
}

func polls(code int) func(*tale) {
	return func(s *tale) {
		for ms := 3000; ms < 9000; ms += 100 {
			p := journal.Poll{Endpoint: journal.Readiness, Code: 200, Took: time.Millisecond}
			if window.Contains(at(ms)) {
				p.Code = code
			}
			s.Record(journal.Entry{At: at(ms) + 4, On: "r1", Body: p})
		}
	}
}

// uses records what an engine says just before the window and in it, the last
// of it to the end.
func uses(before journal.Usage, during ...journal.Usage) func(*tale) {
	return func(s *tale) {
		s.Record(journal.Entry{At: at(4990), On: "r1", Body: before})
		var all journal.Usage
		for i, ms := 0, 5100; ms < 7000; i, ms = i+1, ms+250 {
			u := during[min(i, len(during)-1)]
			all.Periods, all.Throttled = all.Periods+u.Periods, all.Throttled+u.Throttled
			u.Periods, u.Throttled = all.Periods, all.Throttled
			s.Record(journal.Entry{At: at(ms), On: "r1", Body: u})
		}
	}
}

// carrying records so many bytes that an engine counted every 100 ms.
func carrying(n uint64) func(*tale) {
	return func(s *tale) {
		for ms := 3000; ms < 9000; ms += 100 {
			s.Record(journal.Entry{At: at(ms) + 2, On: "db", Body: journal.Carried{Bytes: n}})
		}
	}
}

// left records what a kernel counted of packets.
func left(c journal.PacketCount) func(*tale) {
	return func(s *tale) { s.Record(journal.Entry{At: at(4990), On: "r1", Body: c}) }
}

// took records polls that take so many milliseconds in the window.
func took(ms int) func(*tale) {
	return func(s *tale) {
		for now := 3000; now < 9000; now += 100 {
			p := journal.Poll{Endpoint: journal.Readiness, Code: 200, Took: time.Millisecond}
			if window.Contains(at(now)) {
				p.Took = time.Duration(ms) * time.Millisecond
			}
			s.Record(journal.Entry{At: at(now), On: "r1", Body: p})
		}
	}
}

func requests(s *tale) {
	for ms := 3000; ms < 9000; ms += 100 {
		s.Request(journal.Request{Due: at(ms), Sent: at(ms), Done: at(ms)})
	}
}

func exit(ms int, signal string) func(*tale) {
	return func(s *tale) {
		s.Record(journal.Entry{At: at(ms), On: "r1", Body: journal.Exited{PID: 4, Code: -1, Signal: signal}})
	}
}

func backends(apps ...string) journal.Activity {
	a := journal.Activity{MaxConnections: 20}
	for i, app := range apps {
		a.Backends = append(a.Backends, journal.Backend{PID: 100 + i, App: app})
	}
	return a
}

func many(n int, app string) (apps []string) {
	for range n {
		apps = append(apps, app)
	}
	return apps
}

// reading records the locks every 100 ms, with a transaction in the window.
func reading(app string) func(*tale) {
	return func(s *tale) {
		for ms := 3000; ms < 9000; ms += 100 {
			var l journal.Locks
			if age := at(ms).Sub(window.From); window.Contains(at(ms)) {
				l.Sessions = []journal.Session{{PID: 7, App: app, XactAge: age + time.Millisecond}}
			}
			s.Record(journal.Entry{At: at(ms) + 4, On: "db", Body: l})
		}
	}
}

func waiting() journal.Activity {
	a := backends("orders")
	a.Backends[0].WaitType = "Lock"
	return a
}

func tell(t *testing.T, f Fault, target string, story parts, want error) {
	t.Helper()
	s := &tale{Memory: journal.NewMemory(journal.Header{Replicas: []string{"r1"}})}
	for _, part := range story {
		part(s)
	}
	err := f.Witness(s, target, window)
	t.Log(err)
	if !errors.Is(err, want) || want == nil && err != nil {
		t.Errorf("got %v, want %v", err, want)
	}
}
