package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// OwnToxics begins the type names of the toxics of this package. The agent adds
// the attribute "counter" to them, which names what they count in.
const OwnToxics = "seatrial_"

// Streams of a proxy. Both is understood by faults only.
const (
	Upstream   = "upstream"   // from the service to the dependency
	Downstream = "downstream" // from the dependency to the service
	Both       = "both"
)

var shaped sync.Map // string to *atomic.Uint64

// Shaped is the count of what the toxics of this package did under a counter's
// name in this process: chunks delayed, held or sliced, closes delayed,
// connections cut short.
func Shaped(counter string) *atomic.Uint64 {
	v, _ := shaped.LoadOrStore(counter, new(atomic.Uint64))
	return v.(*atomic.Uint64)
}

// ForgetShaped drops a counter.
func ForgetShaped(counter string) { shaped.Delete(counter) }

// counted is the part that all toxics of this package have in common.
type counted struct {
	Counter string `json:"counter"`
}

func (c counted) count() { Shaped(c.Counter).Add(1) }

// next waits for a link's next chunk; nil when the toxic was interrupted, and at
// the input's end, which it passes on.
func next(stub *toxics.ToxicStub) *stream.StreamChunk {
	select {
	case <-stub.Interrupt:
		return nil
	case c := <-stub.Input:
		if c == nil {
			stub.Close()
		}
		return c
	}
}

// carried is one link's chunk on its way to a reader that may not read. A
// toxic that is interrupted keeps it, so that Toxiproxy's API does not wait.
type carried struct{ chunk *stream.StreamChunk }

// pass hands the chunk on; false means that the toxic was interrupted.
func (c *carried) pass(stub *toxics.ToxicStub) bool {
	if c.chunk == nil {
		return true
	}
	select {
	case <-stub.Interrupt:
		return false
	case stub.Output <- c.chunk:
		c.chunk = nil
		return true
	}
}

// patience is how long a toxic that is being removed waits for a reader.
const patience = 250 * time.Millisecond

// leave hands the chunk on before the toxic is removed. A reader that does not
// come is cut off: waiting for it is what wedges Toxiproxy.
func (c *carried) leave(stub *toxics.ToxicStub) {
	if c.chunk == nil {
		return
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case stub.Output <- c.chunk:
		c.chunk = nil
	case <-t.C:
		end(stub)
	}
}

// pieces is a chunk that goes on in pieces.
type pieces struct {
	carried
	rest *stream.StreamChunk // what is left of it
}

// slice takes the next piece off what is left.
func (s *pieces) slice(n int) {
	c := s.rest
	n = min(n, len(c.Data))
	s.chunk = &stream.StreamChunk{Data: c.Data[:n], Timestamp: c.Timestamp}
	s.rest = &stream.StreamChunk{Data: c.Data[n:], Timestamp: c.Timestamp}
	if len(s.rest.Data) == 0 {
		s.rest = nil
	}
}

// leaveAll hands everything on before the toxic is removed.
func (s *pieces) leaveAll(stub *toxics.ToxicStub) {
	if s.rest != nil {
		if s.chunk != nil {
			s.rest.Data = append(append([]byte(nil), s.chunk.Data...), s.rest.Data...)
		}
		s.chunk, s.rest = s.rest, nil
	}
	s.leave(stub)
}

// end closes a stub before its input has ended, and lets what stands before it
// run dry.
func end(stub *toxics.ToxicStub) {
	stub.Close()
	go func() {
		for c := <-stub.Input; c != nil; c = <-stub.Input {
			continue
		}
	}()
}

// proxied says why a target is not a proxied one.
func proxied(kind string, t Target) (Proxied, error) {
	p, ok := t.(Proxied)
	if !ok {
		return nil, fmt.Errorf("%s: %q (%s) is not behind a proxy", kind, t.Name(), t.Kind())
	}
	return p, nil
}

// streams is the list that a stream parameter stands for.
func streams(kind, s string) ([]string, error) {
	switch s {
	case Upstream, Downstream:
		return []string{s}, nil
	case Both:
		return []string{Upstream, Downstream}, nil
	}
	return nil, fmt.Errorf("%s: stream %q is not upstream, downstream or both", kind, s)
}

// injectToxics adds one toxic for each stream; on error none is left.
func injectToxics(ctx context.Context, kind string, t Target, on []string, typ string, attributes map[string]any) (
	Injection, error,
) {
	p, err := proxied(kind, t)
	if err != nil {
		return nil, err
	}
	u := new(undo)
	name := unique(strings.TrimPrefix(kind, OwnToxics))
	for _, s := range on {
		toxic := Toxic{Name: name + "-" + s, Type: typ, Stream: s, Toxicity: 1, Attributes: attributes}
		// Also after an error the toxic may be there: the answer may be late.
		u.add(func(ctx context.Context) error { return p.RemoveToxic(ctx, toxic.Name) })
		if err := p.AddToxic(ctx, toxic); err != nil {
			return nil, u.fail(ctx, fmt.Errorf("%s: %w", kind, err))
		}
	}
	return u, nil
}
