package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Bandwidth limits the throughput of each connection of a proxied dependency.
//
// A ping cannot show a rate, so the toxic's own count of chunks that the limit
// held up by 10 ms or more is the evidence: in force and exercised when there
// were more in the window than our round trips account for. A limit that the
// traffic never felt was not exercised.
type Bandwidth struct {
	// KilobytesPerSecond is the limit of each connection and stream, in 1000
	// bytes a second. Default 64.
	KilobytesPerSecond int64 `yaml:"kilobytes_per_second" json:"kilobytes_per_second,omitempty"`
	// Stream is downstream (default), upstream or both.
	Stream string `yaml:"stream" json:"stream,omitempty"`
}

var _ = register("bandwidth", func() Fault { return &Bandwidth{KilobytesPerSecond: 64, Stream: Downstream} })

// String is the fault in one line.
func (f *Bandwidth) String() string {
	return fmt.Sprintf("bandwidth %d kB/s, %s", f.KilobytesPerSecond, f.Stream)
}

// Supports wants a proxied dependency and a positive rate.
func (f *Bandwidth) Supports(t Target) error {
	if _, err := proxied("bandwidth", t); err != nil {
		return err
	}
	_, err := f.streams()
	return err
}

func (f *Bandwidth) streams() ([]string, error) {
	if f.KilobytesPerSecond <= 0 || f.KilobytesPerSecond > 1<<30 {
		return nil, fmt.Errorf("bandwidth: kilobytes_per_second %d is not between 1 and 2^30", f.KilobytesPerSecond)
	}
	return streams("bandwidth", f.Stream)
}

// Inject puts the limit in force.
func (f *Bandwidth) Inject(ctx context.Context, t Target) (Injection, error) {
	on, err := f.streams()
	if err != nil {
		return nil, err
	}
	return injectToxics(ctx, "bandwidth", t, on, bandwidthToxic, map[string]any{"rate": f.KilobytesPerSecond * 1000})
}

// Witness counts chunks that were held up.
func (f *Bandwidth) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	long := func(t trip) bool { return f.takes(max(t.Up, t.Down)) >= felt }
	count, ours := s.counts(long, long)
	if count <= ours {
		return notExercised("%d chunks on %q were held up by the limit of %d kB/s, and %d of our own may account for them",
			count, target, f.KilobytesPerSecond, ours)
	}
	return nil
}

func (f *Bandwidth) takes(bytes int) time.Duration {
	return time.Duration(bytes) * time.Second / time.Duration(f.KilobytesPerSecond*1000)
}

const (
	bandwidthToxic = OwnToxics + "bandwidth"
	felt           = 10 * time.Millisecond
	pieceTime      = 50 * time.Millisecond // long chunks go in pieces that take so long
)

func init() { toxics.Register(bandwidthToxic, new(bandwidth)) }

// bandwidth is Toxiproxy's bandwidth, in bytes, counted, and removed without a
// wait.
type bandwidth struct {
	counted
	Rate int64 `json:"rate"` // bytes a second
}

type bandwidthState struct {
	pieces
	free time.Time // when the link has carried what was sent over it
}

// NewState is called once for every link.
func (*bandwidth) NewState() any { return new(bandwidthState) }

// Pipe limits until the link is closed or interrupted.
func (t *bandwidth) Pipe(stub *toxics.ToxicStub) {
	state := stub.State.(*bandwidthState)
	piece := int(max(t.Rate*int64(pieceTime)/int64(time.Second), 1))
	for state.pass(stub) {
		if state.rest == nil {
			c := next(stub)
			if c == nil {
				return
			}
			if t.takes(len(c.Data)) >= felt {
				t.count()
			}
			state.rest, state.free = c, time.Now()
		}
		timer := time.NewTimer(time.Until(state.free.Add(t.takes(min(piece, len(state.rest.Data))))))
		select {
		case <-timer.C:
			state.slice(piece)
			state.free = time.Now()
		case <-stub.Interrupt:
			timer.Stop()
			return
		}
	}
}

func (t *bandwidth) takes(n int) time.Duration {
	return time.Duration(float64(n) / float64(t.Rate) * float64(time.Second))
}

// Cleanup hands over what is held.
func (*bandwidth) Cleanup(stub *toxics.ToxicStub) { stub.State.(*bandwidthState).leaveAll(stub) }
