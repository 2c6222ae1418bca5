package detect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Ledger compares the writes that were acknowledged with those that are stored:
// every acknowledged write is stored, none is stored twice, what is stored is
// what was acknowledged (its id, and its value where the write rule names one),
// and a write whose fate its caller does not know is stored once or not at all.
// A refused write that is stored all the same is a remark.
//
// Every lost, doubled and changed write is listed with its request id.
type Ledger struct {
	// MinSamples is how many acknowledged writes are needed. Default 1.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
	// MinCrashes is how many replicas must have been killed while a write was
	// under way that was then tried again or got no answer (D52): crashes that
	// meet no write show nothing. Default 0.
	MinCrashes int `yaml:"min_crashes" json:"min_crashes,omitempty"`
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
	asked        bool // what is stored of it is known
	changed      string
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
	f = b.judge(f, max(1, d.MinSamples))
	if d.MinCrashes > 0 {
		return d.met(f, j)
	}
	return f
}

// met adds how many crashes met writes; too few show nothing.
func (d *Ledger) met(f Finding, j journal.Journal) Finding {
	seen, cutting := crashes(j)
	amid := bounded("crashes_amid_writes", float64(cutting), "1", ">=", float64(d.MinCrashes), seen)
	f.Quantities = append(f.Quantities, amid)
	if f.Outcome == Held && !amid.Holds() {
		return f.unknown("of %d crashes %d cut a write short, and %d are needed to say that none loses or doubles one",
			seen, cutting, d.MinCrashes)
	}
	return f
}

func logicalWrites(j journal.Journal) map[string]*logicalWrite {
	writes := map[string]*logicalWrite{}
	for e, w := range journal.Of[journal.Write](j) {
		l := writes[w.Key]
		if l == nil {
			l = &logicalWrite{first: e, write: w, outcomes: map[string]bool{}}
			writes[w.Key] = l
		}
		switch {
		case w.Outcome == journal.Acknowledged && !l.outcomes[journal.Acknowledged]:
			l.acknowledged, l.write = e, w
		case w.Outcome == journal.Acknowledged && w.ID != "" && l.write.ID != "" && w.ID != l.write.ID:
			l.changed = fmt.Sprintf("it was acknowledged as %s and as %s", l.write.ID, w.ID)
		}
		l.outcomes[w.Outcome] = true
	}
	return writes
}

// storedRows is what the reading of the storage says of itself.
type storedRows struct{ rows, unclaimed int }

func readStored(j journal.Journal, writes map[string]*logicalWrite) (storedRows, error) {
	var s storedRows
	closed, oneByOne := false, false
	for _, l := range journal.Of[journal.Ledger](j) {
		if l.Err != "" {
			return s, fmt.Errorf("reading the stored rows: %s", l.Err)
		}
		closed, oneByOne = true, l.Asked
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
			l.asked = true
			l.compare(row)
		} else {
			s.unclaimed += row.Count
		}
	}
	for _, l := range writes {
		l.asked = l.asked || !oneByOne
	}
	if listed > s.rows {
		return s, fmt.Errorf("the journal lists %d rows, but only %d were read", listed, s.rows)
	}
	return s, nil
}

// compare holds what is stored against what was acknowledged.
func (l *logicalWrite) compare(row journal.Stored) {
	if !l.outcomes[journal.Acknowledged] || row.Count == 0 || l.changed != "" {
		return
	}
	switch {
	case l.write.ID != "" && row.ID != "" && l.write.ID != row.ID:
		l.changed = fmt.Sprintf("it was acknowledged as %s and is stored as %s", l.write.ID, row.ID)
	case l.write.Value != "" && row.Value != "" && l.write.Value != row.Value:
		l.changed = "its value is stored as another"
	}
}

// ledgerBalance sorts the writes by what is wrong with them.
type ledgerBalance struct {
	acknowledged, refused, unknown              int
	lost, doubled, changed, storedThoughRefused []*logicalWrite
	unknownStored, unasked, acknowledgedUnasked int
}

func balance(writes map[string]*logicalWrite) ledgerBalance {
	var b ledgerBalance
	for _, l := range inOrder(writes) {
		if l.stored > 1 {
			b.doubled = append(b.doubled, l)
		}
		if l.changed != "" {
			b.changed = append(b.changed, l)
		}
		if !l.asked {
			b.unasked++
		}
		b.sort(l)
	}
	return b
}

// sort counts a write by what its caller knows of it.
func (b *ledgerBalance) sort(l *logicalWrite) {
	switch {
	case l.outcomes[journal.Acknowledged]:
		b.acknowledged++
		if !l.asked {
			b.acknowledgedUnasked++
		} else if l.stored == 0 {
			b.lost = append(b.lost, l)
		}
	case l.outcomes[journal.UnknownOutcome]:
		b.unknown++
		b.unknownStored += one(l.stored > 0)
	default:
		b.refused++
		if l.stored > 0 {
			b.storedThoughRefused = append(b.storedThoughRefused, l)
		}
	}
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
		bounded("writes_changed", float64(len(b.changed)), "1", "<=", 0, b.acknowledged),
		measured("writes_refused_but_stored", float64(len(b.storedThoughRefused)), "1", b.refused),
		measured("writes_acknowledged", float64(b.acknowledged), "1", all),
		measured("writes_unknown", float64(b.unknown), "1", all),
		measured("writes_unknown_stored", float64(b.unknownStored), "1", b.unknown),
		measured("writes_not_asked_for", float64(b.unasked), "1", all),
		measured("rows_read", float64(s.rows), "1", 0),
		measured("rows_unclaimed", float64(s.unclaimed), "1", s.rows),
	}
}

// evidence lists every lost, doubled, changed and refused-but-stored write: they
// are what an incident is remembered for, so none is left out.
func (b ledgerBalance) evidence(run string) []Evidence {
	var out []Evidence
	list := func(writes []*logicalWrite, what string, why func(*logicalWrite) string) {
		for _, l := range writes {
			e := l.first
			if l.outcomes[journal.Acknowledged] {
				e = l.acknowledged
			}
			out = append(out, Evidence{
				At: e.At, Kind: e.Body.Kind(), On: journal.RequestID(run, l.write.Attack, l.write.Seq),
				Excerpt: fmt.Sprintf("%s: %s write %s (answered %d): %s", e.On, what, l.write.Key, l.write.Code, why(l)),
			})
		}
	}
	times := func(l *logicalWrite) string { return say("it is stored %d times", l.stored) }
	list(b.lost, "lost", times)
	list(b.doubled, "doubled", times)
	list(b.changed, "changed", func(l *logicalWrite) string { return l.changed })
	list(b.storedThoughRefused, "refused", times)
	return out
}

func (b ledgerBalance) judge(f Finding, need int) Finding {
	const promised = "promised: every acknowledged write is stored, once"
	said := say("%s; seen: of %d acknowledged writes %d are lost and %d changed, and of all %d writes %d are "+
		"stored more than once", promised, b.acknowledged, len(b.lost), len(b.changed),
		b.acknowledged+b.refused+b.unknown, len(b.doubled))
	if len(b.lost)+len(b.doubled)+len(b.changed) > 0 {
		return f.violated("%s; the evidence lists them by request id", said)
	}
	if b.acknowledged < need {
		return f.unknown("only %d writes were acknowledged, and %d are needed to say that none is lost",
			b.acknowledged, need)
	}
	if b.acknowledgedUnasked > 0 {
		return f.unknown("%d acknowledged writes could not be asked for, without an id in the answer; give the write rule "+
			"its JSONPath (write: {id: $.id}), or read by the key", b.acknowledgedUnasked)
	}
	if n := len(b.storedThoughRefused); n > 0 {
		f.Remark = say("%d writes that were refused are stored all the same; a caller who tries again under a "+
			"new key doubles them", n)
	}
	if b.unasked > 0 {
		f.Remark = say("%d writes that were not acknowledged have no id to be asked for by; whether they are stored "+
			"twice is not known", b.unasked)
	}
	return f.held("%s; %d writes are in doubt", said, b.unknown)
}
