package loadgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ohler55/ojg/jp"
	"github.com/ohler55/ojg/oj"
	"golang.org/x/sync/errgroup"

	"github.com/seatrial/seatrial/experiments/journal"
)

// readBack is the compiled route by which writes are found again.
type readBack struct {
	request   *request
	byID      bool // a write whose answer is not known cannot be asked for
	items     jp.Expr
	id, value *capture
}

// readRoute makes a read route ready.
func (c *compiler) readRoute(r ReadRoute) (*readBack, error) {
	q := &request{Request: Request{Name: "ledger.read", Path: r.Path}, method: http.MethodGet}
	b := &readBack{request: q, byID: strings.Contains(r.Path, ".id")}
	for _, part := range []func(*request) error{c.parsePathAndBody, c.parseHeaders, c.parseSuccess} {
		if err := part(q); err != nil {
			return nil, err
		}
	}
	for _, p := range []struct {
		name, path string
		into       **capture
	}{{"id", r.ID, &b.id}, {"value", r.Value, &b.value}} {
		if p.path == "" {
			continue
		}
		taken, err := newCapture(p.name, p.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		*p.into = &taken
	}
	if r.Items != "" {
		var err error
		if b.items, err = jp.ParseString(r.Items); err != nil {
			return nil, fmt.Errorf("items: %q is no JSONPath such as $.orders[*]", r.Items)
		}
	}
	_, err := c.lookUp(b, journal.Write{Key: "1", ID: "1"}, true)
	return b, err
}

// lookUp is the request that finds a write again.
func (t *traffic) lookUp(b *readBack, w journal.Write, dry bool) (Target, error) {
	r := t.templates.get(t.seed, 0)
	r.dry = dry
	defer func() {
		r.dry = false
		t.templates.put(r)
	}()
	r.vars = map[string]string{"key": w.Key, "id": w.ID}
	return r.rest(b.request, 0)
}

// Read-back of a write: how many are asked for at a time, how often a read that
// was refused or not answered is tried, and the wait before it is tried again.
const (
	readsAtOnce = 8
	readTries   = 5
	readPause   = 200 * time.Millisecond
)

// ReadBack asks a service for writes by the traffic's read route, and returns
// what is stored of each. Writes without an id are left out where the route
// needs one. A read that is not answered in any of five tries is an error: then
// nothing can be called lost.
func (s *Source) ReadBack(ctx context.Context, base, run string, writes []journal.Write) ([]journal.Stored, error) {
	b := s.readBack
	if b == nil {
		return nil, errors.New("the traffic has no route to read writes from")
	}
	timeout := orTimeout(s.timeout)
	e, err := Attack{
		Name: "ledger", RunID: run, Source: s, BaseURL: base, Timeout: timeout, MaxInFlight: readsAtOnce,
	}.engine(nil)
	if err != nil {
		return nil, err
	}
	defer e.trans.CloseIdleConnections()
	var mu sync.Mutex
	var found []journal.Stored
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for n, w := range writes {
		if b.byID && w.ID == "" {
			continue
		}
		group.Go(func() error {
			stored, err := e.readWrite(ctx, b, w, uint64(n))
			if err != nil {
				return fmt.Errorf("read write %s: %w", w.Key, err)
			}
			mu.Lock()
			defer mu.Unlock()
			found = append(found, stored)
			return nil
		})
	}
	return found, group.Wait()
}

// readWrite asks for one write, again where the service cannot tell.
func (e *engine) readWrite(ctx context.Context, b *readBack, w journal.Write, seq uint64) (journal.Stored, error) {
	stored := journal.Stored{Key: w.Key}
	t, err := e.source.lookUp(b, w, false)
	if err != nil {
		return stored, err
	}
	for try := 1; ; try++ {
		code, body, err := e.readOnce(ctx, t, seq)
		switch {
		case err == nil && (code == http.StatusNotFound || code == http.StatusGone):
			return stored, nil
		case err == nil && b.request.ok.has(code):
			return stored, b.take(body, &stored)
		case err == nil:
			err = fmt.Errorf("GET %s answered %d: %s", t.Path, code, beginning(body))
		}
		if try == readTries {
			return stored, err
		}
		if ended := sleepUntil(ctx, time.Now().Add(readPause)); ended != nil {
			return stored, errors.Join(err, ended)
		}
	}
}

func (e *engine) readOnce(ctx context.Context, t Target, seq uint64) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, e.client.Timeout)
	defer cancel()
	req, err := e.request(ctx, t.clone(), hit{seq: seq})
	if err != nil {
		return 0, nil, err
	}
	resp, err := e.trans.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, keptBytes))
	return resp.StatusCode, body, err
}

// take counts what an answer lists as stored.
func (b *readBack) take(body []byte, stored *journal.Stored) error {
	document, err := oj.Parse(body)
	if err != nil {
		if b.items == nil && b.id == nil && b.value == nil {
			stored.Count = 1
			return nil
		}
		return fmt.Errorf("the answer is no JSON: %s", beginning(body))
	}
	items := []any{document}
	if b.items != nil {
		items = b.items.Get(document)
	}
	stored.Count = len(items)
	if len(items) == 0 {
		return nil
	}
	if b.id != nil {
		stored.ID, _ = b.id.from(items[0])
	}
	if b.value != nil {
		value, _ := b.value.from(items[0])
		stored.Value = journal.Digest(value)
	}
	return nil
}
