package faults

import (
	"context"
	"fmt"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Slicer cuts the data of a proxied dependency into small pieces with a pause
// after each, so that messages arrive in parts.
//
// A ping may be too short to be sliced, so the toxic's own count is the
// evidence: in force and exercised when more chunks were sliced in the window
// than our round trips account for. Data passed but none was longer than a slice:
// not exercised.
type Slicer struct {
	// SliceBytes is the size of a piece. Default 16.
	SliceBytes int `yaml:"slice_bytes" json:"slice_bytes,omitempty"`
	// Pause is how long is waited after each piece. Default 1ms.
	Pause time.Duration `yaml:"pause" json:"pause,omitempty"`
	// Stream is downstream (default), upstream or both.
	Stream string `yaml:"stream" json:"stream,omitempty"`
}

var _ = register("slicer", func() Fault {
	return &Slicer{SliceBytes: 16, Pause: time.Millisecond, Stream: Downstream}
})

// String is the fault in one line.
func (f *Slicer) String() string {
	return fmt.Sprintf("slices of %d bytes every %v, %s", f.SliceBytes, f.Pause, f.Stream)
}

// Supports wants a proxied dependency and a positive size.
func (f *Slicer) Supports(t Target) error {
	if _, err := proxied("slicer", t); err != nil {
		return err
	}
	_, err := f.streams()
	return err
}

func (f *Slicer) streams() ([]string, error) {
	if f.SliceBytes <= 0 || f.Pause < 0 {
		return nil, fmt.Errorf("slicer: slice_bytes %d is not positive or pause %v is negative", f.SliceBytes, f.Pause)
	}
	return streams("slicer", f.Stream)
}

// Inject slices.
func (f *Slicer) Inject(ctx context.Context, t Target) (Injection, error) {
	on, err := f.streams()
	if err != nil {
		return nil, err
	}
	return injectToxics(ctx, "slicer", t, on, slicerToxic, map[string]any{"bytes": f.SliceBytes, "pause": f.Pause})
}

// Witness counts sliced chunks.
func (f *Slicer) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	count, ours := s.counts(
		func(t trip) bool { return t.Up > f.SliceBytes || t.Err != "" },
		func(t trip) bool { return t.Down > f.SliceBytes || t.Err != "" },
	)
	if count <= ours {
		return notExercised("%d chunks on %q were sliced, and our own round trips may account for %d of them",
			count, target, ours)
	}
	return nil
}

const slicerToxic = OwnToxics + "slicer"

func init() { toxics.Register(slicerToxic, new(slicer)) }

// slicer is Toxiproxy's slicer, counted, and removed without a wait.
type slicer struct {
	counted
	Bytes int           `json:"bytes"`
	Pause time.Duration `json:"pause"`
}

// NewState is called once for every link.
func (*slicer) NewState() any { return new(pieces) }

// Pipe slices until the link is closed or interrupted.
func (t *slicer) Pipe(stub *toxics.ToxicStub) {
	state := stub.State.(*pieces)
	for state.pass(stub) {
		if state.rest != nil {
			timer := time.NewTimer(t.Pause)
			select {
			case <-timer.C:
				state.slice(t.Bytes)
				continue
			case <-stub.Interrupt:
				timer.Stop()
				return
			}
		}
		c := next(stub)
		if c == nil {
			return
		}
		if len(c.Data) > t.Bytes {
			t.count()
		}
		state.rest = c
		state.slice(t.Bytes)
	}
}

// Cleanup hands over what is held.
func (*slicer) Cleanup(stub *toxics.ToxicStub) { stub.State.(*pieces).leaveAll(stub) }
