package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ohler55/ojg/oj"
	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Names of the requests of registers in the journal.
const (
	registerWrite = "register.write"
	registerRead  = "register.read"
)

// defaultValue is what is written where a register does not say.
const defaultValue = "value-{{uuid}}"

// register is how registers are named, written and read.
type register struct {
	named       *request // only what its templates need
	key, value  text
	write, read *request
	answer      capture
}

// register makes a kind of register ready.
func (c *compiler) register(r Register) (*register, error) {
	g := &register{named: &request{Request: Request{Name: "register"}}}
	if r.Value == "" {
		r.Value = defaultValue
	}
	var err error
	if g.key, err = c.parse(g.named, "key", r.Key); err != nil {
		return nil, err
	}
	if g.value, err = c.parse(g.named, "value", r.Value); err != nil {
		return nil, err
	}
	if !g.key.made {
		return nil, fmt.Errorf("key: %q names one register alone; use {{seq}} or {{pick \"…\"}}", r.Key)
	}
	if len(g.named.needs) > 0 && !c.captured(g.named.needs) {
		return nil, fmt.Errorf("key: it picks from %q, which the setup does not capture", g.named.needs)
	}
	if g.answer, err = newCapture("value", r.Read.Value); err != nil {
		return nil, within("read.value", err, "read: value")
	}
	if r.Write.Method == "" {
		r.Write.Method = http.MethodPut
	}
	if g.write, err = c.registerRequest(Request{
		Name: registerWrite, Method: r.Write.Method, Path: r.Write.Path, Body: r.Write.Body, Success: r.Write.Success,
	}); err != nil {
		return nil, within("write", err, "write")
	}
	if g.read, err = c.registerRequest(Request{
		Name: registerRead, Method: http.MethodGet, Path: r.Read.Path,
	}); err != nil {
		return nil, within("read", err, "read")
	}
	return g, c.tryRegister(g)
}

func (c *compiler) registerRequest(r Request) (*request, error) {
	q := &request{Request: r, method: r.Method}
	for _, part := range []func(*request) error{c.parsePathAndBody, c.parseHeaders, c.parseSuccess} {
		if err := part(q); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// tryRegister fills all templates in, so that what they do wrong is said before
// anything starts: two registers must be two paths, and two values two requests.
func (c *compiler) tryRegister(g *register) error {
	fill := func(seq uint64, key string) (value string, write, read Target, err error) {
		r := c.templates.get(c.seed, scatter(seq))
		r.dry, r.seq = true, seq
		defer func() {
			r.dry = false
			c.templates.put(r)
		}()
		if value, err = r.render(g.value); err != nil {
			return value, write, read, wrong("value", err)
		}
		r.vars = map[string]string{"key": key, "value": value}
		if write, err = r.rest(g.write, seq); err != nil {
			return value, write, read, within("write", err, "write")
		}
		if read, err = r.rest(g.read, seq); err != nil {
			err = within("read", err, "read")
		}
		return value, write, read, err
	}
	value, write, read, err := fill(0, "1")
	if err != nil {
		return err
	}
	again, same, _, err := fill(1, "1")
	if err != nil {
		return err
	}
	_, _, other, err := fill(0, "2")
	switch {
	case err != nil:
		return err
	case value == again:
		return fmt.Errorf("value: it is %q each time; use {{seq}} or {{uuid}}", value)
	case write.Path == same.Path && write.Body == same.Body:
		return errors.New("write: neither its path nor its body has the {{.value}}")
	case read.Path == other.Path:
		return errors.New("read: its path does not have the {{.key}}")
	}
	return nil
}

// Registers has several callers write and read a few registers at the same
// time, at the replicas directly and in no order, each caller one request after
// the other.
type Registers struct {
	Name, RunID string
	Source      *Source
	Places      []Place
	Keys        int // registers
	Callers     int
	// Pause is the mean wait of a caller between an answer and its next request.
	Pause   time.Duration
	For     time.Duration
	Timeout time.Duration
}

// writeShare is the part of the requests that write: a stale read needs a write
// before it, and other reads to be told from.
const writeShare = 0.3

// Run does so until its time is over or the context ends. Every request is
// recorded, and as a [journal.RegisterOp].
func (g Registers) Run(ctx context.Context, rec journal.Recorder) error {
	r, err := g.begin(rec)
	if err != nil {
		return fmt.Errorf("registers %q: %w", g.Name, err)
	}
	defer r.end()
	over := time.Now().Add(g.For)
	callers, ctx := errgroup.WithContext(ctx)
	for n := range g.Callers {
		callers.Go(func() error { return r.call(ctx, n, over) })
	}
	return callers.Wait()
}

// registering is such an operation under way.
type registering struct {
	Registers
	*direct
	keys []string
	seq  atomic.Uint64
}

func (g Registers) begin(rec journal.Recorder) (*registering, error) {
	if g.Source == nil || g.Source.registers == nil {
		return nil, errors.New("the traffic has no register")
	}
	if len(g.Places) == 0 || g.Keys < 1 || g.Callers < 2 {
		return nil, fmt.Errorf("%d replicas, %d registers and %d callers; all must be positive, the last 2 or more",
			len(g.Places), g.Keys, g.Callers)
	}
	keys, err := g.Source.registerKeys(g.Name, g.Keys)
	if err != nil {
		return nil, err
	}
	d, err := Attack{
		Name: g.Name, RunID: g.RunID, Source: g.Source, MaxInFlight: g.Callers, Timeout: g.Timeout,
	}.direct(g.Places, journal.Attack{
		Pacer: fmt.Sprintf("%d callers of %d registers", g.Callers, g.Keys), For: g.For,
	}, rec)
	if err != nil {
		return nil, err
	}
	return &registering{Registers: g, direct: d, keys: keys}, nil
}

// triesForKey bounds the draws for one more register that is not drawn yet.
const triesForKey = 50

// registerKeys draws the keys of different registers: as many as asked for, or
// as there are.
func (s *Source) registerKeys(attack string, n int) ([]string, error) {
	var keys []string
	known := map[string]bool{}
	for seq := uint64(0); len(keys) < n && seq < uint64(n*triesForKey); seq++ {
		key, err := s.renderRegister(s.registers.key, attack, seq)
		if err != nil {
			return nil, wrong("register: key", err)
		}
		if !known[key] {
			keys, known[key] = append(keys, key), true
		}
	}
	return keys, nil
}

func (s *Source) renderRegister(t text, attack string, seq uint64) (string, error) {
	r := s.templates.get(s.seed^stream(attack), scatter(seq))
	defer s.templates.put(r)
	r.seq = seq
	return r.render(t)
}

// call is one caller until the end of the time.
func (r *registering) call(ctx context.Context, caller int, over time.Time) error {
	seed := r.Source.seed ^ stream(r.Name)
	draws := rand.New(rand.NewPCG(seed, scatter(uint64(caller)))) //nolint:gosec // repeatable, not secret
	for {
		wait := time.Duration(2 * draws.Float64() * float64(r.Pause))
		next := time.Now().Add(wait)
		if !next.Before(over) {
			return nil
		}
		if err := sleepUntil(ctx, next); err != nil {
			return err
		}
		op := journal.RegisterOp{
			Caller: caller, Key: r.keys[draws.IntN(len(r.keys))], Write: draws.Float64() < writeShare,
		}
		if err := r.once(ctx, draws.IntN(len(r.engines)), op); err != nil {
			return err
		}
	}
}

// once writes or reads, and records what came back.
func (r *registering) once(ctx context.Context, place int, op journal.RegisterOp) error {
	op.Attack, op.Seq, op.Replica = r.Name, r.seq.Add(1)-1, r.Places[place].Name
	kind, written := r.Source.registers.read, ""
	var err error
	if op.Write {
		kind = r.Source.registers.write
		if written, err = r.Source.renderRegister(r.Source.registers.value, op.Attack, op.Seq); err != nil {
			return wrong("register: value", err)
		}
		op.Value = journal.Digest(written)
	}
	target, err := r.Source.registerTarget(kind, op.Key, written, op.Seq)
	if err != nil {
		return err
	}
	request, answer := r.send(ctx, place, target, op.Seq)
	op.Sent, op.Code, op.Err, op.Outcome = request.Sent, request.Code, request.Err, journal.UnknownOutcome
	switch absent := request.Code == http.StatusNotFound || request.Code == http.StatusGone; {
	case request.Err != "":
	case op.Write && request.OK, !op.Write && absent:
		op.Outcome = journal.Acknowledged
	case request.OK:
		op.Outcome = journal.Acknowledged
		op.Value = r.Source.registers.valueIn(answer)
	}
	r.rec.Record(journal.Entry{At: request.Done, On: op.Attack, Body: op})
	return nil
}

// registerTarget is a request for one register.
func (t *traffic) registerTarget(q *request, key, value string, seq uint64) (Target, error) {
	r := t.templates.get(t.seed, scatter(seq))
	defer t.templates.put(r)
	r.vars = map[string]string{"key": key, "value": value}
	return r.rest(q, seq)
}

// valueIn is the digest of the value in an answer; empty where it has none.
func (g *register) valueIn(answer []byte) string {
	document, err := oj.Parse(answer)
	if err != nil {
		return ""
	}
	value, _ := g.answer.from(document)
	return journal.Digest(value)
}
