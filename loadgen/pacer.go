package loadgen

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Pacer is the plan of an attack: when each hit is due. It knows no clock.
type Pacer interface {
	// Due returns when hit seq (from 0) is due, since the attack's t0; false
	// when the plan has no such hit. Hit 0 is due at 0.
	Due(seq uint64) (time.Duration, bool)
	// Hits is how many hits the plan has.
	Hits() uint64
	// Length is how long the plan lasts; the last hit may be due before it.
	Length() time.Duration
	// String is the plan in words, such as "50/s for 10s".
	String() string
}

// profile is a rate that changes linearly within each of its segments. A hit
// is due when the integral of the rate reaches its number.
type profile struct {
	words    string
	segments []segment
	hits     uint64
	length   time.Duration
}

type segment struct {
	from, to float64 // hits a second at its ends
	start    time.Duration
	length   time.Duration
	before   float64 // hits due before it
}

// hits is the integral of the rate over the segment.
func (s segment) hits() float64 { return (s.from + s.to) / 2 * s.length.Seconds() }

// Constant is a plan of rate hits a second.
func Constant(rate float64, length time.Duration) Pacer {
	p := newProfile(segment{from: rate, to: rate, length: length})
	p.words = fmt.Sprintf("%s/s for %v", number(rate), length)
	return p
}

// Count is a plan of n hits sent evenly over a length; at once when that is
// zero.
func Count(n int, over time.Duration) Pacer {
	if over <= 0 {
		return burst(n)
	}
	p := newProfile(segment{from: float64(n) / over.Seconds(), to: float64(n) / over.Seconds(), length: over})
	p.words = fmt.Sprintf("%d hits over %v", n, over)
	return p
}

// Ramp is a plan whose rate changes linearly.
func Ramp(from, to float64, length time.Duration) Pacer {
	p := newProfile(segment{from: from, to: to, length: length})
	p.words = fmt.Sprintf("%s/s to %s/s over %v", number(from), number(to), length)
	return p
}

// Steps is a plan of n equally long and equally high steps, the first at the
// rate from, the last at the rate to. One step is a constant rate of from.
func Steps(from, to float64, n int, length time.Duration) Pacer {
	n = max(n, 1)
	segments := make([]segment, n)
	for i := range segments {
		rate := from
		if n > 1 {
			rate += (to - from) * float64(i) / float64(n-1)
		}
		// Lengths are differences of multiples, so that they add up exactly.
		start, end := length*time.Duration(i)/time.Duration(n), length*time.Duration(i+1)/time.Duration(n)
		segments[i] = segment{from: rate, to: rate, length: end - start}
	}
	p := newProfile(segments...)
	p.words = fmt.Sprintf("%s/s to %s/s in %d steps over %v", number(from), number(to), n, length)
	return p
}

// Spike is a plan of a constant rate with the rate height in its middle third.
func Spike(rate, height float64, length time.Duration) Pacer {
	return SpikeAt(rate, height, length/3, length/3, length)
}

// SpikeAt is a plan of a constant rate that jumps to height at an instant and
// stays there for a while.
func SpikeAt(rate, height float64, at, stays, length time.Duration) Pacer {
	at = min(at, length)
	stays = min(stays, length-at)
	p := newProfile(
		segment{from: rate, to: rate, length: at},
		segment{from: height, to: height, length: stays},
		segment{from: rate, to: rate, length: length - at - stays},
	)
	p.words = fmt.Sprintf("%s/s for %v, with %s/s for %v from %v", number(rate), length, number(height), stays, at)
	return p
}

// almost absorbs the rounding of sums of products: a hit due within a
// billionth of a hit after the end is not part of the plan.
const almost = 1e-9

func newProfile(segments ...segment) *profile {
	p := &profile{}
	sum := 0.0
	for _, s := range segments {
		if s.length <= 0 {
			continue
		}
		s.from, s.to = max(s.from, 0), max(s.to, 0)
		s.start, s.before = p.length, sum
		sum += s.hits()
		p.length += s.length
		p.segments = append(p.segments, s)
	}
	p.hits = uint64(math.Ceil(sum * (1 - almost)))
	return p
}

// Hits is the integral of the rate, rounded up: the first hit is due at 0.
func (p *profile) Hits() uint64 { return p.hits }

// Length is the sum of the segments'.
func (p *profile) Length() time.Duration { return p.length }

// String is the plan as its maker put it.
func (p *profile) String() string { return p.words }

// Due finds the hit's segment and asks it.
func (p *profile) Due(seq uint64) (time.Duration, bool) {
	if seq >= p.hits {
		return 0, false
	}
	i := len(p.segments) - 1
	for i > 0 && float64(seq) < p.segments[i].before*(1-almost) {
		i--
	}
	return p.segments[i].due(float64(seq)), true
}

// due solves from·t + slope·t²/2 = n for t, in the form that does not cancel.
func (s segment) due(seq float64) time.Duration {
	n := seq - s.before
	if n <= 0 {
		return s.start
	}
	slope := (s.to - s.from) / s.length.Seconds()
	root := math.Sqrt(max(s.from*s.from+2*slope*n, 0))
	t := 2 * n / (s.from + root)
	return s.start + min(time.Duration(t*float64(time.Second)), s.length)
}

// burst is a plan of hits that are all due at once.
type burst uint64

// Hits is all of them.
func (b burst) Hits() uint64 { return uint64(b) }

// Length is none.
func (b burst) Length() time.Duration { return 0 }

// String is the plan in words.
func (b burst) String() string { return fmt.Sprintf("%d hits at once", uint64(b)) }

// Due is at once.
func (b burst) Due(seq uint64) (time.Duration, bool) {
	return 0, seq < uint64(b)
}

// Vegeta makes a pacer of vegeta's from a plan, with elapsed times counted from
// t0: hit k is let go when it is due, and not one interval later.
func Vegeta(p Pacer) vegeta.Pacer { return adapter{p} }

type adapter struct{ Pacer }

// Pace is the wait until the next hit is due, and whether there is none.
func (a adapter) Pace(elapsed time.Duration, hits uint64) (time.Duration, bool) {
	due, ok := a.Due(hits)
	if !ok {
		return 0, true
	}
	return max(due-elapsed, 0), false
}

// Rate is the rate at an instant, from the hits due in the second around it.
func (a adapter) Rate(elapsed time.Duration) float64 {
	from, to := max(elapsed-time.Second/2, 0), min(elapsed+time.Second/2, a.Length())
	if to <= from {
		return 0
	}
	return float64(dueBefore(a.Pacer, to)-dueBefore(a.Pacer, from)) / (to - from).Seconds()
}

// dueBefore is how many hits are due before an instant.
func dueBefore(p Pacer, t time.Duration) uint64 {
	low, high := uint64(0), p.Hits()
	for low < high {
		mid := low + (high-low)/2
		if due, _ := p.Due(mid); due < t {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// most is the largest number of hits that fall due within any span of a given
// length, seen at a few hundred places of the plan.
func most(p Pacer, span time.Duration) uint64 {
	const places = 512
	stride := max(p.Hits()/places, 1)
	largest := uint64(0)
	for seq := uint64(0); seq < p.Hits(); seq += stride {
		from, _ := p.Due(seq)
		largest = max(largest, dueBefore(p, from+span)-seq)
	}
	return largest
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// Join is a plan that consists of others, one after the other. It takes plans
// of rates, not of hits at once.
func Join(plans ...Pacer) Pacer {
	var segments []segment
	var words []string
	for _, p := range plans {
		words = append(words, p.String())
		if p, ok := p.(*profile); ok {
			segments = append(segments, p.segments...)
		}
	}
	joined := newProfile(segments...)
	joined.words = strings.Join(words, ", then ")
	return joined
}
