package faults

import (
	"context"
	"fmt"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"

	"github.com/seatrial/seatrial/experiments/journal"
)

// LimitData lets a number of bytes through each connection of a proxied
// dependency and then closes it, in the middle of a message if need be.
// Connections that are already open count from the injection.
//
// A ping may be shorter than the limit, so the toxic's own count of connections
// that it closed is the evidence: in force and exercised when there were more
// in the window than our round trips account for.
type LimitData struct {
	// Bytes is what each connection may carry. Default 1024.
	Bytes int64 `yaml:"bytes" json:"bytes,omitempty"`
	// Stream is downstream (default), upstream or both.
	Stream string `yaml:"stream" json:"stream,omitempty"`
}

var _ = register("limit_data", func() Fault { return &LimitData{Bytes: 1024, Stream: Downstream} })

// String is the fault in one line.
func (f *LimitData) String() string {
	return fmt.Sprintf("cut after %d bytes, %s", f.Bytes, f.Stream)
}

// Supports wants a proxied dependency and a limit that is not negative.
func (f *LimitData) Supports(t Target) error {
	if _, err := proxied("limit_data", t); err != nil {
		return err
	}
	_, err := f.streams()
	return err
}

func (f *LimitData) streams() ([]string, error) {
	if f.Bytes < 0 {
		return nil, fmt.Errorf("limit_data: bytes %d is negative", f.Bytes)
	}
	return streams("limit_data", f.Stream)
}

// Inject limits.
func (f *LimitData) Inject(ctx context.Context, t Target) (Injection, error) {
	on, err := f.streams()
	if err != nil {
		return nil, err
	}
	return injectToxics(ctx, "limit_data", t, on, limitToxic, map[string]any{"bytes": f.Bytes})
}

// Witness counts connections that were cut.
func (f *LimitData) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	cut, ours := s.counts(func(t trip) bool {
		return int64(t.Up) >= f.Bytes || int64(t.Down) >= f.Bytes || t.Err != ""
	})
	if f.Stream == Both {
		ours *= 2
	}
	if cut <= ours {
		return notExercised("%d connections of %q reached %d bytes, and %d round trips of our own may account for them",
			cut, target, f.Bytes, ours)
	}
	return nil
}

const limitToxic = OwnToxics + "limit_data"

func init() { toxics.Register(limitToxic, new(limitData)) }

// limitData is Toxiproxy's limit_data, counted, removed without a wait, and
// without leaving readers behind.
type limitData struct {
	counted
	Bytes int64 `json:"bytes"`
}

type limitState struct {
	carried
	sent int64
}

// NewState is called once for every link.
func (*limitData) NewState() any { return new(limitState) }

// Pipe passes data on until the limit is reached.
func (t *limitData) Pipe(stub *toxics.ToxicStub) {
	state := stub.State.(*limitState)
	for state.pass(stub) {
		if state.sent >= t.Bytes {
			t.count()
			end(stub)
			return
		}
		c := next(stub)
		if c == nil {
			return
		}
		n := min(int64(len(c.Data)), t.Bytes-state.sent)
		state.sent += n
		state.chunk = &stream.StreamChunk{Data: c.Data[:n], Timestamp: c.Timestamp}
	}
}

// Cleanup hands over what is held. What was cut off a chunk is lost, and with
// it the connection.
func (t *limitData) Cleanup(stub *toxics.ToxicStub) {
	state := stub.State.(*limitState)
	state.leave(stub)
	if state.sent >= t.Bytes && !stub.Closed() {
		end(stub)
	}
}
