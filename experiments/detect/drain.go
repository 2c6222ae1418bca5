package detect

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Drain asks whether a replica that was told to stop leaves without losing a
// request (D70): readiness fails soon, requests in flight are answered, new
// connections are served while the balancer has not heard of it yet (self), and
// the process ends by itself, with 0, in time.
//
// It needs a step that sends SIGTERM to one replica (recorded as signalled),
// readiness polls every 50 ms, an attack "in-flight" sent to that replica just
// before the signal whose answers take longer than until then, and, for
// services that promise drain: self, an attack "newcomers" on new connections
// to that replica all through the drain. A probe hold_connections may hold idle
// and silent connections; with a silent one 6 s more are allowed, because
// net/http's Shutdown gives it 5 s to speak (detectors.md, F13).
//
// Without a promised way of leaving only lost requests and a late exit are
// violations; when readiness flips, and the exit code, are reported. Requests
// on connections that were open before and were closed under them are a race of
// the protocol: counted apart, and held against the service only where the
// request must not be repeated and the service had been saying Connection:
// close for a second.
type Drain struct {
	// Replica is the one that was told to stop. Empty: every one that got
	// Signal in the run's terminate steps.
	Replica string `json:"replica,omitempty" yaml:"replica"`
	// Signal is the stop signal. Default SIGTERM.
	Signal string `json:"signal,omitempty" yaml:"signal"`
	// InFlight names the attack whose requests are in flight at the signal.
	// Default in-flight.
	InFlight string `json:"in_flight,omitempty" yaml:"in_flight"`
	// Newcomers names the attack that opens a connection for every request.
	// Default newcomers.
	Newcomers string `json:"newcomers,omitempty" yaml:"newcomers"`
	// UnreadyWithin is how soon readiness must fail. Zero: the promise
	// unready_within.
	UnreadyWithin time.Duration `json:"unready_within,omitempty" yaml:"unready_within"`
	// DrainsWithin is how soon the process must have ended. Zero: the promise
	// drains_within.
	DrainsWithin time.Duration `json:"drains_within,omitempty" yaml:"drains_within"`
	// AtLeast is how many requests must have been in flight at the signal.
	// Default 5.
	AtLeast int `json:"at_least,omitempty" yaml:"at_least"`
}

var _ = register(Info{
	Kind: "drain", ID: "D70", Checklist: []string{"9.1", "9.2", "9.3"}, Class: Timing,
	Summary: "a replica that is told to stop turns unready, answers what it has, and ends in time",
}, func() Detector { return new((&Drain{}).resolved(journal.Promises{})) })

func (p *Drain) resolved(promises journal.Promises) Drain {
	return Drain{
		Replica:       p.Replica,
		Signal:        orDefault(p.Signal, "SIGTERM"),
		InFlight:      orDefault(p.InFlight, "in-flight"),
		Newcomers:     orDefault(p.Newcomers, "newcomers"),
		UnreadyWithin: orDefault(p.UnreadyWithin, promises.UnreadyWithin),
		DrainsWithin:  orDefault(p.DrainsWithin, promises.DrainsWithin),
		AtLeast:       orDefault(p.AtLeast, 5),
	}
}

const (
	// silentAllowance is what a silent connection may add to the exit.
	silentAllowance = 6 * time.Second
	// unreadyWell is how soon readiness fails in a service that does it at once.
	unreadyWell = 250 * time.Millisecond
	// closeNotice is how long a balancer must have been told Connection: close
	// before a race on a kept connection is the service's fault.
	closeNotice = time.Second
	// afterExit is how long after the exit a lost request of the load may
	// still be the drain's doing.
	afterExit = 2 * time.Second
)

// Detect judges every stop.
func (p *Drain) Detect(j journal.Journal) Finding {
	d := open("drain")
	q := p.resolved(j.Header().Promises)
	stops := stopsOf(j, q.Signal, q.Replica)
	if len(stops) == 0 {
		return d.unknown("no replica was sent %s, so there was nothing to drain", q.Signal)
	}
	for _, s := range stops {
		q.judge(d, j, s)
	}
	s := stops[0]
	return d.close("%s was sent %s at %v: readiness failed %s, no request was lost, and it ended with %s after %v",
		s.replica, q.Signal, s.at, s.flipWords(), s.exitWords(), brief(s.exited.Sub(s.at)))
}

// stop is one replica's way from the stop signal to its end.
type stop struct {
	replica string
	at      journal.Instant // the signal
	// exited is when the process ended; the zero value means not seen.
	exited journal.Instant
	exit   journal.Exited
	// flipped is when readiness was first seen to fail, lastReady the last
	// poll before it that was answered with 200; both zero when not seen.
	flipped, lastReady journal.Instant
	flipCode           int
	polls              int  // readiness polls between the signal and the exit
	unready            bool // by the last poll before the signal
	end                journal.Instant
	signalEntry        journal.Entry
	exitEntry          journal.Entry
}

// stopsOf follows the replicas that were sent a signal, from the first one to
// their exit.
func stopsOf(j journal.Journal, signal, replica string) []*stop {
	var all []*stop
	open := map[string]*stop{}
	replicas := j.Header().Replicas
	var last journal.Instant
	for e := range j.Entries() {
		last = max(last, e.At)
		s := open[e.On]
		running := s != nil && s.exited == 0
		switch body := e.Body.(type) {
		case journal.Signalled:
			wanted := body.Signal == signal && (replica == "" || replica == e.On)
			if !running && wanted && slices.Contains(replicas, e.On) {
				open[e.On] = &stop{replica: e.On, at: e.At, lastReady: e.At, signalEntry: e}
				all = append(all, open[e.On])
			}
		case journal.Exited:
			if running {
				s.exited, s.exit, s.exitEntry = e.At, body, e
			}
		}
	}
	polls := pollsBySending(j, journal.Readiness)
	for _, s := range all {
		s.end = last
		s.follow(polls)
	}
	return all
}

// follow takes the readiness polls between the signal and the exit.
func (s *stop) follow(polls []pollOf) {
	for _, p := range polls {
		switch {
		case p.On != s.replica:
		case p.At < s.at:
			s.unready = p.Code != http.StatusOK
		case s.exited == 0 || p.At < s.exited:
			s.poll(p.Entry, p.Poll)
		}
	}
}

func (s *stop) poll(e journal.Entry, p journal.Poll) {
	s.polls++
	if s.flipped != 0 {
		return
	}
	if p.Code == http.StatusOK {
		s.lastReady = e.At
		return
	}
	s.flipped, s.flipCode = e.At, p.Code
}

func (s *stop) flipWords() string {
	if s.flipped == 0 {
		return "with the exit"
	}
	return fmt.Sprintf("after %v", brief(s.flipped.Sub(s.at)))
}

func (s *stop) exitWords() string {
	if s.exit.Signal != "" {
		return "signal " + s.exit.Signal
	}
	return fmt.Sprintf("code %d", s.exit.Code)
}

// endedIn asks that the process ended within a time after the signal, by itself and
// not by another signal of ours, and reports whether it did.
func (s *stop) endedIn(d *docket, within time.Duration, signal string) bool {
	if s.exited == 0 {
		if lived := s.end.Sub(s.at); lived > within {
			d.against("promised to have ended %v after %s; %s was still there %v after it: give Shutdown a context with a "+
				"deadline", within, signal, s.replica, brief(lived))
		} else {
			d.doubt("the journal ends %v after %s, before %s had ended", brief(lived), signal, s.replica)
		}
		return false
	}
	took := s.exited.Sub(s.at)
	d.add(boundedTime("exit_after", took, within, 1), measured("exit_code", float64(s.exit.Code), "1", 1))
	d.point(seen(s.exitEntry, "%s ended with %s", s.replica, s.exitWords()))
	switch killed := s.exit.Asked != "" && s.exit.Asked != signal; {
	case killed && took < within:
		d.doubt("we ended %s with %s after %v, before its %v were over", s.replica, s.exit.Asked, brief(took), within)
	case killed:
		d.against("promised to have ended %v after %s; %s was still there after %v and had to be ended with %s: give "+
			"Shutdown a context with a deadline", within, signal, s.replica, brief(took), s.exit.Asked)
	case took > within:
		d.against("promised to have ended %v after %s; %s took %v: give Shutdown a context with a deadline", within, signal,
			s.replica, brief(took))
	default:
		return true
	}
	return false
}

// judge holds one stop against the promises.
func (p *Drain) judge(d *docket, j journal.Journal, s *stop) {
	mode := j.Header().Promises.Drain
	d.point(seen(s.signalEntry, "%s was sent %s", s.replica, p.Signal))
	p.exit(d, j, s, mode)
	p.readiness(d, s, mode)
	p.inFlight(d, j, s)
	p.load(d, j, s)
	switch mode {
	case "self":
		p.newcomers(d, j, s)
	case "prestop":
		p.deregistered(d, j, s)
	}
}

// exit asks for an end in time, by the process itself.
func (p *Drain) exit(d *docket, j journal.Journal, s *stop, mode string) {
	within := p.DrainsWithin
	for _, c := range journal.Of[journal.Connection](j) {
		if c.Manner == journal.Silent {
			within += silentAllowance
			break
		}
	}
	switch {
	case !s.endedIn(d, within, p.Signal), s.exit.Code == 0:
	case mode == "":
		d.note("%s ended with %s, not with code 0", s.replica, s.exitWords())
	case s.exit.Signal != "":
		d.against("promised to drain; %s was ended by %s itself (signal %s): handle it (signal.Notify)", s.replica, p.Signal,
			s.exit.Signal)
	default:
		d.against("promised to drain; %s ended with code %d after %s: let main return when Shutdown has", s.replica,
			s.exit.Code, p.Signal)
	}
}

// readiness asks for a failing readiness soon after the signal. A refused
// connection is one; so is the process's end.
func (p *Drain) readiness(d *docket, s *stop, mode string) {
	flipped := s.flipped
	if flipped == 0 {
		flipped = s.exited
	}
	if flipped == 0 {
		flipped = s.end
	}
	took := flipped.Sub(s.at)
	d.add(boundedTime("unready_after", took, p.UnreadyWithin, s.polls))
	switch {
	case s.unready && mode != "":
		d.doubt("%s was not ready when %s came, so whether that turns it unready is not known", s.replica, p.Signal)
	case s.polls == 0 && (s.exited == 0 || took > p.UnreadyWithin):
		if mode != "" {
			d.doubt("readiness of %s was not polled between %s and its end", s.replica, p.Signal)
		}
	case took > p.UnreadyWithin && mode == "":
		d.note("readiness of %s failed only %v after %s", s.replica, brief(took), p.Signal)
	case took > p.UnreadyWithin:
		d.against("promised to turn unready within %v of %s; %s still answered 200 %v after it: fail readiness first of all",
			p.UnreadyWithin, p.Signal, s.replica, brief(s.lastReady.Sub(s.at)))
	case took > unreadyWell:
		d.note("readiness of %s failed after %v; at once would be better", s.replica, brief(took))
	case s.flipped != 0 && s.flipCode == 0 && mode != "prestop":
		d.note("readiness of %s failed only because its port was closed", s.replica)
	}
}
