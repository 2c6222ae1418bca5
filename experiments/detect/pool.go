package detect

import (
	"fmt"
	"net/http"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// PoolBound asks whether the database connection pool is bounded, whether
// callers who wait for a connection are answered in time, and whether the
// waiting can be seen in the service's metrics (D40).
//
// It needs a table_lock step of some 10 s under more concurrent requests than
// the pool has connections (max_open_connections + 20), pg_stat_activity
// samples every 50 to 100 ms, and scrapes before, during and at least 2 s after
// the lock. The census is how many of the service's backends wait on a lock:
// per replica where the replicas differ in application_name or client address,
// otherwise in all, against replicas × max_open_connections.
//
// More than the promised number in three samples in a row is a violation; in
// fewer it is not, because a driver reconnects before the server has processed
// a cancel (one sample in ten, measured). A replica's census that never reaches
// the smaller of max_open_connections and max_concurrent means that its pool was
// not exhausted: unknown. Where every replica's was, each must show it in its
// metrics.
type PoolBound struct {
	// Fault is the kind of step that holds the lock. Default table_lock.
	Fault string `json:"fault,omitempty" yaml:"fault"`
	// MaxOpen bounds one replica's connections. Zero: the promise
	// max_open_connections, or else what the service's own metrics say.
	MaxOpen int `json:"max_open,omitempty" yaml:"max_open"`
	// AnswersWithin bounds every answer while the lock is held; half a second
	// is allowed on top. Zero: the promise answers_within.
	AnswersWithin time.Duration `json:"answers_within,omitempty" yaml:"answers_within"`
	// RecoversWithin is how soon after the unlocking good answers come as
	// promised again. Default 5s.
	RecoversWithin time.Duration `json:"recovers_within,omitempty" yaml:"recovers_within"`
	// Metrics is required (default: a service that is scraped must show that
	// callers wait for the pool) or ignored.
	Metrics string `json:"metrics,omitempty" yaml:"metrics"`
}

var _ = register(Info{
	Kind: "pool_bound", ID: "D40", Checklist: []string{"4.2", "7.6", "8.4"}, Class: Timing,
	Summary: "the connection pool is bounded, callers who wait for it are answered in time, and metrics show the waiting",
}, func() Detector { return new((&PoolBound{}).resolved(journal.Promises{})) })

func (p *PoolBound) resolved(promises journal.Promises) PoolBound {
	return PoolBound{
		Fault:          orDefault(p.Fault, "table_lock"),
		MaxOpen:        orDefault(p.MaxOpen, promises.MaxOpenConnections),
		AnswersWithin:  orDefault(p.AnswersWithin, promises.AnswersWithin),
		RecoversWithin: orDefault(p.RecoversWithin, 5*time.Second),
		Metrics:        orDefault(p.Metrics, "required"),
	}
}

// answerSlack is added to every bound on an answer's time: the worst timer
// noise measured was 0.52 s (detectors.md, F14).
const answerSlack = 500 * time.Millisecond

// overInARow is how many samples in a row must show too many backends.
const overInARow = 3

// Detect judges every lock.
func (p *PoolBound) Detect(j journal.Journal) Finding {
	d := open("pool_bound")
	locks, err := stepsOf(j, p.resolved(j.Header().Promises).Fault)
	if err != nil {
		return d.unknown("%v", err)
	}
	for _, lock := range locks {
		q := p.resolved(j.Header().Promises)
		q.size(d, j, lock)
		q.metrics(d, j, lock, q.census(d, j, lock))
		q.answers(d, j, lock)
		q.recovery(d, j, lock)
	}
	return d.close("with the table locked, at most %s backends waited at once, every answer came within %v, "+
		"and the pool was good again within %v", valueOf(d.Quantities, "backends_waiting_max"),
		p.resolved(j.Header().Promises).AnswersWithin+answerSlack, p.resolved(j.Header().Promises).RecoversWithin)
}

// lockStep is a fault step that was in force and taken back.
type faultStep struct {
	journal.Step
	window journal.Window
}

// stepsOf finds the steps of one kind that were carried out to their end; the
// error is a reason for an unknown finding.
func stepsOf(j journal.Journal, action string) ([]faultStep, error) {
	var found []faultStep
	for _, s := range j.Steps() {
		if s.Action != action {
			continue
		}
		w, ok := carriedOut(s)
		switch {
		case !ok:
			return nil, fmt.Errorf("step %q (%s on %s) was never in force%s", s.Name, s.Action, s.Target, because(s))
		case w.To == 0:
			return nil, fmt.Errorf("step %q (%s on %s) was not seen to end%s", s.Name, s.Action, s.Target, because(s))
		}
		found = append(found, faultStep{s, w})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("the method has no %s step", action)
	}
	return found, nil
}

// answers holds every request due while the lock was held to its deadline, and
// those that failed to 503, 504 or 429.
func (p *PoolBound) answers(d *docket, j journal.Journal, lock faultStep) {
	bound := p.AnswersWithin + answerSlack
	run := j.Header().Run
	var all, late, lateRaw, early, wrong, dropped int
	var longest time.Duration
	words := tally{}
	var lateAt, wrongAt Evidence
	for r := range hits(j, span{windows: []journal.Window{lock.window}}, anyAttack, nil) {
		if r.Dropped {
			dropped++
			continue
		}
		all++
		longest = max(longest, r.RawLatency())
		switch {
		case r.RawLatency() > bound:
			lateRaw++
			first(&lateAt, run, r)
		case r.Latency() > bound:
			late++
		case r.Err == journal.ErrTimeout:
			early++
		case !r.OK && r.Code != http.StatusServiceUnavailable && r.Code != http.StatusGatewayTimeout &&
			r.Code != http.StatusTooManyRequests:
			wrong++
			words[answer(r)]++
			first(&wrongAt, run, r)
		}
	}
	d.add(boundedTime("answer_max", longest, bound, all))
	d.point(lateAt)
	d.point(wrongAt)
	if all == 0 || ratio(dropped, all+dropped) > dropsBearable {
		d.doubt("of the hits due while the table was locked (%v to %v) %d were sent and %d could not be",
			lock.window.From, lock.window.To, all, dropped)
	}
	if lateRaw > 0 {
		d.against("promised answers within %v; while the table was locked (%v to %v) %d of %d took longer, at most %v: "+
			"bound the wait for a connection", bound, lock.window.From, lock.window.To, lateRaw, all, brief(longest))
	}
	if wrong > 0 {
		d.against("promised 503 or 504 while the pool is exhausted; %d of %d requests ended otherwise (%s)",
			wrong, all, words)
	}
	if late > 0 {
		d.doubt("%d answers were later than %v only because the load generator was", late, bound)
	}
	if early > 0 {
		d.doubt("our own client gave %d requests up before %v had passed; raise its timeout", early, bound)
	}
}

// poolRecovered is the share of good answers in a second from which on the
// time is held to the promised ratio.
const poolRecovered = 0.95

// recovery asks for good answers from some seconds after the unlocking on.
func (p *PoolBound) recovery(d *docket, j journal.Journal, lock faultStep) {
	w := afterwards(j, lock.Step)
	if w.To != 0 && w.To <= w.From {
		d.doubt("there was no load after the unlocking at %v", w.From)
		return
	}
	seen := watch(j, span{windows: []journal.Window{w}}, time.Second, nil)
	share := j.Header().Promises.SuccessRatio
	took, ok := seen.recovered(poolRecovered, true)
	again := seen.after(took)
	_, upper := wilson(again.ok, again.sent)
	switch {
	case len(seen.bins) < binsPerWindow || seen.hits < fewestHits:
		d.doubt("only %d requests in %v were due after the unlocking: make the experiment's recovery longer",
			seen.hits, brief(seen.watched()))
	case ok && took <= p.RecoversWithin && upper < share:
		d.against("promised %s good answers within %v of the unlocking at %v; from %v after it on only %s of %d were",
			pct(share), p.RecoversWithin, w.From, brief(took), pctSeen(ratio(again.ok, again.sent)), again.sent)
	case ok && took <= p.RecoversWithin:
		d.add(boundedTime("pool_recovery", took, p.RecoversWithin, seen.hits))
	case ok || seen.watched() >= p.RecoversWithin:
		d.against("promised %s good answers within %v of the unlocking at %v; bad ones still came %v after it",
			pct(share), p.RecoversWithin, w.From, brief(max(took, p.RecoversWithin)))
		for _, e := range seen.bad {
			d.point(e)
		}
	default:
		d.doubt("not good again when the load ended %v after the unlocking: make the experiment's recovery longer",
			brief(seen.watched()))
	}
}

// afterwards is the time from a step's end to the next step's beginning or the
// load's end.
func afterwards(j journal.Journal, s journal.Step) journal.Window {
	w := journal.Window{From: s.Reverted, To: loadEnd(j)}
	if !s.Has[journal.PhaseReverted] {
		w.From = s.Reverting
	}
	for _, next := range j.Steps() {
		if next.Has[journal.PhaseBegin] && next.Begun >= w.From && (w.To == 0 || next.Begun < w.To) {
			w.To = next.Begun
		}
	}
	return w
}
