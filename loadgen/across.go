package loadgen

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ohler55/ojg/oj"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ReadAcross writes at each replica in turns, and reads what was written at
// every other one: by the traffic's GET requests that pick what the write's
// answer gives to capture.
type ReadAcross struct {
	Name, RunID string
	Source      *Source
	Places      []Place
	Writes      int
	// For is the time that the writes are spread over.
	For     time.Duration
	Timeout time.Duration
}

// Run does so until all writes are done or the context ends. Writes and reads
// are recorded as requests, writes for the ledger too, and each read as a
// [journal.CrossRead].
func (a ReadAcross) Run(ctx context.Context, rec journal.Recorder) error {
	r, err := a.begin(rec)
	if err != nil {
		return fmt.Errorf("read across %q: %w", a.Name, err)
	}
	defer r.end()
	start := time.Now()
	for n := range a.Writes {
		if err := sleepUntil(ctx, start.Add(a.For*time.Duration(n)/time.Duration(a.Writes))); err != nil {
			return err
		}
		if err := r.once(ctx, uint64(n)); err != nil {
			return fmt.Errorf("read across %q: %w", a.Name, err)
		}
	}
	return nil
}

// across is such a series under way.
type across struct {
	ReadAcross
	*direct
	writes *Source
	reads  []*request
	seq    uint64
}

func (a ReadAcross) begin(rec journal.Recorder) (*across, error) {
	if len(a.Places) < 2 || a.Writes < 1 {
		return nil, fmt.Errorf("%d writes at %d replicas; there must be a write, and two replicas", a.Writes, len(a.Places))
	}
	var writes, reads []*request
	for _, q := range a.Source.requests {
		if len(q.takes) > 0 && q.method != http.MethodGet && !a.Source.waits(q) {
			writes = append(writes, q)
		}
	}
	for _, q := range a.Source.requests {
		if q.method == http.MethodGet && len(q.needs) > 0 &&
			slices.ContainsFunc(writes, func(w *request) bool { return w.gives(q) }) {
			reads = append(reads, q)
		}
	}
	if len(reads) == 0 {
		return nil, fmt.Errorf("no GET request of the traffic picks what a write captures, such as " +
			`capture: {id: $.id} and path: /orders/{{pick "id"}}`)
	}
	d, err := Attack{
		Name: a.Name, RunID: a.RunID, Source: a.Source, MaxInFlight: 1, Timeout: a.Timeout,
	}.direct(a.Places, journal.Attack{
		Pacer: fmt.Sprintf("%d writes, each read at all other replicas", a.Writes), For: a.For,
	}, rec)
	if err != nil {
		return nil, err
	}
	return &across{ReadAcross: a, direct: d, writes: withWeights(a.Source.traffic, writes), reads: reads}, nil
}

// gives reports whether a request's answer gives all that another one picks.
func (q *request) gives(other *request) bool {
	return !slices.ContainsFunc(other.needs, func(name string) bool { return q.Capture[name] == "" })
}

// once writes at one replica and reads at all others.
func (a *across) once(ctx context.Context, n uint64) error {
	writer := int(n % uint64(len(a.engines)))
	target, err := a.writes.Target(a.Name, n)
	if err != nil {
		return err
	}
	request, answer := a.next(ctx, writer, target)
	a.engines[writer].ledger(request, target, answer)
	if !request.OK {
		return nil // that the write failed is in the request
	}
	document, err := oj.Parse(answer)
	if err != nil {
		return nil //nolint:nilerr // an answer that is no JSON gives nothing to read
	}
	given := map[string]string{}
	for _, c := range target.request.takes {
		if value, ok := c.from(document); ok {
			given[c.name] = value
		}
	}
	for reader := range a.engines {
		for _, q := range a.reads {
			if reader == writer || !target.request.gives(q) {
				continue
			}
			if err := a.read(ctx, writer, reader, q, given); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *across) read(ctx context.Context, writer, reader int, q *request, given map[string]string) error {
	target, err := a.Source.picking(q, a.seq, given)
	if err != nil {
		return err
	}
	request, _ := a.next(ctx, reader, target)
	a.rec.Record(journal.Entry{At: request.Done, On: a.Name, Body: journal.CrossRead{
		Writer: a.Places[writer].Name, Reader: a.Places[reader].Name, Route: q.Name, Attack: a.Name, Seq: request.Seq,
		OK: request.OK, Code: request.Code, Err: request.Err,
	}})
	return nil
}

// next sends the next request.
func (a *across) next(ctx context.Context, place int, t Target) (journal.Request, []byte) {
	seq := a.seq
	a.seq++
	return a.send(ctx, place, t, seq)
}

// picking is the target of a request that picks given values.
func (s *Source) picking(q *request, seq uint64, given map[string]string) (Target, error) {
	r := s.templates.get(s.seed, scatter(seq))
	r.picked = given
	defer func() {
		r.picked = nil
		s.templates.put(r)
	}()
	return r.target(q, seq)
}
