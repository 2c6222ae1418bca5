package faults

import (
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Tolerances of witnesses. The observer's round trips come about every 100 ms,
// tallies every 100 ms, clocks differ by less than a millisecond.
const (
	edge      = 20 * time.Millisecond  // what begins so near a window's end is not judged
	tallyLag  = 300 * time.Millisecond // a tally may be that old
	lookBack  = 5 * time.Second        // "before" the window
	justSoon  = 2 * time.Second        // "just before" the window
	quietFor  = 100 * time.Millisecond // no answer for so long is none
	mostShare = 0.9                    // of what must be shaped
)

func notInForce(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotInForce}, args...)...)
}

func notExercised(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotExercised}, args...)...)
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// scene is what a witness looks at.
type scene struct {
	j      journal.Journal
	target string
	w      journal.Window
}

// before is the span before the window.
func (s scene) before() journal.Window {
	return journal.Window{From: max(s.w.From.Add(-lookBack), 0), To: max(s.w.From, 1)}
}

// justBefore is the last moment before the window; the injection itself is
// part of it.
func (s scene) justBefore() journal.Window {
	return journal.Window{From: max(s.w.From.Add(-justSoon), 0), To: max(s.w.From, 1)}
}

// around is the window, widened at its beginning by d: what an injection
// causes may come before the injector says that it is in force.
func (s scene) around(d time.Duration) journal.Window {
	return journal.Window{From: max(s.w.From.Add(-d), 0), To: s.w.To}
}

// trip is a round trip with its beginning.
type trip struct {
	at journal.Instant
	journal.RoundTrip
}

func (t trip) ended() journal.Instant { return t.at.Add(t.Dial + t.RTT) }

// trips are our round trips on connections of their own that began in a
// window, its edges left out.
func (s scene) trips(w journal.Window) (found []trip) {
	w.From = w.From.Add(edge)
	if w.To != 0 {
		w.To = max(w.To.Add(-edge), 1)
	}
	for e, r := range journal.Of[journal.RoundTrip](s.j) {
		if e.On == s.target && !r.Pooled && w.Contains(e.At) {
			found = append(found, trip{e.At, r})
		}
	}
	return found
}

// spoken are the trips that were more than a bare connect.
func spoken(trips []trip) []trip {
	return slices.DeleteFunc(slices.Clone(trips), func(t trip) bool { return t.Err == "" && t.Down == 0 && t.Bytes == 0 })
}

// finished are the trips that ended within the window: a revert changes the
// others.
func finished(trips []trip, w journal.Window) []trip {
	return slices.DeleteFunc(slices.Clone(trips), func(t trip) bool { return w.To != 0 && t.ended() > w.To })
}

// lasting are the trips that ended within the window, and those that had
// already lasted long enough at its end.
func lasting(trips []trip, w journal.Window, enough time.Duration) []trip {
	return slices.DeleteFunc(slices.Clone(trips), func(t trip) bool {
		return w.To != 0 && t.ended() > w.To && w.To.Sub(t.at) < enough
	})
}

// never stands for the duration of a trip that was not answered.
const never = time.Duration(1<<63 - 1)

// medianTrip is the median round trip; one without an answer counts as long.
func medianTrip(trips []trip) (time.Duration, bool) {
	if len(trips) == 0 {
		return 0, false
	}
	took := make([]time.Duration, len(trips))
	for i, t := range trips {
		took[i] = t.RTT
		if t.Err != "" {
			took[i] = never
		}
	}
	slices.Sort(took)
	return took[(len(took)-1)/2], true
}

// unanswered says whether no trip of the window was answered in it.
func (s scene) unanswered(trips []trip) error {
	silent := 0
	for _, t := range trips {
		within := s.w.To == 0 || t.ended() <= s.w.To
		switch {
		case t.Err == "" && within:
			return notInForce("a round trip at %v was answered after %v", t.at, round(t.Dial+t.RTT))
		case t.Err != "" && within, !within && s.w.To.Sub(t.at) >= quietFor:
			silent++
		}
	}
	if silent == 0 {
		return notInForce("no round trip lasted through the window")
	}
	return nil
}

// flow is what a proxy carried in a window beside our own round trips.
type flow struct {
	up, down, conns, shaped int64
	samples                 int
}

func (f flow) any() bool { return f.up > 0 || f.down > 0 || f.conns > 0 }

// flow adds up the differences of tallies. A tally may be late, so that round
// trips from a little before the window are taken off too: what is left is the
// service's for certain.
func (s scene) flow(w journal.Window) flow {
	var f flow
	var last journal.Tally
	for e, t := range journal.Of[journal.Tally](s.j) {
		if e.On != s.target || w.To != 0 && e.At >= w.To.Add(tallyLag/2) {
			continue
		}
		if t.Conns < last.Conns || t.UpBytes < last.UpBytes {
			last = journal.Tally{} // the agent was replaced
		}
		if e.At >= w.From {
			f.up += int64(t.UpBytes - last.UpBytes)
			f.down += int64(t.DownBytes - last.DownBytes)
			f.conns += int64(t.Conns - last.Conns)
			f.shaped += int64(t.Shaped) - int64(last.Shaped)
			f.samples++
		}
		last = t
	}
	s.carried(w, &f)
	ours := journal.Window{From: w.From.Add(-tallyLag), To: w.To}
	if ours.To != 0 {
		ours.To = ours.To.Add(tallyLag / 2)
	}
	for e, r := range journal.Of[journal.RoundTrip](s.j) {
		if e.On != s.target || !ours.Contains(e.At) {
			continue
		}
		f.up -= int64(r.Up)
		f.down -= int64(r.Down)
		if !r.Pooled && r.Err != journal.ErrRefused {
			f.conns--
		}
	}
	return f
}

// carried adds what an engine counted where the proxy does not; which way it went
// is not known.
func (s scene) carried(w journal.Window, f *flow) {
	for e, c := range journal.Of[journal.Carried](s.j) {
		if e.On == s.target && e.At >= w.From && (w.To == 0 || e.At < w.To.Add(tallyLag/2)) {
			f.up += int64(c.Bytes)
			f.samples++
		}
	}
}

// counts is how often a toxic did something in the window, and how many times
// of those may have been to our own round trips: each counts once for each of
// the conditions that it meets.
func (s scene) counts(may ...func(trip) bool) (count, ours int64) {
	for _, t := range s.trips(s.around(tallyLag)) {
		for _, could := range may {
			if could(t) {
				ours++
			}
		}
	}
	return s.flow(s.w).shaped, ours
}

// exercised says whether anything but our round trips came from the service in
// the window.
func (s scene) exercised() error {
	f := s.flow(s.w)
	if f.samples == 0 {
		return notExercised("no tally of %q was recorded in the window", s.target)
	}
	if f.up <= 0 && f.conns <= 0 {
		return notExercised("the service sent nothing to %q in the window; the traffic needs a request that uses it",
			s.target)
	}
	return nil
}

// cut says whether the service used the dependency just before the window, so
// that what was cut was its traffic.
func (s scene) cut() error {
	before := s.justBefore()
	if s.flow(before).any() {
		return nil
	}
	open := 0
	for e, t := range journal.Of[journal.Tally](s.j) {
		if e.On == s.target && e.At < s.w.From {
			open = t.Open
		}
	}
	if open > 1 { // one may be our round trip's
		return nil
	}
	return notExercised("%q carried nothing of the service's in the %v before, and held no connection of it",
		s.target, justSoon)
}

// shaped rests on the toxic's own count alone.
func (s scene) shaped(what string) error {
	if n := s.flow(s.w).shaped; n <= 0 {
		return notExercised("nothing on %q was %s in the window", s.target, what)
	}
	return nil
}

// replica reports whether the target is a copy of the service.
func (s scene) replica() bool { return slices.Contains(s.j.Header().Replicas, s.target) }
