package detect

import (
	"fmt"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Ask has a detector judge a journal, and sees to it that a finding which held
// or is violated says where in the journal to look: one that names no entry of
// its own points at what it rests on: the steps as they were carried out, else
// the first request, else the first entry. Quantities have names of their own: of
// several steps or replicas, the figures of the second end in _2.
func Ask(d Detector, j journal.Journal) Finding {
	f := d.Detect(j)
	f.Quantities = distinct(f.Quantities)
	if len(f.Evidence) == 0 && (f.Outcome == Held || f.Outcome == Violated) {
		f.Evidence = scene(j)
	}
	return f
}

// distinct numbers quantities that share a name, in their order.
func distinct(all []journal.Quantity) []journal.Quantity {
	all = slices.Clone(all)
	seen := map[string]int{}
	for i, q := range all {
		if seen[q.Name]++; seen[q.Name] > 1 {
			all[i].Name = fmt.Sprintf("%s_%d", q.Name, seen[q.Name])
		}
	}
	return all
}

// scene is what a run was about: its first steps, else its first request or entry.
func scene(j journal.Journal) []Evidence {
	var all []Evidence
	for _, s := range j.Steps() {
		if !s.Has[journal.PhaseInForce] || len(all) == maxEvidence {
			continue
		}
		text := fmt.Sprintf("%s was in force from %v on", s.Action, s.InForce)
		if s.Target != "" {
			text = fmt.Sprintf("%s on %s was in force from %v on", s.Action, s.Target, s.InForce)
		}
		if s.Has[journal.PhaseReverted] {
			text += fmt.Sprintf(", and taken back at %v", s.Reverted)
		}
		all = append(all, Evidence{At: s.InForce, Kind: journal.StepEvent{}.Kind(), On: s.Name, Excerpt: text})
	}
	if len(all) > 0 {
		return all
	}
	for r := range j.Requests(journal.Window{}) {
		return []Evidence{requestEvidence(j.Header().Run, r)}
	}
	for e := range j.Entries() {
		return []Evidence{seen(e, "the first of what was recorded")}
	}
	return nil
}

// pointScrapes points at the first scrape of each replica from an instant on (the
// last one without any), and at the first series in it that a function picks.
func (d *docket) pointScrapes(j journal.Journal, at journal.Instant, pick func(journal.Sample) bool) {
	for _, replica := range j.Header().Replicas {
		m, ok := journal.MetricsAfter(j, replica, at)
		if !ok {
			m, _ = journal.MetricsAt(j, replica, at)
		}
		for s := range m.All() {
			if pick(s) {
				d.point(Evidence{
					At: m.At, Kind: journal.Scrape{}.Kind(), On: replica,
					Excerpt: fmt.Sprintf("%s is %.6g", sampleSaid(s), s.Value),
				})
				break
			}
		}
	}
}
