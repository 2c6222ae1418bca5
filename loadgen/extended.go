package loadgen

import (
	"math"
	"sync/atomic"
	"time"
)

// Extended is a plan that goes on at a constant rate after its own end, until
// it is told when to end: the load of a method whose operations take as long as
// they take. With a rate of zero it does not go on, and can only be told to end
// sooner. It is safe for use by several goroutines.
type Extended struct {
	plan Pacer
	rate float64      // hits a second after the plan's end
	end  atomic.Int64 // since t0; zero: not told yet
}

// Extend extends a plan.
func Extend(p Pacer, rate float64) *Extended { return &Extended{plan: p, rate: rate} }

// EndAt ends the plan at an instant since t0: hits due at it or later are no
// part of it. The first call counts.
func (e *Extended) EndAt(since time.Duration) {
	e.end.CompareAndSwap(0, int64(max(since, 1)))
}

// Due returns when a hit is due; false when the plan has ended before it.
func (e *Extended) Due(seq uint64) (time.Duration, bool) {
	due := e.due(seq)
	if end := e.end.Load(); due == never || end != 0 && due >= time.Duration(end) {
		return 0, false
	}
	return due, true
}

// never is when a hit is due that no plan has.
const never = time.Duration(math.MaxInt64)

func (e *Extended) due(seq uint64) time.Duration {
	if due, ok := e.plan.Due(seq); ok {
		return due
	}
	if e.rate <= 0 {
		return never
	}
	beyond := float64(seq-e.plan.Hits()) / e.rate
	return e.plan.Length() + time.Duration(beyond*float64(time.Second))
}

// Hits is how many hits the plan has: up to its end where it has been told, and
// else up to the end of what it extends.
func (e *Extended) Hits() uint64 {
	end := time.Duration(e.end.Load())
	if end == 0 {
		return e.plan.Hits()
	}
	if end <= e.plan.Length() {
		return dueBefore(e.plan, end)
	}
	beyond := (end - e.plan.Length()).Seconds() * e.rate
	return e.plan.Hits() + uint64(math.Ceil(beyond*(1-almost)))
}

// Length is how long the plan lasts, counted as in Hits.
func (e *Extended) Length() time.Duration {
	if end := time.Duration(e.end.Load()); end != 0 {
		return end
	}
	return e.plan.Length()
}

// String is the extended plan in words.
func (e *Extended) String() string { return e.plan.String() }
