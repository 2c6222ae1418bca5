package detect

import (
	"net/http"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// inFlight asks for an answer to everything that the replica had when the
// signal came.
func (p *Drain) inFlight(d *docket, j journal.Journal, s *stop) {
	run := j.Header().Run
	flying, lost := 0, 0
	words := tally{}
	for r := range j.Requests(journal.Window{To: s.at}) {
		if r.Attack != p.InFlight || r.Dropped || r.Canceled || r.Sent >= s.at || r.Done <= s.at ||
			!sentTo(j.Header(), r, s.replica) {
			continue
		}
		flying++
		if !r.OK {
			lost++
			words[answer(r)]++
			if lost == 1 {
				d.point(requestEvidence(run, r))
			}
		}
	}
	d.add(bounded("in_flight_lost", float64(lost), "1", "==", 0, flying))
	if lost > 0 {
		d.against("promised to answer requests in flight; %d of the %d that %s had at %s were lost (%s): wait for Shutdown "+
			"to return before main does", lost, flying, s.replica, p.Signal, words)
	}
	if flying < p.AtLeast {
		d.doubt("only %d requests of attack %q were in flight on %s at %s, and %d are needed: make their answers slower",
			flying, p.InFlight, s.replica, p.Signal, p.AtLeast)
	}
}

// newcomers asks for new connections being served from the signal until
// drain_delay after readiness has failed. The last poll before the flip bounds
// when it really was, so that much is taken off the end.
func (p *Drain) newcomers(d *docket, j journal.Journal, s *stop) {
	delay := j.Header().Promises.DrainDelay
	flipped := orDefault(s.flipped, s.exited)
	if flipped == 0 {
		return // readiness says so
	}
	run := j.Header().Run
	w := journal.Window{From: s.at, To: s.lastReady.Add(delay)}
	served, lost, before := 0, 0, 0
	words := tally{}
	troubled := dependencyFaults(j)
	for r := range j.Requests(journal.Window{To: w.To}) {
		switch {
		case r.Attack != p.Newcomers || r.Dropped || r.Canceled || r.Sent >= w.To || !sentTo(j.Header(), r, s.replica):
		case r.Done < w.From:
			before += one(!r.OK)
		case r.Due < w.From:
		case r.OK:
			served++
		case troubled.explains(r):
			d.note("newcomers were answered with failures while a dependency was broken")
		default:
			lost++
			words[answer(r)]++
			if lost == 1 {
				d.point(requestEvidence(run, r))
			}
		}
	}
	d.add(bounded("newcomers_lost", float64(lost), "1", "==", 0, served+lost))
	switch {
	case lost > 0 && before > 0:
		d.doubt("new connections to %s failed before %s too (%d times)", s.replica, p.Signal, before)
	case lost > 0:
		d.against("promised to serve new connections for %v after turning unready; %d of %d were not (%s): keep the "+
			"listener open until the balancer has heard of it", delay, lost, served+lost, words)
	case served < p.AtLeast:
		d.doubt("only %d requests of attack %q came to %s on new connections between %v and %v",
			served, p.Newcomers, s.replica, w.From, w.To)
	}
}

// deregistered asks that the platform did its part: the replica was out of the
// balancer for drain_delay before the signal.
func (p *Drain) deregistered(d *docket, j journal.Journal, s *stop) {
	delay := j.Header().Promises.DrainDelay
	var out journal.Instant
	for e, in := range journal.Of[journal.Endpoint](j) {
		if e.On == s.replica && e.At <= s.at {
			out = 0
			if !in.In {
				out = e.At
			}
		}
	}
	// A tenth is allowed for the timers of both.
	if out == 0 || s.at.Sub(out) < delay-delay/10 {
		d.doubt("the service promises drain: prestop, but %s was not taken out of the balancer %v before %s",
			s.replica, delay, p.Signal)
	}
}

// load asks for the ordinary load, through the balancer, to go on without
// losses while the replica leaves. Answers that were no successes count only
// where there were none as long before the signal: what an injected fault does
// to the load is not the drain's doing.
func (p *Drain) load(d *docket, j journal.Journal, s *stop) {
	c := p.countLoad(j, s)
	d.add(bounded("lost", float64(c.lost), "1", "==", 0, c.sent), measured("idle_races", float64(c.races), "1", c.sent))
	if c.lost > 0 {
		d.against("promised to leave without losses; %d of %d requests of the load failed while %s drained (%s): serve "+
			"until the balancer has heard of it, and then wait for what is in flight", c.lost, c.sent, s.replica, c.words)
		d.point(c.first)
	}
	if c.failed > 0 {
		d.note("%d requests of the load were answered with failures, but so were others before %s", c.failed, p.Signal)
	}
	if c.races > 0 {
		d.note("%d requests met a kept connection that was just being closed; answer with Connection: close for a second "+
			"before closing", c.races)
	}
}

// drainLoad is what became of the load while a replica left.
type drainLoad struct {
	sent, lost, races int
	failed            int // answered badly, as before the signal
	words             tally
	first             Evidence
}

func (p *Drain) countLoad(j journal.Journal, s *stop) drainLoad {
	h := j.Header()
	end := s.end
	if s.exited != 0 {
		end = s.exited.Add(afterExit)
	}
	before := s.at - (end - s.at)
	repeatable := map[string]bool{}
	for _, r := range h.Routes {
		repeatable[r.Name] = r.Retryable || r.Method == http.MethodGet || r.Method == http.MethodHead
	}
	c := drainLoad{words: tally{}}
	told, troubled := closesSince(j, s.at), dependencyFaults(j)
	var slow []journal.Request // answered badly, or not within our timeout
	usual := false
	for r := range j.Requests(journal.Window{To: end + 1}) {
		if r.Attack == p.InFlight || r.Attack == p.Newcomers || r.Dropped || r.Canceled || attackedBy(h, r.Attack) != "" {
			continue
		}
		answered := r.Code != 0 || r.Err == journal.ErrTimeout
		if r.Done <= s.at {
			usual = usual || !r.OK && answered && r.Due >= before
			continue
		}
		c.sent++
		switch {
		case r.OK, troubled.explains(r):
		case answered:
			slow = append(slow, r)
		case r.Reused && (r.Err == journal.ErrEOF || r.Err == journal.ErrReset) &&
			(repeatable[r.Route] || told == 0 || r.Sent.Sub(told) < closeNotice):
			c.races++
		default:
			c.lose(h.Run, r)
		}
	}
	if usual {
		c.failed = len(slow)
		return c
	}
	for _, r := range slow {
		c.lose(h.Run, r)
	}
	return c
}

func (c *drainLoad) lose(run string, r journal.Request) {
	c.lost++
	c.words[answer(r)]++
	first(&c.first, run, r)
}

// faultWindows are the times in which dependencies were broken.
type faultWindows []journal.Window

func dependencyFaults(j journal.Journal) faultWindows {
	replicas := j.Header().Replicas
	var all faultWindows
	for _, s := range j.Steps() {
		if w, ok := carriedOut(s); ok && s.Class == "fault" && !slices.Contains(replicas, s.Target) {
			all = append(all, w)
		}
	}
	return all
}

// explains says whether an answer that was no success may be a broken
// dependency's doing: it came while one was.
func (f faultWindows) explains(r journal.Request) bool {
	return !r.OK && r.Code != 0 && slices.ContainsFunc(f, func(w journal.Window) bool {
		return (w.To == 0 || r.Sent < w.To) && r.Done > w.From
	})
}

// closesSince is when an answer first said Connection: close; zero when none
// did.
func closesSince(j journal.Journal, from journal.Instant) journal.Instant {
	var told journal.Instant
	for r := range j.Requests(journal.Window{From: from}) {
		if r.Close && (told == 0 || r.Done < told) {
			told = r.Done
		}
	}
	return told
}
