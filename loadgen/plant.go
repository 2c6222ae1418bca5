package loadgen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Planting sends every request of the traffic again and again, each time with
// one of a caller's values replaced: by the canary, and by what would change a
// statement that it became a part of. One request is under way at a time, so
// that what the database is asked belongs to one of them.
type Planting struct {
	Name, RunID string
	Source      *Source
	// BaseURL is where the requests go.
	BaseURL string
	// Pause is the least time between an answer and the next request.
	Pause   time.Duration
	Timeout time.Duration
}

// plantedForms are the values that are planted, by their form; the format's word
// is the canary with the hit's number behind it.
var plantedForms = []struct{ form, format string }{
	{journal.PlantedControl, ""},
	{journal.PlantedCanary, "%s"},
	{journal.PlantedQuote, "%s'"},
	{journal.PlantedOr, "%s' OR '1'='1"},
	{journal.PlantedSleep, "%s'||pg_sleep(2)--"},
	{journal.PlantedCondition, "1 OR 1=1 /*%s*/"},
	{journal.PlantedExpression, "(SELECT 1 FROM pg_sleep(2)) /*%s*/"},
}

// PlantedDelay is how much longer than its control a request must take to be
// sent again: the payloads sleep for 2 s.
const PlantedDelay = 1500 * time.Millisecond

// plantedTimes is how often a request that takes so long is sent in all.
const plantedTimes = 3

// Run plants until all values have been replaced or the context ends. Every
// request is recorded as one, and as a [journal.Planted]; none of them is a
// write for the ledger.
func (p Planting) Run(ctx context.Context, rec journal.Recorder) error {
	e, err := Attack{
		Name: p.Name, RunID: p.RunID, Source: p.Source, BaseURL: p.BaseURL, MaxInFlight: 1, Timeout: orTimeout(p.Timeout),
	}.engine(rec)
	if err != nil {
		return fmt.Errorf("plant %q: %w", p.Name, err)
	}
	defer e.trans.CloseIdleConnections()
	e.plan = journal.Attack{Pacer: "values planted, one after the other", Timeout: e.client.Timeout}
	e.begin()
	g := &planter{Planting: p, engine: e, word: journal.Canary(p.RunID)}
	err = g.all(ctx)
	closing := e.plan
	closing.For, closing.Sent = rec.Now().Sub(e.t0), g.seq
	closing.Planned = closing.Sent
	if err != nil {
		closing.Error = err.Error()
	}
	rec.Record(journal.Entry{On: p.Name, Body: closing})
	if err != nil {
		return fmt.Errorf("plant %q: %w", p.Name, err)
	}
	return nil
}

// planter is a planting under way.
type planter struct {
	Planting
	*engine
	word string
	seq  uint64
}

// all plants in every request, those that capture something first.
func (g *planter) all(ctx context.Context) error {
	requests := slices.Clone(g.Source.requests)
	slices.SortStableFunc(requests, func(a, b *request) int { return len(a.needs) - len(b.needs) })
	for _, q := range requests {
		if q.Weight == 0 {
			continue
		}
		alone, err := newSource(g.Source.traffic, []*request{q})
		if err != nil {
			return err
		}
		like, err := alone.Target(g.Name, g.seq)
		if err != nil {
			return err
		}
		if like.request != q {
			continue // nothing has been captured for it
		}
		for _, f := range fieldsOf(like) {
			if err := g.field(ctx, alone, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// field plants every form of a value in one field.
func (g *planter) field(ctx context.Context, alone *Source, f field) error {
	var usual time.Duration
	for _, form := range plantedForms {
		for n := range plantedTimes {
			took, err := g.plant(ctx, alone, f, form.form, form.format)
			if err != nil {
				return err
			}
			if form.form == journal.PlantedControl {
				usual = took
			}
			if form.form == journal.PlantedControl || took < usual+PlantedDelay || n == plantedTimes-1 {
				break
			}
		}
	}
	return nil
}

// plant sends one request with a value in a field's place.
func (g *planter) plant(
	ctx context.Context, alone *Source, f field, form, format string,
) (time.Duration, error) {
	if err := sleepUntil(ctx, time.Now().Add(g.Pause)); err != nil {
		return 0, err
	}
	g.seq++
	t, err := alone.Target(g.Name, g.seq)
	if err == nil && format != "" {
		t, err = f.replaced(t, fmt.Sprintf(format, fmt.Sprintf("%s-%d", g.word, g.seq)))
	}
	if err != nil {
		return 0, fmt.Errorf("request %q: %s: %w", t.Route, f.name, err)
	}
	r := journal.Request{Seq: g.seq, Attack: g.Name, Route: t.Route, Due: g.rec.Now()}
	answer := g.send(ctx, &r, t, hit{seq: g.seq})
	if r.OK {
		g.capture(t.request, answer)
	}
	g.rec.Request(r)
	g.rec.Record(journal.Entry{At: r.Done, On: g.Name, Body: journal.Planted{
		Attack: r.Attack, Seq: r.Seq, Route: r.Route, Field: f.name, Form: form, Sent: r.Sent, Code: r.Code, Err: r.Err,
	}})
	if broken := g.broken.Load(); broken != nil {
		return 0, *broken
	}
	return r.Done.Sub(r.Sent), ctx.Err()
}

var errNoField = errors.New("it is not there in every hit")
