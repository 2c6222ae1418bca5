package detect

import "github.com/seatrial/seatrial/experiments/journal"

// carried finds the hits that calls were made for while requests are read one
// by one: by our request id, else by our trace id, whichever the service passed
// on. It keeps what the calls carried, and nothing of the requests.
type carried[T any] struct {
	header journal.Header
	ids    map[string]*T
	traces map[[16]byte]*T
	id     []byte // of the hit that is asked for; kept for the next
}

func newCarried[T any](h journal.Header) *carried[T] {
	return &carried[T]{header: h, ids: map[string]*T{}, traces: map[[16]byte]*T{}}
}

// by is what is known of the hit that a call was made for, the same for all
// calls that carry the same mark; nil when the call carries none.
func (c *carried[T]) by(call journal.Call) *T {
	if id := byRequestID.mark(c.header.Run, call); id != "" {
		return known(c.ids, id)
	}
	context, ok := call.TraceContext(c.header.TraceFormat)
	if !ok {
		return nil
	}
	return known(c.traces, context.Trace)
}

// of are what is known of a hit by its id and by its trace; nil where no call
// carried that. A trace id is worked out only where calls carry no ids.
func (c *carried[T]) of(r journal.Request) (byID, byTrace *T) {
	c.id = journal.AppendRequestID(c.id[:0], c.header.Run, r.Attack, r.Seq)
	byID = c.ids[string(c.id)]
	if len(c.traces) > 0 {
		byTrace = c.traces[c.header.HitTrace(r.Attack, r.Seq).Trace]
	}
	return byID, byTrace
}

func known[K comparable, T any](all map[K]*T, key K) *T {
	if all[key] == nil {
		all[key] = new(T)
	}
	return all[key]
}
