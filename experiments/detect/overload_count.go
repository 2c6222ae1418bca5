package detect

import (
	"net/http"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// surge is one attack at a multiple of the capacity, and what became of its
// hits, counted from the due times and from the sending.
type surge struct {
	name   string
	factor float64        // of the capacity
	whole  journal.Window // of the attack
	window journal.Window // without its beginning: what is judged

	sent, dropped          int
	good, goodRaw          int // successes in time, from the due time and from the sending
	refused, retryAfter    int // 429 and 503; those that said when to come back
	timeouts, other        int
	shed, shedRaw, lag     latencies
	late, slowest, strange Evidence // a timeout, the slowest refusal, another failure
	slowestFor             time.Duration
}

// surges counts the attacks whose rate was a multiple of the capacity, in the
// order of the journal.
func (s *Shedding) surges(d *docket, j journal.Journal, capacity float64) []surge {
	var all []surge
	for e, a := range journal.Of[journal.Attack](j) {
		offered, ok := measuredValue(j, "offered", e.On)
		if !ok || a.Began {
			continue
		}
		c := surge{
			name: e.On, factor: offered / capacity, whole: journal.Window{From: a.From, To: a.From.Add(a.For)},
			shed: newLatencies(), shedRaw: newLatencies(), lag: newLatencies(),
		}
		c.window = journal.Window{From: a.From.Add(s.Discard), To: c.whole.To}
		if c.window.To.Sub(c.window.From) < shortestSurge && s.Enough(j, e.On).Outcome == Unknown {
			d.doubt("attack %q lasted %v, too short to be judged after its first %v", e.On, brief(a.For), s.Discard)
			continue
		}
		c.count(j, s.Latency)
		all = append(all, c)
	}
	return all
}

func (c *surge) count(j journal.Journal, inTime time.Duration) {
	run := j.Header().Run
	for r := range j.Requests(c.window) {
		if r.Attack != c.name {
			continue
		}
		if r.Dropped {
			c.dropped++
			continue
		}
		c.sent++
		c.lag.add(r.Lag())
		switch {
		case r.OK:
			c.good += one(r.Latency() <= inTime)
			c.goodRaw += one(r.RawLatency() <= inTime)
		case r.Code == http.StatusTooManyRequests, r.Code == http.StatusServiceUnavailable:
			c.refusal(run, r)
		case r.Code == http.StatusGatewayTimeout, r.Err == journal.ErrTimeout:
			c.timeouts++
			first(&c.late, run, r)
		default:
			c.other++
			first(&c.strange, run, r)
		}
	}
}

func (c *surge) refusal(run string, r journal.Request) {
	c.refused++
	c.retryAfter += one(r.RetryAfter)
	c.shed.add(r.Latency())
	c.shedRaw.add(r.RawLatency())
	if c.slowest.Kind == "" || r.RawLatency() > c.slowestFor {
		c.slowest, c.slowestFor = requestEvidence(run, r), r.RawLatency()
	}
}

// goodput is how many good answers in time came a second, from the due times.
func (c surge) goodput() float64 { return float64(c.good) / c.window.Length().Seconds() }

// goodputRaw is the same with latencies from the sending.
func (c surge) goodputRaw() float64 { return float64(c.goodRaw) / c.window.Length().Seconds() }

// polite is the share of refusals that said when to come back; 1 without any.
func (c surge) polite() float64 {
	if c.refused == 0 {
		return 1
	}
	return ratio(c.retryAfter, c.refused)
}

// guarded says whether the load generator kept its plan.
func (c surge) guarded(slo time.Duration) bool {
	return float64(c.lag.at(0.99)) <= guardLag*float64(slo) && ratio(c.sent, c.sent+c.dropped) >= guardSent
}

// first keeps the first request as evidence.
func first(e *Evidence, run string, r journal.Request) {
	if e.Kind == "" {
		*e = requestEvidence(run, r)
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// measuredValue is the last figure of that name that a step recorded; the
// step's name may be empty for any.
func measuredValue(j journal.Journal, name, step string) (float64, bool) {
	value, found := 0.0, false
	for e, q := range journal.Of[journal.Measured](j) {
		if q.Name == name && (step == "" || e.On == step) {
			value, found = q.Value, true
		}
	}
	return value, found
}
