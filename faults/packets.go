package faults

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Packets says what becomes of packets on their way out of a target. The zero
// value leaves them alone.
type Packets struct {
	Loss        float64       `json:"loss,omitempty"` // shares, 0 to 1
	Duplication float64       `json:"duplication,omitempty"`
	Corruption  float64       `json:"corruption,omitempty"`
	Delay       time.Duration `json:"delay,omitempty"`
	Jitter      time.Duration `json:"jitter,omitempty"`
}

// Networked is a target with a network of its own, whose packets can be
// disturbed.
type Networked interface {
	Target
	// Disturb disturbs all packets that leave the target, answers to us
	// included, until the disturbance is ended. An error that wraps
	// [ErrNotHere] says that the kernel cannot.
	Disturb(context.Context, Packets) (Disturbance, error)
}

// Disturbance is packets being disturbed.
type Disturbance interface {
	// End ends it and returns what the kernel counted. Called again, it returns
	// the same.
	End(context.Context) (journal.PacketCount, error)
}

// Disturbing is a fault that disturbs packets.
type Disturbing interface {
	Fault
	// Packets is what it does to them.
	Packets() Packets
}

// networked says why a target has no network of its own.
func networked(kind string, t Target) (Networked, error) {
	n, ok := t.(Networked)
	if ok {
		return n, nil
	}
	if _, process := t.(Signalled); process {
		return nil, fmt.Errorf("%s: %w: %q is a process, and only a container has a network of its own; use "+
			"environment: docker, or latency, bandwidth and blackhole on dependencies", kind, ErrNotHere, t.Name())
	}
	return nil, fmt.Errorf("%s: %q (%s) is not a container whose packets can be disturbed", kind, t.Name(), t.Kind())
}

// supportsShare says why no such share of a target's packets can be disturbed.
func supportsShare(kind string, ratio float64, t Target) error {
	if ratio <= 0 || ratio > 1 {
		return fmt.Errorf("%s: ratio %g is not above 0 and at most 1", kind, ratio)
	}
	_, err := networked(kind, t)
	return err
}

// disturbing is packets disturbed by an injection.
type disturbing struct {
	undo
	target Networked
	since  time.Time
	count  journal.PacketCount
	known  bool
}

func disturb(ctx context.Context, kind string, t Target, p Packets) (Injection, error) {
	n, err := networked(kind, t)
	if err != nil {
		return nil, err
	}
	d, err := n.Disturb(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	i := &disturbing{target: n, since: time.Now()}
	i.add(func(ctx context.Context) error {
		count, err := d.End(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		i.count, i.known = count, true
		return nil
	})
	return i, nil
}

// Report records what the kernel counted.
func (i *disturbing) Report(rec journal.Recorder) {
	if i.known {
		rec.Record(journal.Entry{At: rec.Now().Add(-time.Since(i.since)), On: i.target.Name(), Body: i.count})
		i.known = false
	}
}

// packets is what the kernel counted of the packets of an injection.
func (s scene) packets() (count journal.PacketCount, err error) {
	found := false
	for e, c := range journal.Of[journal.PacketCount](s.j) {
		if e.On == s.target && s.around(justSoon).Contains(e.At) {
			count, found = c, true
		}
	}
	switch {
	case !found:
		return count, notInForce("the kernel counted no packets of %q", s.target)
	case count.Sent == 0:
		return count, notExercised("no packet left %q in the window", s.target)
	}
	return count, nil
}

// fewest is how many packets are to be expected to meet a disturbance before it
// means something that none did.
const fewest = 5

// met says whether a share of the packets met a disturbance, which TCP noticed.
func (s scene) met(ratio float64, how string, noticed func(journal.PacketCount) uint64) error {
	count, err := s.packets()
	if err != nil {
		return err
	}
	switch {
	case noticed(count) > 0:
		return s.hit()
	case float64(count.Sent)*ratio < fewest:
		return notExercised("only %d packets left %q, too few for one to be %s", count.Sent, s.target, how)
	}
	return notInForce("%d packets left %q, and TCP noticed none that was %s", count.Sent, s.target, how)
}

// slower says whether what the target answers took longer in the window.
func (s scene) slower(by time.Duration) error {
	before, ok := s.answered(s.before())
	during, some := s.answered(s.w)
	if !ok || !some {
		return notInForce("no poll and no round trip of %q was answered both before and in the window", s.target)
	}
	if need := before + by*7/10; during < need {
		return notInForce("%q took %v (median) to answer, %v before; at least %v was to be seen",
			s.target, round(during), round(before), round(need))
	}
	return nil
}

// answered is the median time that a target's answers took: polls of a replica,
// round trips of a dependency. Those that a revert cut short are left out.
func (s scene) answered(w journal.Window) (time.Duration, bool) {
	if !s.replica() {
		return medianTrip(finished(spoken(s.trips(w)), w))
	}
	var took []time.Duration
	for e, p := range journal.Of[journal.Poll](s.j) {
		if e.On == s.target && w.Contains(e.At) && p.Code != 0 && (w.To == 0 || e.At.Add(p.Took) <= w.To) {
			took = append(took, p.Took)
		}
	}
	if len(took) == 0 {
		return 0, false
	}
	slices.Sort(took)
	return took[(len(took)-1)/2], true
}

var _ Reporter = (*disturbing)(nil)
