package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Ledger compares the writes that were acknowledged with those that are stored:
// every acknowledged write is stored, none is stored twice, and one whose fate
// its caller does not know is stored once or not at all. A refused write that
// is stored all the same is a remark.
type Ledger struct {
	// MinSamples is how many acknowledged writes are needed. Default 1.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "ledger", ID: "D51", Checklist: []string{"1.5"}, Class: Safety,
	Summary: "every acknowledged write is stored, once",
}, func() Detector { return &Ledger{MinSamples: 1} })

// logicalWrite is all that was seen of one key.
type logicalWrite struct {
	first        journal.Entry
	write        journal.Write
	outcomes     map[string]bool
	acknowledged journal.Entry // when outcomes has it
	stored       int
}

// Detect judges the journal.
func (d *Ledger) Detect(j journal.Journal) Finding {
	f := finding("ledger")
	writes := logicalWrites(j)
	if len(writes) == 0 {
		return f.unknown("no write was followed: give a traffic request a write rule, so that lost writes can be found")
	}
	rows, err := readStored(j, writes)
	if err != nil {
		return f.unknown("%d writes were followed, but what is stored is not known: %v", len(writes), err)
	}
	b := balance(writes)
	f.Quantities = b.quantities(rows)
	f.Evidence = b.evidence(j.Header().Run)
	return b.judge(f, max(1, d.MinSamples))
}

func logicalWrites(j journal.Journal) map[string]*logicalWrite {
	writes := map[string]*logicalWrite{}
	for e, w := range journal.Of[journal.Write](j) {
		l := writes[w.Key]
		if l == nil {
			l = &logicalWrite{first: e, write: w, outcomes: map[string]bool{}}
			writes[w.Key] = l
		}
		if w.Outcome == journal.Acknowledged && !l.outcomes[journal.Acknowledged] {
			l.acknowledged, l.write = e, w
		}
		l.outcomes[w.Outcome] = true
	}
	return writes
}

// storedRows is what the reading of the storage says of itself.
type storedRows struct{ rows, unclaimed int }

func readStored(j journal.Journal, writes map[string]*logicalWrite) (storedRows, error) {
	var s storedRows
	closed := false
	for _, l := range journal.Of[journal.Ledger](j) {
		if l.Err != "" {
			return s, fmt.Errorf("reading the stored rows: %s", l.Err)
		}
		closed = true
		s.rows += l.Rows
	}
	if !closed {
		return s, fmt.Errorf("the stored rows were not read to the end")
	}
	listed := 0
	for _, row := range journal.Of[journal.Stored](j) {
		listed += row.Count
		if l := writes[row.Key]; l != nil {
			l.stored += row.Count
		} else {
			s.unclaimed += row.Count
		}
	}
	if listed > s.rows {
		return s, fmt.Errorf("the journal lists %d rows, but only %d were read", listed, s.rows)
	}
	return s, nil
}

// ledgerBalance sorts the writes by what is wrong with them.
type ledgerBalance struct {
	acknowledged, refused, unknown     int
	lost, doubled, storedThoughRefused []*logicalWrite
	unknownStored                      int
}

func balance(writes map[string]*logicalWrite) ledgerBalance {
	var b ledgerBalance
	for _, l := range inOrder(writes) {
		if l.stored > 1 {
			b.doubled = append(b.doubled, l)
		}
		switch {
		case l.outcomes[journal.Acknowledged]:
			b.acknowledged++
			if l.stored == 0 {
				b.lost = append(b.lost, l)
			}
		case l.outcomes[journal.UnknownOutcome]:
			b.unknown++
			if l.stored > 0 {
				b.unknownStored++
			}
		default:
			b.refused++
			if l.stored > 0 {
				b.storedThoughRefused = append(b.storedThoughRefused, l)
			}
		}
	}
	return b
}

func inOrder(writes map[string]*logicalWrite) []*logicalWrite {
	return slices.SortedFunc(maps.Values(writes), func(a, b *logicalWrite) int {
		if a.first.At != b.first.At {
			return int(a.first.At.Sub(b.first.At))
		}
		return strings.Compare(a.write.Key, b.write.Key)
	})
}

func (b ledgerBalance) quantities(s storedRows) []journal.Quantity {
	all := b.acknowledged + b.refused + b.unknown
	return []journal.Quantity{
		bounded("writes_lost", float64(len(b.lost)), "1", "<=", 0, b.acknowledged),
		bounded("writes_doubled", float64(len(b.doubled)), "1", "<=", 0, all),
		measured("writes_refused_but_stored", float64(len(b.storedThoughRefused)), "1", b.refused),
		measured("writes_acknowledged", float64(b.acknowledged), "1", all),
		measured("writes_unknown", float64(b.unknown), "1", all),
		measured("writes_unknown_stored", float64(b.unknownStored), "1", b.unknown),
		measured("rows_read", float64(s.rows), "1", 0),
		measured("rows_unclaimed", float64(s.unclaimed), "1", s.rows),
	}
}

// evidence lists every lost, doubled and refused-but-stored write: they are
// what an incident is remembered for, so none is left out.
func (b ledgerBalance) evidence(run string) []Evidence {
	var out []Evidence
	list := func(writes []*logicalWrite, what string) {
		for _, l := range writes {
			e := l.first
			if l.outcomes[journal.Acknowledged] {
				e = l.acknowledged
			}
			out = append(out, Evidence{
				At: e.At, Kind: e.Body.Kind(), On: journal.RequestID(run, l.write.Attack, l.write.Seq),
				Excerpt: fmt.Sprintf("%s: %s write %s (answered %d) is stored %d times", e.On, what, l.write.Key,
					l.write.Code, l.stored),
			})
		}
	}
	list(b.lost, "lost")
	list(b.doubled, "doubled")
	list(b.storedThoughRefused, "refused")
	return out
}

func (b ledgerBalance) judge(f Finding, need int) Finding {
	const promised = "promised: every acknowledged write is stored, once"
	said := fmt.Sprintf("%s; seen: of %d acknowledged writes %d are lost, and of all %d writes %d are stored more than "+
		"once", promised, b.acknowledged, len(b.lost), b.acknowledged+b.refused+b.unknown, len(b.doubled))
	if len(b.lost)+len(b.doubled) > 0 {
		return f.violated("%s; the evidence lists them by request id", said)
	}
	if b.acknowledged < need {
		return f.unknown("only %d writes were acknowledged, and %d are needed to say that none is lost",
			b.acknowledged, need)
	}
	if n := len(b.storedThoughRefused); n > 0 {
		f.Remark = fmt.Sprintf("%d writes that were refused are stored all the same; a caller who tries again under a "+
			"new key doubles them", n)
	}
	return f.held("%s; %d writes without an answer are stored at most once", said, b.unknown)
}
