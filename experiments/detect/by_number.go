package detect

import (
	"iter"

	"github.com/seatrial/seatrial/experiments/journal"
)

// byNumber yields the hits of an attack by number, up to the first that has not
// ended: those after it that have are the quick ones. It may be ranged over
// again. Hits are recorded when they end, so that it keeps only those that ended
// before one of a lower number: as many as fall due while a hit is under way.
func byNumber(j journal.Journal, attack string) iter.Seq[journal.Request] {
	end := endedUpTo(j, attack)
	return func(yield func(journal.Request) bool) {
		next, early := uint64(0), map[uint64]journal.Request{}
		for r := range j.Requests(journal.Window{}) {
			switch {
			case r.Attack != attack, r.Seq < next, r.Seq >= end:
				continue
			case r.Seq > next:
				early[r.Seq] = r
				continue
			}
			for ok := true; ok; r, ok = early[next] {
				if !yield(r) {
					return
				}
				delete(early, next)
				next++
			}
		}
	}
}

// endedUpTo is the lowest number of an attack's hits that has not ended.
func endedUpTo(j journal.Journal, attack string) uint64 {
	beyond := runs{starts: map[uint64]uint64{}, ends: map[uint64]uint64{}}
	next := uint64(0)
	for r := range j.Requests(journal.Window{}) {
		switch {
		case r.Attack != attack, r.Seq < next:
		case r.Seq > next:
			beyond.add(r.Seq)
		default:
			next++
			if end, ok := beyond.starts[next]; ok {
				delete(beyond.starts, next)
				delete(beyond.ends, end)
				next = end
			}
		}
	}
	return next
}

// runs are numbers without a gap between them, each run by its first number and
// by the one after its last.
type runs struct{ starts, ends map[uint64]uint64 }

func (b runs) add(n uint64) {
	from, to := n, n+1
	if start, ok := b.ends[from]; ok {
		delete(b.ends, from)
		from = start
	}
	if end, ok := b.starts[to]; ok {
		delete(b.starts, to)
		to = end
	}
	b.starts[from], b.ends[to] = to, from
}
