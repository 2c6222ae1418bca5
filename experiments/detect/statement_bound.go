package detect

import (
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// StatementBound asks whether every database statement ends when its caller's
// time is over (D47): while a table is locked, no backend of the service may
// work on one statement for longer than the service may take to answer, plus
// half a second. Where our client hung up on every request of the window that was
// not answered sooner, the bound is the latest hang-up plus the promise
// cancels_within.
//
// It needs a table_lock step that is longer than the bound under load that uses
// the table, and pg_stat_activity samples every 50 to 100 ms. Measured: a
// cancelled context takes the statement off the server in 5 ms, none leaves it
// there until the lock is gone.
type StatementBound struct {
	// Fault is the kind of step that holds the lock. Default table_lock.
	Fault string `json:"fault,omitempty" yaml:"fault"`
	// Within bounds a statement's time. Zero: the promise answers_within plus
	// 500ms.
	Within time.Duration `json:"within,omitempty" yaml:"within"`
}

var _ = register(Info{
	Kind: "statement_bound", ID: "D47", Checklist: []string{"4.3"}, Class: Timing,
	Summary: "no database statement outlives its caller's time",
}, func() Detector { return &StatementBound{Fault: "table_lock"} })

// Detect judges every lock.
func (s *StatementBound) Detect(j journal.Journal) Finding {
	d := open("statement_bound")
	locks, err := stepsOf(j, orDefault(s.Fault, "table_lock"))
	if err != nil {
		return d.unknown("%v", err)
	}
	var worst, bound time.Duration
	for _, lock := range locks {
		var age time.Duration
		age, bound = s.judge(d, j, lock)
		worst = max(worst, age)
	}
	return d.close("with the table locked, no statement was on the server for longer than %v (at most %v)",
		brief(worst), bound)
}

func (s *StatementBound) judge(d *docket, j journal.Journal, lock faultStep) (oldest, bound time.Duration) {
	bound, what := s.bound(j, lock)
	seen := statementsIn(j, lock)
	d.add(boundedTime("statement_age_max", seen.oldest, bound, len(seen.samples)))
	d.point(seen.worst)
	left, blind := lock.window.To.Sub(seen.first), longestGap(seen.samples, lock.window, nil)
	switch {
	case seen.oldest > bound:
		d.against("promised to end a statement within %v (%s); while the table was locked (%v to %v) one was on the server "+
			"for %v: give every database call the request's context", bound, what,
			lock.window.From, lock.window.To, brief(seen.oldest))
	case len(seen.samples) == 0 || seen.waiting == 0:
		d.doubt("in %d samples of pg_stat_activity no backend of the service waited on the locked table (%v to %v)",
			len(seen.samples), lock.window.From, lock.window.To)
	case lock.window.Length() <= bound:
		d.doubt("the table was locked for %v, which is too short to see a statement outlive %v",
			brief(lock.window.Length()), bound)
	case blind > activityGap:
		d.doubt("pg_stat_activity of %s was not sampled for %v while its table was locked; how long statements took then "+
			"is not known", lock.Target, brief(blind))
	case left <= bound:
		d.doubt("the first statement began to wait %v before the table was unlocked, which is too late to see it outlive %v",
			brief(left), bound)
	}
	return seen.oldest, bound
}

// lockedStatements are the service's statements while a table was locked.
type lockedStatements struct {
	samples []journal.Instant
	waiting int             // on a lock, over all samples
	first   journal.Instant // when the first of those began
	oldest  time.Duration
	worst   Evidence
}

func statementsIn(j journal.Journal, lock faultStep) (all lockedStatements) {
	for e, a := range activities(j, lock.Target, lock.window) {
		if a.Err == "" {
			all.samples = append(all.samples, e.At)
		}
		for _, b := range a.Backends {
			if b.State != "active" {
				continue
			}
			if b.WaitType == "Lock" {
				if began := e.At.Add(-b.QueryAge); all.waiting == 0 || began < all.first {
					all.first = began
				}
				all.waiting++
			}
			if b.QueryAge > all.oldest {
				all.oldest = b.QueryAge
				all.worst = seen(e, "backend %d (%s) has been active for %v, waiting for %s %s",
					b.PID, b.App, brief(b.QueryAge), b.WaitType, b.Wait)
			}
		}
	}
	return all
}

// bound is how old a statement may become, and why.
func (s *StatementBound) bound(j journal.Journal, lock faultStep) (time.Duration, string) {
	if s.Within > 0 {
		return s.Within, "as the expectation says"
	}
	p := j.Header().Promises
	var hangUp, answered time.Duration
	for r := range j.Requests(lock.window) {
		switch {
		case r.Dropped:
		case r.Canceled:
			hangUp = max(hangUp, r.RawLatency())
		default:
			answered = max(answered, r.RawLatency())
		}
	}
	if hangUp > answered {
		return hangUp + p.CancelsWithin, "the last hang-up and cancels_within"
	}
	return p.AnswersWithin + answerSlack, "answers_within and half a second"
}
