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
	samples, waiting := 0, 0
	var worst Evidence
	for e, a := range activities(j, lock.Target, lock.window) {
		samples += one(a.Err == "")
		for _, b := range a.Backends {
			if b.State != "active" {
				continue
			}
			waiting += one(b.WaitType == "Lock")
			if b.QueryAge > oldest {
				oldest = b.QueryAge
				worst = seen(e, "backend %d (%s) has been active for %v, waiting for %s %s",
					b.PID, b.App, brief(b.QueryAge), b.WaitType, b.Wait)
			}
		}
	}
	d.add(boundedTime("statement_age_max", oldest, bound, samples))
	d.point(worst)
	switch {
	case oldest > bound:
		d.against("promised to end a statement within %v (%s); while the table was locked (%v to %v) one was on the server "+
			"for %v: give every database call the request's context", bound, what,
			lock.window.From, lock.window.To, brief(oldest))
	case samples == 0 || waiting == 0:
		d.doubt("in %d samples of pg_stat_activity no backend of the service waited on the locked table (%v to %v)",
			samples, lock.window.From, lock.window.To)
	case lock.window.Length() <= bound:
		d.doubt("the table was locked for %v, which is too short to see a statement outlive %v",
			brief(lock.window.Length()), bound)
	}
	return oldest, bound
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
