package loadgen

import (
	"context"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Place is one replica that is sent to directly.
type Place struct{ Name, URL string }

// direct sends to each replica by a client of its own, rather than to where
// they share the load. What all of them send is one attack in the journal.
type direct struct {
	engines []*engine // in the order of the places
	rec     journal.Recorder
}

// direct makes the clients of an attack ready, at one place or more in place of
// its base URL, and records its beginning.
func (a Attack) direct(places []Place, plan journal.Attack, rec journal.Recorder) (*direct, error) {
	a.Timeout = orTimeout(a.Timeout)
	plan.Timeout = a.Timeout
	d := &direct{rec: rec}
	for _, p := range places {
		a.BaseURL = p.URL
		e, err := a.engine(rec)
		if err != nil {
			return nil, err
		}
		e.keep, e.plan = true, plan
		d.engines = append(d.engines, e)
	}
	d.engines[0].begin()
	return d, nil
}

// send sends one request to a replica and records it.
func (d *direct) send(ctx context.Context, place int, t Target, seq uint64) (journal.Request, []byte) {
	e := d.engines[place]
	e.sent.Add(1)
	r := journal.Request{Seq: seq, Attack: e.name, Route: t.Route, Due: d.rec.Now()}
	answer := e.send(ctx, &r, t, hit{seq: seq})
	d.rec.Request(r)
	return r, answer
}

// end records how much was sent, and hangs up.
func (d *direct) end() {
	closing := d.engines[0].plan
	for _, e := range d.engines {
		closing.Sent += e.sent.Load()
		e.trans.CloseIdleConnections()
	}
	d.rec.Record(journal.Entry{On: d.engines[0].name, Body: closing})
}
