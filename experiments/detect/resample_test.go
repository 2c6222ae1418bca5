package detect

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// What varies from one run to the next, put on a recorded journal, so that it
// can be judged as if the run had been made again. What the service did stays;
// what changes is when the harness saw it and which hits it happened to send:
//
//   - noise: whatever the harness sees, it sees late, each time by a draw of the
//     machine's noise (detectors.md F14). A hit is sent late and its end seen
//     late; a stub's arrivals, hang-ups and answers, the answers of health
//     endpoints and what observers record are seen late; what one observer
//     records keeps its order. The noise of F14 is that of a gap, so that each
//     attempt of a logical call is late by its own draw and by those of the
//     attempts before it and of their answers. The control sleepers overshoot by the same noise.
//     What the harness does itself, such as a step or a signal, is stamped when
//     it is done and stays.
//   - phase: each series of polls and of samples of pg_stat_activity begins at
//     another moment of its period, so that a change is seen up to one period
//     later.
//   - blocks: the hits of each second meet what those of the same second, of the
//     one before or of the one after met, in the same step of the method (a
//     local block bootstrap: answers of one second depend on each other, and a
//     run that changes with time must not be shuffled as a whole).
//   - thinning: up to 2 % of the hits are missing, which is what the guard of
//     the load lets pass.
//
// Blocks and thinning are for detectors that look at requests alone: elsewhere
// a hit is tied to calls, writes or counters, which would have to change too.
type resampling struct {
	noise  noise
	blocks bool // and thinning
}

const (
	resampleBlock = time.Second
	phaseAtMost   = time.Second // a longer gap is not a poller's period
)

// of makes another run of a recorded one.
func (s resampling) of(j journal.Journal, r *rand.Rand) journal.Journal {
	m := journal.NewMemory(j.Header())
	for _, e := range s.entries(slices.Collect(j.Entries()), r) {
		m.Record(e)
	}
	requests := slices.Collect(j.Requests(journal.Window{}))
	if s.blocks {
		requests = s.thinned(bootstrapped(requests, turns(j), r), r)
	}
	for i := range requests {
		s.late(&requests[i], r)
	}
	slices.SortStableFunc(requests, func(a, b journal.Request) int { return cmp.Compare(a.Done, b.Done) })
	for _, q := range requests {
		m.Request(q)
	}
	return m
}

func (s resampling) delay(r *rand.Rand) time.Duration {
	return time.Duration(s.noise.draw(r) * float64(time.Second))
}

// late has a hit sent and its end seen late.
func (s resampling) late(q *journal.Request, r *rand.Rand) {
	if q.Dropped {
		return
	}
	d := s.delay(r)
	q.Sent, q.Done = q.Sent.Add(d), q.Done.Add(d+s.delay(r))
}

// stream is what one observer records of one thing.
type stream struct{ kind, on, endpoint string }

func streamOf(e journal.Entry) stream {
	s := stream{kind: e.Body.Kind(), on: e.On}
	if p, ok := e.Body.(journal.Poll); ok {
		s.endpoint = p.Endpoint
	}
	return s
}

// entries are the journal's, seen late.
func (s resampling) entries(all []journal.Entry, r *rand.Rand) []journal.Entry {
	shift, last := phases(all, r), map[stream]journal.Instant{}
	behind := map[string]time.Duration{} // by the logical call
	for i, e := range all {
		switch b := e.Body.(type) {
		case journal.StepEvent, journal.Signalled, journal.Attack, journal.Phase, journal.Measured:
			continue // the harness's own
		case journal.Sleeper:
			b.Overshoots = slices.Clone(b.Overshoots)
			for k := range b.Overshoots {
				b.Overshoots[k] = s.delay(r)
			}
			all[i].Body = b
			continue
		case journal.Call:
			of := logicalCall(b)
			late := behind[of] + s.delay(r)
			all[i].At = e.At.Add(late)
			late += s.lateCall(&b, r)
			all[i].Body = b
			if of != "" { // else it waits for no other
				behind[of] = late
			}
			continue
		case journal.Poll:
			b.Took += s.delay(r)
			all[i].Body = b
		case journal.RoundTrip:
			b.RTT += s.delay(r)
			all[i].Body = b
		}
		of := streamOf(e)
		all[i].At = max(e.At.Add(shift[of]+s.delay(r)), last[of])
		last[of] = all[i].At
	}
	slices.SortStableFunc(all, func(a, b journal.Entry) int { return cmp.Compare(a.At, b.At) })
	return all
}

// logicalCall is what tells the attempts of a logical call from others; empty
// where nothing does.
func logicalCall(c journal.Call) string {
	return cmp.Or(c.RequestID, byTrace.mark("", c), c.IdempotencyKey)
}

// lateCall has the end of a call late, and says by how much: who waits after it
// begins to wait so much later.
func (s resampling) lateCall(c *journal.Call, r *rand.Rand) (late time.Duration) {
	for _, t := range []*time.Duration{&c.Answered, &c.HungUpAfter} {
		if *t > 0 {
			late = s.delay(r)
			*t += late
		}
	}
	return late
}

// phases draws by how much of its period each poller is shifted.
func phases(all []journal.Entry, r *rand.Rand) map[stream]time.Duration {
	var order []stream
	last, period := map[stream]journal.Instant{}, map[stream]time.Duration{}
	for _, e := range all {
		switch e.Body.(type) {
		case journal.Poll, journal.Activity:
		default:
			continue
		}
		of := streamOf(e)
		before, known := last[of]
		if !known {
			order = append(order, of)
		} else if gap := e.At.Sub(before); gap > 0 && gap <= phaseAtMost && (period[of] == 0 || gap < period[of]) {
			period[of] = gap
		}
		last[of] = e.At
	}
	shift := map[stream]time.Duration{}
	for _, of := range order {
		shift[of] = time.Duration(r.Float64() * float64(period[of]))
	}
	return shift
}

// turns are the instants at which something was begun or taken back.
func turns(j journal.Journal) (at []journal.Instant) {
	for e := range journal.Of[journal.StepEvent](j) {
		at = append(at, e.At)
	}
	slices.Sort(at)
	return at
}

// block is one attack's second in one part of the method.
type block struct {
	attack       string
	part, second int
}

// bootstrapped has the hits of each block meet what those of a block beside it
// met. A hit takes the fate of one of its own route.
func bootstrapped(all []journal.Request, turns []journal.Instant, r *rand.Rand) []journal.Request {
	blocks, order := map[block][]journal.Request{}, []block(nil)
	slices.SortStableFunc(all, func(a, b journal.Request) int { return cmp.Compare(a.Due, b.Due) })
	for _, q := range all {
		part, _ := slices.BinarySearch(turns, q.Due+1)
		b := block{q.Attack, part, int(q.Due.Duration() / resampleBlock)}
		if blocks[b] == nil {
			order = append(order, b)
		}
		blocks[b] = append(blocks[b], q)
	}
	var out []journal.Request
	for _, b := range order {
		from := b
		from.second += r.IntN(3) - 1
		if blocks[from] == nil {
			from = b
		}
		for i, q := range blocks[b] {
			out = append(out, fated(q, i, blocks[from]))
		}
	}
	return out
}

// fated gives a hit the fate of the i-th of others, or of the next of its route.
func fated(q journal.Request, i int, others []journal.Request) journal.Request {
	for k := range others {
		f := others[(i+k)%len(others)]
		if f.Route == q.Route {
			d := q.Due.Sub(f.Due)
			f.Seq, f.Due, f.Sent, f.Done = q.Seq, q.Due, f.Sent.Add(d), f.Done.Add(d)
			return f
		}
	}
	return q
}

// thinned leaves out up to [dropsBearable] of the hits.
func (s resampling) thinned(all []journal.Request, r *rand.Rand) []journal.Request {
	missing := dropsBearable * r.Float64()
	return slices.DeleteFunc(all, func(journal.Request) bool { return r.Float64() < missing })
}

func TestBootstrapped(t *testing.T) {
	m := fixture()
	step(m, 0, faultFrom, faultTo)
	load(m, inTheFault(0, refuse))
	before := slices.Collect(m.Requests(journal.Window{}))
	after := bootstrapped(slices.Clone(before), turns(m), rand.New(rand.NewPCG(1, 1)))
	if len(after) != len(before) {
		t.Fatalf("%d hits became %d", len(before), len(after))
	}
	for i, q := range after {
		b := before[i]
		if q.Seq != b.Seq || q.Due != b.Due || q.Route != b.Route || q.OK != b.OK || q.Latency() != b.Latency() {
			t.Fatalf("hit %+v became %+v: it met what hits of another part of the method met", b, q)
		}
	}
}

func TestPhases(t *testing.T) {
	m := newMade()
	m.polls("replica-1", journal.Readiness, 0, 10, 200)
	var shifts []time.Duration
	for seed := range uint64(100) {
		for _, d := range phases(m.entries, rand.New(rand.NewPCG(seed, 1))) {
			shifts = append(shifts, d)
		}
	}
	if lo, hi := slices.Min(shifts), slices.Max(shifts); len(shifts) != 100 || lo < 0 || hi > 51*ms || hi-lo < 30*ms {
		t.Errorf("%d shifts from %v to %v, want 100 within one period of 50ms", len(shifts), lo, hi)
	}
}

// A call is as late as the attempts before it have made it, and no later: calls
// that have nothing in common do not wait for each other.
func TestLateCalls(t *testing.T) {
	n := noise{median: 0.010, most: 0.010} // no draw is another
	for name, tt := range map[string]struct {
		mark func(i int, c *journal.Call)
		last time.Duration // how late the last of 50 is
	}{
		"nothing":              {func(int, *journal.Call) {}, 10 * ms},
		"one id":               {func(_ int, c *journal.Call) { c.RequestID = "t-load-1" }, 990 * ms},
		"an id each":           {func(i int, c *journal.Call) { c.RequestID = fmt.Sprintf("t-load-%d", i) }, 10 * ms},
		"one idempotency key":  {func(_ int, c *journal.Call) { c.IdempotencyKey = "k" }, 990 * ms},
		"one trace, new spans": {func(i int, c *journal.Call) { c.Traceparent = spanOf(i) }, 990 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMade()
			for i := range 50 {
				c := journal.Call{Method: "POST", Answered: ms}
				tt.mark(i, &c)
				m.at(1, "payments", c)
			}
			after := resampling{noise: n}.of(m.memory(), rand.New(rand.NewPCG(1, 1)))
			var last journal.Instant
			for e := range after.Entries() {
				last = max(last, e.At)
			}
			if got := last.Sub(secs(1)); got != tt.last {
				t.Errorf("the last call arrives %v late, want %v", got, tt.last)
			}
		})
	}
}

// spanOf is a traceparent with the same trace and another span for each i.
func spanOf(i int) string {
	c := journal.Trace("t", "load", 1)
	c.Span = journal.Trace("t", "load", uint64(i)).Span
	return c.Traceparent()
}

// Whatever is seen late is seen in the order of its kind, and nothing is seen
// early.
func TestLate(t *testing.T) {
	m := newMade()
	m.polls("replica-1", journal.Readiness, 0, 10, 200)
	m.hit("load", "get", 1, 0.01, 200)
	before := m.memory()
	after := resampling{noise: noises[2]}.of(before, rand.New(rand.NewPCG(1, 1)))
	at := slices.Collect(before.Entries())
	last := journal.Instant(0)
	i := 0
	for e := range after.Entries() {
		if e.At < at[i].At || e.At < last {
			t.Errorf("entry %d of %v is seen at %v, after %v", i, at[i].At, e.At, last)
		}
		last, i = e.At, i+1
	}
	for q := range after.Requests(journal.Window{}) {
		if q.Lag() <= 0 || q.RawLatency() <= 10*ms {
			t.Errorf("a hit was sent after %v and took %v", q.Lag(), q.RawLatency())
		}
	}
}
