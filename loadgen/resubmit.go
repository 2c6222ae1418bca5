package loadgen

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/ohler55/ojg/oj"
	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Resubmission sends writes again and again under their keys, as callers do who
// heard no answer. Keys come in two groups of Keys each. One of the first group
// is submitted once, once more after the answer, and then with another body;
// one of the second AtOnce times at the same moment, and once more after that.
// Neighbouring submissions go to different replicas.
type Resubmission struct {
	Name, RunID string
	// Source is the traffic; it must consist of writes alone.
	Source *Source
	Places []Place
	Keys   int
	AtOnce int
	// For is the time that the keys are spread over.
	For time.Duration
	// Of names an earlier resubmission whose keys are submitted once more each,
	// and nothing else. Empty: keys of its own.
	Of      string
	Timeout time.Duration
}

// keysAtOnce is how many keys are worked on at the same time: the race is
// between the submissions of one key, not for the processor.
const keysAtOnce = 3

// Run submits until all keys are done or the context ends. Every submission is
// recorded as a request, as a write and as a [journal.Submission].
func (s Resubmission) Run(ctx context.Context, rec journal.Recorder) error {
	r, err := s.begin(rec)
	if err != nil {
		return fmt.Errorf("resubmit %q: %w", s.Name, err)
	}
	defer r.end()
	var keys errgroup.Group
	keys.SetLimit(keysAtOnce)
	start, total := time.Now(), 2*s.Keys
	for n := range total {
		// The two groups take turns, so that both meet the same minute.
		key := uint64(n/2 + n%2*s.Keys)
		if err := sleepUntil(ctx, start.Add(s.For*time.Duration(n)/time.Duration(total))); err != nil {
			return errors.Join(err, keys.Wait())
		}
		keys.Go(func() error { return r.submitKey(ctx, key, n%2 == 1) })
	}
	return keys.Wait()
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// resubmitter is a resubmission under way.
type resubmitter struct {
	Resubmission
	*direct
}

func (s Resubmission) begin(rec journal.Recorder) (*resubmitter, error) {
	if len(s.Places) == 0 || s.Keys <= 0 || s.AtOnce < 2 {
		return nil, fmt.Errorf("%d replicas, %d keys and %d submissions at once; all must be positive, the last 2 or more",
			len(s.Places), s.Keys, s.AtOnce)
	}
	d, err := Attack{
		Name: s.Name, RunID: s.RunID, Source: s.Source, MaxInFlight: keysAtOnce * s.AtOnce, Timeout: s.Timeout,
	}.direct(s.Places, journal.Attack{Pacer: fmt.Sprintf("%d keys, submitted again", 2*s.Keys), For: s.For}, rec)
	if err != nil {
		return nil, err
	}
	return &resubmitter{Resubmission: s, direct: d}, nil
}

func orTimeout(d time.Duration) time.Duration {
	if d == 0 {
		return DefaultTimeout
	}
	return d
}

// submitKey does all that is done with one key.
func (r *resubmitter) submitKey(ctx context.Context, key uint64, race bool) error {
	of := r.Of
	if of == "" {
		of = r.Name
	}
	target, err := r.Source.Target(of, key)
	if err != nil {
		return err
	}
	last := uint64(r.AtOnce) + 1
	number := func(n uint64) uint64 { return key*(last+1) + n }
	switch {
	case r.Of != "":
		r.submit(ctx, target, number(0), journal.SubmittedAgain)
	case race:
		var together sync.WaitGroup
		for n := range uint64(r.AtOnce) {
			together.Go(func() { r.submit(ctx, target.clone(), number(n), journal.SubmittedAtOnce) })
		}
		together.Wait()
		r.submit(ctx, target, number(last), journal.SubmittedAgain)
	default:
		r.submit(ctx, target.clone(), number(0), journal.SubmittedFirst)
		r.submit(ctx, target.clone(), number(1), journal.SubmittedAgain)
		other, err := r.Source.otherBody(of, key, target)
		if err != nil {
			return err
		}
		if other.Body != target.Body {
			r.submit(ctx, other, number(2), journal.SubmittedOther)
		}
	}
	return nil
}

// submit sends once and records what came back.
func (r *resubmitter) submit(ctx context.Context, t Target, seq uint64, form string) {
	at := int((seq/uint64(r.AtOnce+2) + seq) % uint64(len(r.engines)))
	request, answer := r.send(ctx, at, t, seq)
	r.engines[at].ledger(request, t, answer)
	done := journal.Submission{
		Attack: r.Name, Seq: seq, Key: t.Key, Form: form, Replica: r.Places[at].Name, Code: request.Code, Err: request.Err,
	}
	if request.Err == "" {
		sum := sha256.Sum256(answer)
		done.BodyHash = hex.EncodeToString(sum[:8])
	}
	if id := t.request.id; id != nil && request.Code/100 == 2 {
		if document, err := oj.Parse(answer); err == nil {
			done.ID, _ = id.from(document)
		}
	}
	r.rec.Record(journal.Entry{At: request.Done, On: r.Name, Body: done})
}

// Writing returns the part of the source whose writes the ledger follows.
func (s *Source) Writing() (*Source, error) {
	var kept []*request
	for _, r := range s.requests {
		if r.Write != nil {
			kept = append(kept, r)
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("traffic: none of the requests %q has a write rule", s.Routes())
	}
	return newSource(s.traffic, kept)
}

// otherBody is a target with the key of one hit and the body of another; with
// the same body where it is the same for every hit.
func (s *Source) otherBody(attack string, seq uint64, like Target) (Target, error) {
	h := s.hitOf(stream(attack), seq)
	r := s.templates.get(h.draws.Uint64(), h.draws.Uint64())
	defer s.templates.put(r)
	if _, err := r.target(like.request, seq); err != nil { // its variables stay in the renderer
		return Target{}, err
	}
	var draws rand.PCG
	draws.Seed(s.seed^stream(attack), scatter(^seq))
	r.source = draws
	other, err := r.rest(like.request, seq+otherBodyOffset)
	if err == nil && other.Key != like.Key {
		err = fmt.Errorf("traffic: request %q: write.key must be a variable of vars, such as {{.key}}, so that another "+
			"body can be sent under it", like.Route)
	}
	return other, err
}

// otherBodyOffset takes a hit's number far from those of all others.
const otherBodyOffset = 1 << 40

// clone is the target with headers of its own: sending writes into them.
func (t Target) clone() Target {
	t.Header = t.Header.Clone()
	return t
}
