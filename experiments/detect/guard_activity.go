package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ActivityGuard holds when pg_stat_activity of every database was sampled
// without a gap of more than a second while no step was carried out on it. It
// is for experiments whose expectations rest on those samples, and is not among
// [Guards].
type ActivityGuard struct{}

var _ = register(Info{
	Kind: "guard_activity", Class: Rate, Summary: "the databases' activity was sampled without gaps",
}, func() Detector { return &ActivityGuard{} })

// activityGap is the longest time between samples that is borne.
const activityGap = time.Second

// Detect judges the journal.
func (*ActivityGuard) Detect(j journal.Journal) Finding {
	f := finding("guard_activity")
	var databases []string
	for _, d := range j.Header().Dependencies {
		if d.Kind == "postgres" {
			databases = append(databases, d.Name)
		}
	}
	if len(databases) == 0 {
		return f.notApplicable("the subject has no postgres dependency")
	}
	var wrong []string
	for _, db := range databases {
		gap, at, samples := longestGap(j, db)
		f.Quantities = append(f.Quantities, boundedTime("activity_gap_"+db, gap, activityGap, samples))
		switch {
		case samples < 2:
			wrong = append(wrong, fmt.Sprintf("%s was sampled %d times", db, samples))
		case gap > activityGap:
			wrong = append(wrong, fmt.Sprintf("%s was not sampled for %s until %v", db, brief(gap), at))
		}
	}
	if len(wrong) > 0 {
		return f.unknown("pg_stat_activity is not known: %s", strings.Join(wrong, "; "))
	}
	return f.held("pg_stat_activity of %s was sampled without gaps", strings.Join(databases, ", "))
}

// longestGap is the longest time between two good samples, less the time in
// which a step was carried out on the database, and its end.
func longestGap(j journal.Journal, db string) (gap time.Duration, at journal.Instant, samples int) {
	steps := slices.DeleteFunc(j.Steps(), func(s journal.Step) bool {
		return s.Target != db || !s.Has[journal.PhaseBegin]
	})
	var before journal.Instant
	for e, a := range journal.Of[journal.Activity](j) {
		if e.On != db || a.Err != "" {
			continue
		}
		if samples++; samples > 1 && !overlaps(steps, before, e.At) && e.At.Sub(before) > gap {
			gap, at = e.At.Sub(before), e.At
		}
		before = e.At
	}
	return gap, at, samples
}

// overlaps says whether a step was carried out between two instants, or had
// ended less than 2 s before them.
func overlaps(steps []journal.Step, from, to journal.Instant) bool {
	return slices.ContainsFunc(steps, func(s journal.Step) bool {
		ended := s.Has[journal.PhaseReverted] && s.Reverted.Add(2*time.Second) < from
		return s.Begun <= to && !ended
	})
}
