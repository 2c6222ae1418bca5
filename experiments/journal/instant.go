// Package journal holds everything that was seen in one run of an experiment,
// and reads and writes it as a folder. Detectors see a [Journal] and nothing
// else; it imports no other package of this module.
package journal

import "time"

// Instant is a point in time of one run: nanoseconds since the run's start on
// the runner's monotonic clock. The zero value is the run's start.
type Instant int64

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns the time from o to i.
func (i Instant) Sub(o Instant) time.Duration { return time.Duration(i - o) }

// Duration returns the time since the run's start.
func (i Instant) Duration() time.Duration { return time.Duration(i) }

// String prints the time since the run's start, such as "12.34s".
func (i Instant) String() string {
	return time.Duration(i).Round(time.Millisecond).String()
}

// Window is a half-open span of a run: From ≤ t < To. A zero To means that the
// window has no end, so that the zero Window is the whole run.
type Window struct {
	From Instant `json:"from"`
	To   Instant `json:"to"`
}

// Contains reports whether t lies in the window.
func (w Window) Contains(t Instant) bool {
	return t >= w.From && (w.To == 0 || t < w.To)
}

// Length is the window's duration; zero when it has no end.
func (w Window) Length() time.Duration {
	if w.To == 0 {
		return 0
	}
	return w.To.Sub(w.From)
}
