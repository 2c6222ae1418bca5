package detect

import (
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Failover asks what becomes of requests when the database ends all connections
// at once (D48): at most as many fail as connections may be open and requests
// were under way, all of them due within a second, and from two seconds on
// answers are as promised. A pool finds a dead connection when it uses it: of
// ten idle ones database/sql showed no error and pgxpool ten, and the next burst
// none (measured).
//
// It needs a terminate_backends step under load, and connections that were
// there before it.
type Failover struct {
	// MaxOpen bounds one replica's connections. Zero: the promise
	// max_open_connections.
	MaxOpen int `json:"max_open,omitempty" yaml:"max_open"`
	// Ratio is the share of good answers from two seconds on. Zero: the promise
	// success_ratio.
	Ratio float64 `json:"ratio,omitempty" yaml:"ratio"`
}

var _ = register(Info{
	Kind: "failover", ID: "D48", Checklist: []string{"4.2"}, Class: Timing,
	Summary: "dead database connections are found and replaced at once",
}, func() Detector { return &Failover{} })

const (
	failoverErrors = time.Second     // when errors may be due
	failoverWell   = 2 * time.Second // from when on all is well
	failoverHits   = 50              // requests needed from then on
)

// Detect judges every ending.
func (f *Failover) Detect(j journal.Journal) Finding {
	d := open("failover")
	var judged int
	for _, s := range j.Steps() {
		if s.Action != "terminate_backends" {
			continue
		}
		if !s.Has[journal.PhaseInForce] {
			d.doubt("step %q ended no connection%s", s.Name, because(s))
			continue
		}
		judged++
		f.judge(d, j, s)
	}
	if judged == 0 && len(d.doubts) == 0 {
		return d.unknown("the method has no terminate_backends step")
	}
	return d.close("when all connections were ended at most %s requests failed, and from %v on all was well",
		valueOf(d.Quantities, "requests_failed"), failoverWell)
}

func (f *Failover) judge(d *docket, j journal.Journal, s journal.Step) {
	h := j.Header()
	open := orDefault(f.MaxOpen, h.Promises.MaxOpenConnections)
	share := orDefault(f.Ratio, h.Promises.SuccessRatio)
	at, end := s.Begun, afterwards(j, s).To
	hit := tellEnded(j, s.Target, at, end)
	before := connectionsAt(j, s.Target, at)
	if before == 0 {
		d.doubt("no connection of the service to %s was seen before they were ended at %v", s.Target, at)
	}
	if open == 0 {
		open = before
		d.note("max_open_connections is not promised; the %d connections seen before were taken for it", before)
	} else {
		open *= max(1, len(h.Replicas))
	}
	bound := open + hit.inFlight
	d.add(bounded("requests_failed", float64(hit.early+hit.late), "1", "<=", float64(bound), hit.sent),
		bounded("success_afterwards", ratio(hit.good, hit.after), "1", ">=", share, hit.after))
	if hit.early > bound {
		d.point(hit.first)
		d.against("of %d connections that were ended at %v, with %d requests under way, %d requests failed: a dead "+
			"connection is to be found and replaced, not handed out again", before, at, hit.inFlight, hit.early)
	}
	if hit.late > 0 {
		d.point(hit.lateAt)
		d.against("%d requests due more than %v after the connections had been ended at %v still failed", hit.late,
			failoverErrors, at)
	}
	_, upper := wilson(hit.good, hit.after)
	switch {
	case hit.after < failoverHits:
		d.doubt("only %d requests were due from %v after %v on, and %d are needed", hit.after, failoverWell, at, failoverHits)
	case hit.using < failoverHits && hit.good == hit.after:
		d.doubt("only %d requests that use %s were due from %v after %v on, and %d are needed", hit.using, s.Target,
			failoverWell, at, failoverHits)
	case upper < share:
		d.point(hit.lateAt)
		d.against("promised %s good answers; from %v after the connections had been ended at %v on, %d of %d were",
			pct(share), failoverWell, at, hit.good, hit.after)
	}
}

// endedHits are the requests around an ending.
type endedHits struct {
	sent, inFlight, early, late, after, good int
	using                                    int // of those after, how many use the database
	first, lateAt                            Evidence
}

func tellEnded(j journal.Journal, on string, at, end journal.Instant) endedHits {
	var t endedHits
	run := j.Header().Run
	around := span{windows: []journal.Window{{From: max(at.Add(-time.Minute), 0), To: end}}}
	for r := range hits(j, around, anyAttack, nil) {
		if r.Dropped || r.Done < at {
			continue
		}
		t.sent++
		since := r.Due.Sub(at)
		t.inFlight += one(r.Sent < at)
		switch {
		case since >= failoverWell:
			t.after++
			t.using += one(mayUse(j.Header(), r.Route, on))
			t.good += one(r.OK)
			if !r.OK {
				first(&t.lateAt, run, r)
			}
		case r.OK:
		case since > failoverErrors:
			t.late++
			first(&t.lateAt, run, r)
		default:
			t.early++
			first(&t.first, run, r)
		}
	}
	return t
}

// ofSeatrial reports whether a connection is one of ours.
func ofSeatrial(app string) bool { return strings.HasPrefix(app, "seatrial") }

// connectionsAt is how many connections of the service the last sample before
// an instant saw.
func connectionsAt(j journal.Journal, on string, at journal.Instant) int {
	n := 0
	for _, a := range activities(j, on, journal.Window{From: max(at.Add(-2*time.Second), 0), To: at}) {
		if a.Err == "" {
			n = 0
			for _, b := range a.Backends {
				n += one(!ofSeatrial(b.App))
			}
		}
	}
	return n
}
