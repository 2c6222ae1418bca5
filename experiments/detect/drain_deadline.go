package detect

import (
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// DrainDeadline asks whether a replica that is told to stop while a request
// hangs ends all the same within its grace period, by itself, without a panic,
// and with its database transactions rolled back (D71).
//
// It needs a step that sends SIGTERM to one replica while something holds a
// request there for at least Hangs, or until the process ends: a dependency that
// never answers, a locked table, or a client that never finishes its body. Of
// several replicas only requests of steps on that one are known to be there.
// What hangs for no longer than the service's own timeouts allow, and what the
// process cuts at once, cannot try the deadline of the drain itself; a remark
// then says how long the longest request took. A second SIGTERM may be sent
// during the drain. For the transactions it needs
// pg_stat_activity samples from 2 s after the exit on, and an application_name
// that has the replica's name in it, or a single replica.
type DrainDeadline struct {
	// Replica is the one that was told to stop. Empty: every one that got
	// Signal.
	Replica string `json:"replica,omitempty" yaml:"replica"`
	// Signal is the stop signal. Default SIGTERM.
	Signal string `json:"signal,omitempty" yaml:"signal"`
	// Grace is how soon after the signal the process must have ended. Zero:
	// the promise drains_within plus the 2s that it leaves of the platform's
	// grace period.
	Grace time.Duration `json:"grace,omitempty" yaml:"grace"`
	// Hangs is for how long after the signal a request must have hung. Default
	// 1s.
	Hangs time.Duration `json:"hangs,omitempty" yaml:"hangs"`
}

var _ = register(Info{
	Kind: "drain_deadline", ID: "D71", Checklist: []string{"9.1", "9.2"}, Class: Timing,
	Summary: "a replica that is told to stop ends within its grace period although a request hangs",
}, func() Detector { return new((&DrainDeadline{}).resolved(journal.Promises{})) })

func (p *DrainDeadline) resolved(promises journal.Promises) DrainDeadline {
	r := DrainDeadline{
		Replica: p.Replica, Signal: orDefault(p.Signal, "SIGTERM"), Grace: p.Grace, Hangs: orDefault(p.Hangs, time.Second),
	}
	if r.Grace == 0 && promises.DrainsWithin > 0 {
		r.Grace = promises.DrainsWithin + graceMargin
	}
	return r
}

const (
	// graceMargin is what drains_within leaves of the grace period.
	graceMargin = 2 * time.Second
	// rollsBackIn is how soon after the exit its transactions must be gone.
	rollsBackIn = 2 * time.Second
	// cutWithin is how soon before its end is noticed a process has closed its
	// connections; an engine of containers was seen to tell of it 0.38 s late.
	cutWithin = 500 * time.Millisecond
	// panicCode is the exit code of a Go process that panicked.
	panicCode = 2
)

// Detect judges every stop.
func (p *DrainDeadline) Detect(j journal.Journal) Finding {
	d := open("drain_deadline")
	q := p.resolved(j.Header().Promises)
	stops := stopsOf(j, q.Signal, q.Replica)
	if len(stops) == 0 {
		return d.unknown("no replica was sent %s, so there was nothing to drain", q.Signal)
	}
	for _, s := range stops {
		q.hanging(d, j, s)
		q.exit(d, s)
		q.panics(d, j, s)
		q.rollback(d, j, s)
	}
	s := stops[0]
	return d.close("%s was sent %s at %v while a request hung, and ended with %s after %v, within its %v",
		s.replica, q.Signal, s.at, s.exitWords(), brief(s.exited.Sub(s.at)), q.Grace)
}

// hanging asks that a request was under way at the replica when the signal came,
// and went on for a while, or until the process ended.
func (p *DrainDeadline) hanging(d *docket, j journal.Journal, s *stop) {
	var longest journal.Request
	flying := 0
	for r := range j.Requests(journal.Window{To: s.at}) {
		if r.Dropped || r.Sent >= s.at || r.Done <= s.at || !sentTo(j.Header(), r, s.replica) {
			continue
		}
		flying++
		if r.Done > longest.Done {
			longest = r
		}
	}
	var after time.Duration
	if flying > 0 {
		after = longest.Done.Sub(s.at)
	}
	d.add(measured("hung_for", after.Seconds(), "s", flying))
	d.point(seen(s.signalEntry, "%s was sent %s", s.replica, p.Signal))
	if flying > 0 {
		d.point(requestEvidence(j.Header().Run, longest))
	}
	cut := flying > 0 && longest.Code == 0 && s.exited != 0 && longest.Done.Add(cutWithin) >= s.exited
	switch {
	case cut && after < p.Hangs:
		d.note("it ended %v after %s and cut the %d requests that were under way, so that there was nothing for a deadline "+
			"of its drain to end; whether they are lost is for drain to tell", brief(after), p.Signal, flying)
	case after < p.Hangs:
		d.doubt("of %d requests under way at %s at %s none went on for %v: have a dependency hang, or a client that never "+
			"finishes its body", flying, s.replica, p.Signal, p.Hangs)
	case !cut && after < p.Grace:
		d.note("the longest request went on for %v after %s, which is shorter than the %v allowed: the service's own "+
			"timeouts ended it, and the drain's deadline may not have been reached", brief(after), p.Signal, p.Grace)
	}
}

// exit asks for an end within the grace period by the process itself. Which
// code it gives is its own affair when it had to give a request up.
func (p *DrainDeadline) exit(d *docket, s *stop) {
	if s.endedIn(d, p.Grace, p.Signal) && s.exit.Signal != "" {
		d.against("%s was ended by %s itself (signal %s): it has no handler for it", s.replica, p.Signal, s.exit.Signal)
	}
}

// panics asks for the end not to have been a crash.
func (p *DrainDeadline) panics(d *docket, j journal.Journal, s *stop) {
	end := orDefault(s.exited, s.end)
	for e, line := range journal.Of[journal.LogLine](j) {
		if e.On != s.replica || e.At < s.at || e.At > end.Add(time.Second) {
			continue
		}
		if words(line.Text, "panic:", "fatal error:") {
			d.against("%s panicked while it drained", s.replica)
			d.point(seen(e, "%s", line.Text))
			return
		}
	}
	if s.exited != 0 && s.exit.Code == panicCode {
		d.against("%s ended with code %d, as a Go process does that panics", s.replica, panicCode)
	}
}

// hadOpen remarks on it when no transaction was seen open as the replica ended:
// there was nothing to be rolled back then.
func (p *DrainDeadline) hadOpen(d *docket, j journal.Journal, s *stop) {
	most := 0
	for _, a := range activities(j, "", journal.Window{From: s.at, To: s.exited}) {
		n := 0
		for _, b := range s.backends(j, a) {
			n += one(b.XactAge > 0)
		}
		most = max(most, n)
	}
	d.add(measured("transactions_open", float64(most), "1", 1))
	if most == 0 {
		d.note("no transaction of %s was seen open while it drained, so that none had to be rolled back", s.replica)
	}
}

// rollback asks that no transaction that was open at the exit is still open 2 s
// later. Those that wait for a lock are left out: the server notices only when
// it has the lock that their client is gone.
func (p *DrainDeadline) rollback(d *docket, j journal.Journal, s *stop) {
	if s.exited == 0 {
		return
	}
	p.hadOpen(d, j, s)
	w := journal.Window{From: s.exited.Add(rollsBackIn)}
	for e, a := range activities(j, "", w) {
		for _, b := range s.backends(j, a) {
			if b.WaitType != "Lock" && b.XactAge > e.At.Sub(s.exited) {
				d.against("a transaction of %s was still open %v after its end", s.replica, brief(e.At.Sub(s.exited)))
				d.point(seen(e, "backend %d (%s): %s for %v", b.PID, b.App, b.State, brief(b.XactAge)))
				return
			}
		}
	}
}

// backends are those of a sample that are the replica's, and not another one's.
func (s *stop) backends(j journal.Journal, a journal.Activity) []journal.Backend {
	if len(j.Header().Replicas) == 1 {
		return a.Backends
	}
	return slices.DeleteFunc(slices.Clone(a.Backends), func(b journal.Backend) bool {
		return !strings.Contains(b.App, s.replica)
	})
}
