package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Defaults of an attack.
const (
	DefaultTimeout = 10 * time.Second
	DefaultGrace   = time.Second
	// A cap on requests in flight that nobody set is what the plan can have
	// under way within the timeout, with a quarter more, between these bounds.
	leastInFlight = 64
	mostInFlight  = 10_000
)

// Attack is one open-loop attack: every hit is sent when it is due, whatever
// has become of those before it.
type Attack struct {
	// Name is what the journal calls it: "load", or the step that wants it.
	Name string
	// RunID is the prefix of its request ids.
	RunID  string
	Pacer  Pacer
	Source *Source
	// BaseURL is what paths are appended to, such as "http://127.0.0.1:8080".
	BaseURL string
	// Timeout is how long our client waits for a whole answer, from the
	// sending. Zero means DefaultTimeout.
	Timeout time.Duration
	// MaxInFlight caps the requests in flight; a hit above it is dropped, and
	// recorded as such. Zero derives it from the plan and the timeout.
	MaxInFlight int
	// NewConnections opens a connection for every hit.
	NewConnections bool
	// HangUpAfter closes the connection that long after the request was sent.
	// Zero: the answer is waited for.
	HangUpAfter time.Duration
	// Header is sent with every hit in place of what the traffic's own holds.
	// Names are canonical.
	Header http.Header
	// ForwardedFor sends an X-Forwarded-For with each hit, another one each time.
	ForwardedFor bool
	// Retries is how its clients try again. Zero: they do not.
	Retries Retries
	// Strange gives each hit a path, an id, a method or a host that nobody has
	// heard of, and a query and a user agent of its own.
	Strange bool
	// BrokenTrace sends a traceparent with each hit that is not valid.
	BrokenTrace bool
	// Grace is how long requests in flight may still take when the context
	// ends. Zero means DefaultGrace, less than zero none.
	Grace time.Duration
}

// Run carries the attack out and returns what came of it when its last request
// has ended. Every hit that became due is recorded as one request; the attack
// itself is recorded when it begins and when it ends. The end of the context
// ends it early, which is no error but noted in the result. An error is a
// fault of the caller or of the traffic.
func (a Attack) Run(ctx context.Context, rec journal.Recorder) (journal.Attack, error) {
	if a.Pacer == nil {
		return journal.Attack{}, fmt.Errorf("attack %q: no pacer", a.Name)
	}
	if a.Timeout == 0 {
		a.Timeout = DefaultTimeout
	}
	if a.MaxInFlight <= 0 {
		n := math.Ceil(1.25 * float64(most(a.Pacer, a.Retries.patience(a.Timeout))))
		a.MaxInFlight = int(min(max(n, leastInFlight), mostInFlight))
	}
	e, err := a.engine(rec)
	if err != nil {
		return journal.Attack{}, err
	}
	p := &openLoop{adapter: adapter{a.Pacer}, engine: e, ctx: ctx}
	e.due = func(seq uint64) journal.Instant {
		return e.t0.Add(dueOf(a.Pacer, seq))
	}
	e.plan = journal.Attack{
		Pacer: a.Pacer.String(), InFlightMax: a.MaxInFlight, Timeout: a.Timeout, Retries: a.Retries.Most,
		Strange: a.Strange, BrokenTrace: a.BrokenTrace,
	}
	e.measure = func() { e.plan.For, e.plan.Planned = a.Pacer.Length(), a.Pacer.Hits() }
	e.measure()
	// Beyond the cap a few workers more take the hits that are dropped.
	return e.run(ctx, p, uint64(min(a.MaxInFlight, leastInFlight)), uint64(a.MaxInFlight)+leastInFlight)
}

// dueOf is when a hit that was let go was due: also when the plan has been told
// since then to end before it.
func dueOf(p Pacer, seq uint64) time.Duration {
	if extended, ok := p.(*Extended); ok {
		return extended.due(seq)
	}
	due, _ := p.Due(seq)
	return due
}

// openLoop is vegeta's pacer: it lets each hit go when it is due. It waits
// itself, since vegeta's own wait cannot be interrupted.
type openLoop struct {
	adapter
	engine *engine
	ctx    context.Context // the pacer lives for one Run, and vegeta hands it no context
	timer  *time.Timer
}

// Pace returns when the next hit is due; true when there is none or the attack
// is to end.
func (p *openLoop) Pace(_ time.Duration, hits uint64) (time.Duration, bool) {
	p.engine.begin()
	if p.engine.stopping(p.ctx) {
		return 0, true
	}
	wait, over := p.adapter.Pace(p.engine.rec.Now().Sub(p.engine.t0), hits)
	if over || wait <= 0 {
		return 0, over
	}
	if p.timer == nil {
		p.timer = time.NewTimer(wait)
	} else {
		p.timer.Reset(wait)
	}
	select {
	case <-p.timer.C:
		_, planned := p.Due(hits) // an extended plan may have ended meanwhile
		return 0, !planned
	case <-p.ctx.Done():
		return 0, true
	}
}

// engine carries one attack out; vegeta sends every hit through its RoundTrip.
type engine struct {
	name   string
	runID  string
	stream uint64
	source *Source
	rec    journal.Recorder
	prefix string // of every URL: the base without a slash at its end
	urls   sync.Map
	trans  *http.Transport
	client Attack
	plan   journal.Attack
	keep   bool // every answer is wanted, not only what is captured from
	// measure updates the plan's length and hits; nil for closed loops.
	measure func()

	started sync.Once
	t0      journal.Instant
	due     func(seq uint64) journal.Instant
	ctx     context.Context    // of the hits; it outlives Run's by the grace
	cancel  context.CancelFunc // ends the hits in flight

	inFlight, peak atomic.Int64
	sent, dropped  atomic.Uint64
	tries          atomic.Uint64         // of clients that try again
	good           atomic.Uint64         // successes that ended in time, for closed loops
	until          atomic.Int64          // the instant up to which successes count as in time
	broken         atomic.Pointer[error] // the traffic is at fault
}

func (a Attack) engine(rec journal.Recorder) (*engine, error) {
	if a.Source == nil {
		return nil, fmt.Errorf("attack %q: no traffic", a.Name)
	}
	base, err := url.Parse(a.BaseURL)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("attack %q: %q is no base URL such as http://127.0.0.1:8080", a.Name, a.BaseURL)
	}
	return &engine{
		name: a.Name, runID: a.RunID, stream: stream(a.Name), source: a.Source, rec: rec, client: a,
		prefix: strings.TrimSuffix(base.String(), "/"), trans: a.transport(),
	}, nil
}

// begin takes t0 at the first call and records the attack's beginning.
func (e *engine) begin() {
	e.started.Do(func() {
		e.t0 = e.rec.Now()
		e.plan.From = e.t0
		began := e.plan
		began.Began = true
		e.rec.Record(journal.Entry{At: e.t0, On: e.name, Body: began})
	})
}

// stopping says that no further hit is to be sent.
func (e *engine) stopping(ctx context.Context) bool {
	return ctx.Err() != nil || e.broken.Load() != nil
}

// run has vegeta send the hits that a pacer lets go, and waits for their ends.
func (e *engine) run(ctx context.Context, p vegeta.Pacer, workers, maxWorkers uint64) (journal.Attack, error) {
	e.ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer e.cancel()
	defer context.AfterFunc(ctx, e.hurry)()
	defer e.trans.CloseIdleConnections()

	attacker := vegeta.NewAttacker(
		vegeta.Client(&http.Client{Transport: e}),
		vegeta.Workers(workers),
		vegeta.MaxWorkers(maxWorkers),
	)
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: e.prefix})
	for range attacker.Attack(target, p, 0, "") { // they have been recorded; this waits for the last
	}
	e.begin() // also when the context had ended before

	if e.measure != nil {
		e.measure() // an extended plan knows its end only now
	}
	end := e.plan
	end.Tries = e.tries.Load()
	end.Sent, end.Dropped, end.Peak = e.sent.Load(), e.dropped.Load(), int(e.peak.Load())
	var err error
	if broken := e.broken.Load(); broken != nil {
		err = fmt.Errorf("attack %q: %w", e.name, *broken)
		end.Error = err.Error()
	} else if ctx.Err() != nil && end.Sent+end.Dropped < end.Planned {
		end.Error = "ended before its plan: " + context.Cause(ctx).Error()
	}
	e.rec.Record(journal.Entry{On: e.name, Body: end})
	return end, err
}

// hurry gives the hits in flight their grace and then cancels them.
func (e *engine) hurry() {
	grace := e.client.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-timer.C:
		e.cancel()
	case <-e.ctx.Done():
	}
}

// fail ends the attack because its traffic cannot be sent.
func (e *engine) fail(err error) {
	e.broken.CompareAndSwap(nil, &err)
}

var errHungUp = errors.New("we hung up")
