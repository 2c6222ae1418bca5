package detect

import (
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ShortTransactions asks whether transactions are kept short while an HTTP
// dependency is slow (D43): a transaction that is open during a call keeps its
// locks and its connection for as long as the dependency pleases.
//
// While the dependency answers late, no backend of the service may be idle in a
// transaction for more than IdleWithin, and the p99 of the transactions' ages
// may not exceed XactWithin plus our own round trip to the database then, which
// is what may be injected there. From ViolatedFrom on it is a violation; between
// the two it is unknown. A transaction that a sample every 100 ms never meets is
// short: with a call of 2 s inside, one shows in 20 samples.
//
// It needs a step that makes an HTTP dependency slow, ten requests or more that
// use it and a database and took ViolatedFrom or longer, and samples of
// pg_stat_activity.
type ShortTransactions struct {
	// Fault is the kind of step that makes the dependency slow. Default
	// slow_answer.
	Fault string `json:"fault,omitempty" yaml:"fault"`
	// IdleWithin bounds the time idle in a transaction. Default 250ms.
	IdleWithin time.Duration `json:"idle_within,omitempty" yaml:"idle_within"`
	// XactWithin bounds the p99 of the ages of transactions. Default 500ms.
	XactWithin time.Duration `json:"xact_within,omitempty" yaml:"xact_within"`
	// ViolatedFrom is what is a violation for certain. Default 1s.
	ViolatedFrom time.Duration `json:"violated_from,omitempty" yaml:"violated_from"`
	// MinSamples is how many slow requests are needed. Default 10.
	MinSamples int `json:"min_samples,omitempty" yaml:"min_samples"`
}

var _ = register(Info{
	Kind: "short_transactions", ID: "D43", Checklist: []string{"4.5"}, Class: Timing,
	Summary: "no transaction is open while an HTTP dependency is waited for",
}, func() Detector { return new((&ShortTransactions{}).resolved()) })

func (s *ShortTransactions) resolved() ShortTransactions {
	return ShortTransactions{
		Fault:        orDefault(s.Fault, "slow_answer"),
		IdleWithin:   orDefault(s.IdleWithin, 250*time.Millisecond),
		XactWithin:   orDefault(s.XactWithin, 500*time.Millisecond),
		ViolatedFrom: orDefault(s.ViolatedFrom, time.Second),
		MinSamples:   orDefault(s.MinSamples, 10),
	}
}

// Detect judges every slow time.
func (s *ShortTransactions) Detect(j journal.Journal) Finding {
	d := open("short_transactions")
	p := s.resolved()
	database := ""
	for _, dep := range j.Header().Dependencies {
		if dep.Kind == "postgres" && database == "" {
			database = dep.Name
		}
	}
	if database == "" {
		return d.notApplicable("the service has no Postgres database, so it has no transactions")
	}
	steps, err := stepsOf(j, p.Fault)
	if err != nil {
		return d.unknown("%v", err)
	}
	for _, step := range steps {
		p.judge(d, j, step, database)
	}
	return d.close("while %s was slow, no transaction of the service was idle for more than %s (bound %v) in %s "+
		"samples; %s requests waited for it", steps[0].Target, timeOf(d.Quantities, "idle_in_transaction_max"),
		p.IdleWithin, samplesOf(d.Quantities, "idle_in_transaction_max"), valueOf(d.Quantities, "requests_slow"))
}

func (s *ShortTransactions) judge(d *docket, j journal.Journal, step faultStep, database string) {
	slow, longest := s.slowRequests(j, step, database)
	t := transactionsIn(j, database, step.window)
	bound := s.XactWithin + roundTripIn(j, database, step.window)
	p99 := quantileOf(t.ages, 0.99)
	gap := longestGap(t.samples, step.window, nil)
	d.add(
		boundedTime("idle_in_transaction_max", t.idle, s.IdleWithin, len(t.samples)),
		boundedTime("transaction_age_p99", p99, bound, len(t.ages)),
		measured("requests_slow", float64(slow), "1", slow))
	switch {
	case t.idle >= s.ViolatedFrom:
		d.point(t.worst)
		d.against("promised short transactions; while %s was slow (%v to %v) a transaction was idle for %v, waiting for "+
			"the service: end it before the call, and begin another afterwards", step.Target, step.window.From,
			step.window.To, brief(t.idle))
		return
	case p99 >= s.ViolatedFrom+bound-s.XactWithin:
		d.point(t.worst)
		d.against("promised short transactions; while %s was slow (%v to %v) one in a hundred was open for %v or more "+
			"(of %d seen)", step.Target, step.window.From, step.window.To, brief(p99), len(t.ages))
		return
	case len(t.samples) == 0:
		d.doubt("pg_stat_activity of %s could not be sampled between %v and %v", database, step.window.From, step.window.To)
	case t.backends == 0:
		d.doubt("no connection of the service to %s was seen between %v and %v; is it connected under another role?",
			database, step.window.From, step.window.To)
	case slow < s.MinSamples:
		d.doubt("only %d requests that use %s and %s took %v or longer (at most %v), and %d are needed to see a "+
			"transaction that waits with them", slow, step.Target, database, s.ViolatedFrom, brief(longest), s.MinSamples)
	case gap > activityGap:
		d.doubt("pg_stat_activity of %s was not sampled for %v while %s was slow; what was open then is not known", database,
			brief(gap), step.Target)
	}
	if t.idle > s.IdleWithin {
		d.point(t.worst)
		d.doubt("a transaction was idle for %v, more than %v and less than %v, where it is a violation for certain",
			brief(t.idle), s.IdleWithin, s.ViolatedFrom)
	}
	if p99 > bound {
		d.doubt("one transaction in a hundred was open for %v or more, which is over %v", brief(p99), bound)
	}
}

// slowRequests counts the requests that were due in the step, use both the slow
// dependency and the database, and waited long enough.
func (s *ShortTransactions) slowRequests(
	j journal.Journal, step faultStep, database string,
) (slow int, longest time.Duration) {
	both := map[string]bool{}
	for _, r := range j.Header().Routes {
		both[r.Name] = len(r.Uses) == 0 || slices.Contains(r.Uses, step.Target) && slices.Contains(r.Uses, database)
	}
	for r := range hits(j, span{windows: []journal.Window{step.window}}, anyAttack, nil) {
		if r.Dropped || !both[r.Route] {
			continue
		}
		longest = max(longest, r.RawLatency())
		slow += one(r.RawLatency() >= s.ViolatedFrom)
	}
	return slow, longest
}

// transactions are those that samples met.
type transactions struct {
	samples  []journal.Instant
	backends int
	idle     time.Duration
	worst    Evidence
	ages     []time.Duration // the last seen of each
}

// sameBegin is how far apart two samples may see the beginning of one
// transaction.
const sameBegin = 20 * time.Millisecond

func transactionsIn(j journal.Journal, database string, w journal.Window) transactions {
	var t transactions
	type begun struct {
		at  journal.Instant
		age time.Duration
	}
	now := map[int]begun{}
	for e, a := range activities(j, database, w) {
		if a.Err == "" {
			t.samples = append(t.samples, e.At)
		}
		for _, b := range a.Backends {
			t.backends++
			if strings.HasPrefix(b.State, "idle in transaction") && b.IdleAge > t.idle {
				t.idle = b.IdleAge
				t.worst = seen(e, "backend %d (%s) has been %s for %v, in a transaction of %v", b.PID, b.App, b.State,
					brief(b.IdleAge), brief(b.XactAge))
			}
			if b.XactAge == 0 {
				continue
			}
			at := e.At.Add(-b.XactAge)
			if last, ok := now[b.PID]; ok && at.Sub(last.at).Abs() > sameBegin {
				t.ages = append(t.ages, last.age)
			} else if ok {
				at = last.at
			}
			now[b.PID] = begun{at, b.XactAge}
		}
	}
	for _, last := range now {
		t.ages = append(t.ages, last.age)
	}
	return t
}

// roundTripIn is the median of our own round trips to a dependency in a window;
// zero where there was none.
func roundTripIn(j journal.Journal, on string, w journal.Window) time.Duration {
	var all []time.Duration
	for e, r := range journal.Of[journal.RoundTrip](j) {
		if e.On == on && r.Err == "" && w.Contains(e.At) {
			all = append(all, r.RTT)
		}
	}
	return quantileOf(all, 0.5)
}
