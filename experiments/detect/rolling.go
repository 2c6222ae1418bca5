package detect

import (
	"net/http"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// RollingRestart asks whether all replicas can be replaced one after the other
// without a caller noticing (D72): no request fails, all replicas but one stay
// ready, and the p99 of good answers stays within three times the steady
// state's plus 50 ms.
//
// It needs a rolling_restart step under load through the balancer (100/s, at
// least AtLeast requests: without a failure in 4000 the true share is below
// 0.075 % with 95 % confidence) and readiness polls every 50 ms. An attack with
// new connections beside that load shows what callers who keep theirs do not
// meet: a listener that closes too soon. A request belongs to the roll when it
// was due in it or in the two seconds after it, or was under way when it began.
type RollingRestart struct {
	// AtLeast is how many requests are needed. Default 1000.
	AtLeast int `json:"at_least,omitempty" yaml:"at_least"`
	// Ratio bounds the p99 by the steady state's: Ratio × p99 + Slack. Default 3.
	Ratio float64 `json:"ratio,omitempty" yaml:"ratio"`
	// Slack is what the p99 may be above that. Default 50ms.
	Slack time.Duration `json:"slack,omitempty" yaml:"slack"`
	// Dip is how long fewer replicas than all but one may be ready before it
	// counts: polls see a replica later than the one that restarts it does.
	// Default 500ms, a balancer's probe period.
	Dip time.Duration `json:"dip,omitempty" yaml:"dip"`
}

var _ = register(Info{
	Kind: "rolling_restart", ID: "D72", Checklist: []string{"10.1", "9.2"}, Class: Timing,
	Summary: "a rolling restart is not noticed: no failed request, capacity kept, latency kept",
}, func() Detector { return new((&RollingRestart{}).resolved()) })

func (p *RollingRestart) resolved() RollingRestart {
	return RollingRestart{
		AtLeast: orDefault(p.AtLeast, 1000), Ratio: orDefault(p.Ratio, 3),
		Slack: orDefault(p.Slack, 50*time.Millisecond), Dip: orDefault(p.Dip, 500*time.Millisecond),
	}
}

// fewestBaseline is how many good answers a p99 to compare with needs.
const fewestBaseline = 100

// Detect judges the roll.
func (p *RollingRestart) Detect(j journal.Journal) Finding {
	d := open("rolling_restart")
	q := p.resolved()
	rolls, err := stepsOf(j, "rolling_restart")
	if err != nil {
		return d.unknown("%v", err)
	}
	for _, r := range rolls {
		if r.Error != "" {
			d.doubt("the rolling restart did not come to its end: %s", r.Error)
		}
		q.replaced(d, j, r.window)
		q.failures(d, j, r.window)
		q.capacity(d, j, r.window)
		q.latency(d, j, r.window)
	}
	w := rolls[0].window
	return d.close("all replicas were replaced between %v and %v: none of %s requests failed and the p99 was at most %s",
		w.From, w.To, samplesOf(d.Quantities, "failed"), timeOf(d.Quantities, "p99"))
}

// replaced asks that every replica was really stopped and started.
func (p *RollingRestart) replaced(d *docket, j journal.Journal, w journal.Window) {
	exited, started := map[string]bool{}, map[string]bool{}
	for e := range j.Entries(journal.Exited{}.Kind(), journal.Started{}.Kind()) {
		if !w.Contains(e.At) {
			continue
		}
		switch body := e.Body.(type) {
		case journal.Exited:
			exited[e.On] = true
			if body.Code != 0 {
				d.note("%s ended with code %d", e.On, body.Code)
			}
		case journal.Started:
			started[e.On] = exited[e.On]
		}
	}
	for _, r := range j.Header().Replicas {
		if !started[r] {
			d.doubt("%s was not stopped and started again between %v and %v", r, w.From, w.To)
		}
	}
}

// failures asks for no failed request.
func (p *RollingRestart) failures(d *docket, j journal.Journal, w journal.Window) {
	run := j.Header().Run
	sent, failed, dropped, replays := 0, 0, 0, 0
	words := tally{}
	for r := range hits(j, span{windows: []journal.Window{{To: w.To.Add(afterExit)}}}, anyAttack, nil) {
		switch {
		case r.Done <= w.From || attackedBy(j.Header(), r.Attack) != "":
			continue
		case r.Dropped:
			dropped++
			continue
		case !r.OK:
			failed++
			words[answer(r)]++
			d.point(requestEvidence(run, r))
		}
		sent++
		replays += r.Replays
	}
	_, upper := wilson(failed, sent)
	d.add(bounded("failed", float64(failed), "1", "==", 0, sent), measured("failed_ratio_upper", upper, "1", sent))
	switch {
	case failed > 0:
		d.against("promised that nobody notices a rolling restart; %d of %d requests between %v and %v failed (%s): turn "+
			"unready at the signal, serve until the balancer has heard of it, and then wait for what is in flight",
			failed, sent, w.From, w.To.Add(afterExit), words)
	case sent < p.AtLeast:
		d.doubt("only %d requests met the roll, and %d are needed to say that none fails: raise the rate", sent, p.AtLeast)
	}
	if ratio(dropped, sent+dropped) > dropsBearable {
		d.doubt("%d of %d hits could not be sent", dropped, sent+dropped)
	}
	if replays > 0 {
		d.note("%d requests were sent twice by the transport, because a kept connection was closed under them", replays)
	}
}

// capacity asks for all replicas but one to be ready all the time. A single
// replica cannot keep that up by itself.
func (p *RollingRestart) capacity(d *docket, j journal.Journal, w journal.Window) {
	replicas := j.Header().Replicas
	if len(replicas) < 2 {
		d.note("with one replica there is no capacity to keep up")
		return
	}
	ready := map[string]bool{}
	for _, r := range replicas {
		ready[r] = true
	}
	fewest, polls := len(replicas), 0
	var since journal.Instant // when too few became ready; zero while enough are
	var longest time.Duration
	var worst journal.Entry
	asked := questionsTo(j, journal.Readiness)
	for _, q := range asked.polls {
		e, poll := q.Entry, q.Poll
		if e.At >= w.To {
			break
		}
		ready[e.On] = poll.Code == http.StatusOK
		if e.At < w.From {
			continue
		}
		polls++
		now := 0
		for _, r := range replicas {
			now += one(ready[r])
		}
		if now >= len(replicas)-1 {
			since = 0
			continue
		}
		since = orDefault(since, e.At)
		if dip := e.At.Sub(since); dip >= longest {
			longest, worst, fewest = dip, e, min(fewest, now)
		}
	}
	d.add(boundedTime("capacity_dip", longest, p.Dip, polls))
	outcome, _ := unpolled(j, journal.Readiness)
	gap, unseen := asked.unasked([]journal.Window{w})
	switch {
	case polls == 0 && outcome == NotApplicable:
		d.note("the service has no readiness endpoint, so whether its capacity was kept up was not judged")
	case polls == 0:
		d.doubt("readiness was not polled between %v and %v", w.From, w.To)
	case longest > p.Dip:
		d.against("promised to keep all replicas but one ready; for %v only %d of %d were: be ready only when traffic can "+
			"be served, and not later", brief(longest), fewest, len(replicas))
		d.point(seen(worst, "%d of %d replicas are ready", fewest, len(replicas)))
	case gap > unaskedMost:
		d.doubt("%s was not asked for %v while replicas were replaced, so that the capacity then is not known", unseen,
			brief(gap))
	}
}

// latency asks for a p99 like that of the steady state.
func (p *RollingRestart) latency(d *docket, j journal.Journal, w journal.Window) {
	steady, err := steadySpan(j)
	if err != nil {
		d.doubt("there is no steady state to compare latencies with: %v", err)
		return
	}
	before, during, raw := newLatencies(), newLatencies(), newLatencies()
	for r := range hits(j, steady, "", nil) {
		if r.OK {
			before.add(r.Latency())
		}
	}
	for r := range hits(j, span{windows: []journal.Window{w}}, "", nil) {
		if r.OK {
			during.add(r.Latency())
			raw.add(r.RawLatency())
		}
	}
	bound := time.Duration(p.Ratio*float64(before.at(0.99))) + p.Slack
	d.add(measured("baseline_p99", before.at(0.99).Seconds(), "s", before.count()),
		boundedTime("p99", during.at(0.99), bound, during.count()))
	switch {
	case before.count() < fewestBaseline || during.count() < fewestBaseline:
		d.doubt("there are %d good answers in the steady state and %d in the roll, too few to compare their p99",
			before.count(), during.count())
	case raw.at(0.99) > bound:
		d.against("promised to keep its latency; between %v and %v the p99 was %v, above %v (%.3g × the %v before, and %v)",
			w.From, w.To, brief(during.at(0.99)), brief(bound), p.Ratio, brief(before.at(0.99)), p.Slack)
	case during.at(0.99) > bound:
		d.doubt("the p99 of %v is above %v only because the load generator was late", brief(during.at(0.99)), brief(bound))
	}
}
