package loadgen

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ClosedLoop keeps a number of connections busy: on each of them the next
// request follows the answer to the one before. It measures what a service can
// do at most; as load it would hide a slow service, which is what [Attack] is
// for. Its requests are due when they are sent.
type ClosedLoop struct {
	Name    string
	RunID   string
	Source  *Source
	BaseURL string
	// Connections is how many requests are in flight at any time.
	Connections int
	// For is how long new requests are sent.
	For time.Duration
	// Timeout is as in [Attack].
	Timeout time.Duration
}

// Run carries the loop out, recorded as an attack, and returns the successes a
// second: those that ended within For.
func (c ClosedLoop) Run(ctx context.Context, rec journal.Recorder) (perSecond float64, err error) {
	if c.Connections <= 0 || c.For <= 0 {
		return 0, fmt.Errorf("closed loop %q: %d connections for %v; both must be positive", c.Name, c.Connections, c.For)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	a := Attack{
		Name: c.Name, RunID: c.RunID, Source: c.Source, BaseURL: c.BaseURL,
		Timeout: c.Timeout, MaxInFlight: c.Connections,
	}
	e, err := a.engine(rec)
	if err != nil {
		return 0, err
	}
	e.due = func(uint64) journal.Instant { return rec.Now() }
	e.plan = journal.Attack{
		Pacer: fmt.Sprintf("%d connections for %v", c.Connections, c.For), For: c.For,
		InFlightMax: c.Connections, Timeout: c.Timeout,
	}
	p := &closedLoop{engine: e, ctx: ctx, length: c.For}
	if _, err := e.run(ctx, p, uint64(c.Connections), uint64(c.Connections)); err != nil {
		return 0, err
	}
	if err := context.Cause(ctx); err != nil {
		return 0, fmt.Errorf("closed loop %q: ended before %v were over: %w", c.Name, c.For, err)
	}
	return float64(e.good.Load()) / c.For.Seconds(), nil
}

// closedLoop is vegeta's pacer: it lets a hit go whenever a worker is free.
type closedLoop struct {
	engine *engine
	ctx    context.Context // the pacer lives for one Run, and vegeta hands it no context
	length time.Duration
	begun  bool
}

// Pace never waits; vegeta itself waits for a free worker.
func (p *closedLoop) Pace(time.Duration, uint64) (time.Duration, bool) {
	p.engine.begin()
	if !p.begun {
		p.begun = true
		p.engine.until.Store(int64(p.engine.t0.Add(p.length)))
	}
	return 0, p.engine.stopping(p.ctx) || p.engine.rec.Now() >= p.engine.t0.Add(p.length)
}

// Rate is not known beforehand.
func (p *closedLoop) Rate(time.Duration) float64 { return 0 }
