package detect

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// docket collects what the clauses of one detector have to say. A clause that
// was broken decides; a clause that could not be judged makes the finding
// unknown; otherwise the promise held, perhaps with remarks.
type docket struct {
	Finding
	problems, doubts, remarks []string
}

func open(kind string) *docket { return &docket{Finding: finding(kind)} }

// against says how a clause was broken.
func (d *docket) against(format string, args ...any) {
	d.problems = append(d.problems, say(format, args...))
}

// doubt says why a clause could not be judged.
func (d *docket) doubt(format string, args ...any) {
	d.doubts = append(d.doubts, say(format, args...))
}

// note adds a remark, once.
func (d *docket) note(format string, args ...any) {
	text := say(format, args...)
	for _, r := range d.remarks {
		if r == text {
			return
		}
	}
	d.remarks = append(d.remarks, text)
}

// add appends quantities.
func (d *docket) add(q ...journal.Quantity) { d.Quantities = append(d.Quantities, q...) }

// maxEvidence bounds what a finding points at: the first, the worst, the typical.
const maxEvidence = 6

// point appends evidence, as far as there is room for it.
func (d *docket) point(e Evidence) {
	if len(d.Evidence) < maxEvidence && e.Kind != "" {
		d.Evidence = append(d.Evidence, e)
	}
}

// maxClauses bounds how many broken clauses a reason names.
const maxClauses = 3

// close gives the finding. The format is the reason of a finding that held.
func (d *docket) close(format string, args ...any) Finding {
	f := d.Finding
	f.Remark = strings.Join(d.remarks, "; ")
	switch {
	case len(d.problems) > 0:
		return f.violated("%s", several(d.problems))
	case len(d.doubts) > 0:
		return f.unknown("%s", several(d.doubts))
	}
	return f.held(format, args...)
}

func several(clauses []string) string {
	more := ""
	if n := len(clauses) - maxClauses; n > 0 {
		clauses, more = clauses[:maxClauses], fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(clauses, "; ") + more
}

// seen is evidence from an entry.
func seen(e journal.Entry, format string, args ...any) Evidence {
	return Evidence{At: e.At, Kind: e.Body.Kind(), On: e.On, Excerpt: say(format, args...)}
}

// ratio is a share; zero of nothing is zero.
func ratio(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// orDefault is v, or what stands for its zero value.
func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// valueOf prints the largest value of a quantity.
func valueOf(all []journal.Quantity, name string) string {
	return strconv.FormatFloat(largest(all, name), 'g', 4, 64)
}

// timeOf prints the largest value of a quantity of seconds.
func timeOf(all []journal.Quantity, name string) string { return briefSeconds(largest(all, name)) }

func largest(all []journal.Quantity, name string) float64 {
	most := 0.0
	for _, q := range all {
		if q.Name == name {
			most = max(most, q.Value)
		}
	}
	return most
}

// samplesOf prints on how many observations quantities of a name rest.
func samplesOf(all []journal.Quantity, name string) string {
	sum := 0
	for _, q := range all {
		if q.Name == name {
			sum += q.Samples
		}
	}
	return strconv.Itoa(sum)
}
