package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Bandwidth limits the throughput of each connection of a proxied dependency.
//
// A ping cannot show a rate, so the tally is the evidence. Exercised: in the
// window at least half of what one connection may carry was carried, else the
// limit was never felt. In force: no more was carried than the limit allows on
// all connections that were open (with half as much again, and 64 KiB for each
// for what buffers held).
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
	if f.KilobytesPerSecond <= 0 {
		return nil, fmt.Errorf("bandwidth: kilobytes_per_second %d is not positive", f.KilobytesPerSecond)
	}
	return streams("bandwidth", f.Stream)
}

// Inject puts the limit in force.
func (f *Bandwidth) Inject(ctx context.Context, t Target) (Injection, error) {
	on, err := f.streams()
	if err != nil {
		return nil, err
	}
	return injectToxics(ctx, "bandwidth", t, on, "bandwidth", map[string]any{"rate": f.KilobytesPerSecond})
}

// slack is what a connection's buffers may add to what a limit allows.
const slack = 64 << 10

// Witness compares what was carried with what the limit allows.
func (f *Bandwidth) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	total, conns, span := s.carried(f.Stream)
	if span <= 0 {
		return notExercised("%q carried nothing in the window", target)
	}
	one := float64(f.KilobytesPerSecond) * 1000 * span
	most := one*1.5*conns + slack*conns
	switch {
	case total < one/2:
		return notExercised("%q carried %.0f bytes in %.1fs; the limit of %d kB/s was never felt",
			target, total, span, f.KilobytesPerSecond)
	case total > most:
		return notInForce("%q carried %.0f bytes in %.1fs on at most %.0f connections; %d kB/s each allow %.0f",
			target, total, span, conns, f.KilobytesPerSecond, most)
	}
	return nil
}

// carried is how many bytes went through a stream in the window, on how many
// connections at most, and in how many seconds.
func (s scene) carried(stream string) (total, conns, span float64) {
	var first, last *journal.Tally
	var from, to journal.Instant
	conns = 1
	for e, t := range journal.Of[journal.Tally](s.j) {
		if e.On != s.target || s.w.To != 0 && e.At >= s.w.To {
			continue
		}
		if first == nil || e.At < s.w.From {
			first, from = &t, max(e.At, s.w.From)
			continue
		}
		last, to = &t, e.At
		conns = max(conns, float64(t.Open), float64(first.Open)+float64(t.Conns-first.Conns))
	}
	if first == nil || last == nil {
		return 0, conns, 0
	}
	down, up := float64(last.DownBytes-first.DownBytes), float64(last.UpBytes-first.UpBytes)
	switch stream {
	case Upstream:
		total = up
	case Downstream:
		total = down
	default:
		total = max(up, down)
	}
	return total, conns, to.Sub(from).Seconds()
}
