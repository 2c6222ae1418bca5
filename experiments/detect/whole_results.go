package detect

import (
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// WholeResults asks whether a result that was cut off in the middle is ever
// taken for a whole one (D42): rows.Next ends at the cut as it does at the end,
// and only rows.Err tells them apart.
//
// It needs the fault cut_result. A statement that was cut must belong to a
// request that was not answered with success, or whose service asked again and
// got the whole: among the requests that were under way through all of the
// statement's time there is one that failed, or the same statement came again
// and was answered to its end before the request was. Statements of no request
// are left out. One counterexample is a violation.
type WholeResults struct {
	// MinSamples is how many cut results must have had a request. Default 5: the
	// outcome does not depend on chance.
	MinSamples int `yaml:"min_samples" json:"min_samples,omitempty"`
}

var _ = register(Info{
	Kind: "whole_results", ID: "D42", Checklist: []string{"4.4"}, Class: Safety, Statements: true,
	Summary: "a result that was cut off is not taken for a whole one",
}, func() Detector { return &WholeResults{MinSamples: 5} })

// tapSlack is what the tap's clock and ours may differ by.
const tapSlack = 2 * time.Millisecond

// Detect judges the journal.
func (d *WholeResults) Detect(j journal.Journal) Finding {
	f := finding("whole_results")
	cut, whole := cutResults(j)
	if len(cut) == 0 {
		return f.unknown("no result was cut off; the experiment needs the fault cut_result, and answers with more rows " +
			"than it lets through")
	}
	requests := requestsThrough(j, cut)
	run := j.Header().Run
	judged, believed, again := 0, 0, 0
	for _, c := range cut {
		var ok []journal.Request
		failed := false
		for _, r := range requests {
			if r.Sent > c.At.Add(tapSlack) || r.Done.Add(tapSlack) < c.At.Add(c.Took) {
				continue
			}
			if r.OK {
				ok = append(ok, r)
			} else {
				failed = true
			}
		}
		switch {
		case failed:
			judged++
		case len(ok) == 0: // nobody's
		case slices.ContainsFunc(ok, func(r journal.Request) bool { return askedAgain(whole[c.Text], c, r) }):
			judged++
			again++
		default:
			judged++
			believed++
			if len(f.Evidence) < evidenceMost {
				f.Evidence = append(f.Evidence,
					seen(c.Entry, "cut off after %d rows: %s", c.Rows, c.Text), requestEvidence(run, ok[0]))
			}
		}
	}
	f.Quantities = []journal.Quantity{
		bounded("cut_results_believed", float64(believed), "1", "<=", 0, judged),
		measured("cut_results_asked_again", float64(again), "1", judged),
		measured("cut_results", float64(len(cut)), "1", len(cut)),
	}
	const promised = "promised: a result that breaks off is an error"
	switch {
	case believed > 0:
		return f.violated("%s; seen: of %d results that were cut off, %d were taken for whole ones and answered with "+
			"success; ask rows.Err() after the loop", promised, judged, believed)
	case judged < max(1, d.MinSamples):
		return f.unknown("of %d results that were cut off, %d belonged to a request, and %d are needed",
			len(cut), judged, d.MinSamples)
	}
	return f.held("%s; seen: of %d results that were cut off none was answered with success (%d were asked for again)",
		promised, judged, again)
}

// tapped is a statement with its entry.
type tapped struct {
	journal.Entry
	journal.Statement
}

// cutResults are the statements whose results were cut off in their rows, and
// those that were answered to their end, by text.
func cutResults(j journal.Journal) (cut []tapped, whole map[string][]tapped) {
	whole = map[string][]tapped{}
	for e, s := range journal.Of[journal.Statement](j) {
		switch {
		case s.Done == journal.DoneCut && s.Rows > 0 && s.Tag == "":
			cut = append(cut, tapped{e, s})
		case s.Tag != "" && s.SQLState == "" && s.Done == "":
			whole[s.Text] = append(whole[s.Text], tapped{e, s})
		}
	}
	return cut, whole
}

// requestsThrough are the requests that may have asked one of the statements.
func requestsThrough(j journal.Journal, cut []tapped) []journal.Request {
	w := journal.Window{From: cut[0].At, To: cut[0].At}
	for _, c := range cut {
		w.From, w.To = min(w.From, c.At), max(w.To, c.At+1)
	}
	w.From = max(0, w.From.Add(-time.Minute))
	var found []journal.Request
	for r := range j.Requests(w) {
		if !r.Dropped {
			found = append(found, r)
		}
	}
	return found
}

// askedAgain reports whether a request's service asked for the same once more
// and got all of it.
func askedAgain(whole []tapped, c tapped, r journal.Request) bool {
	return slices.ContainsFunc(whole, func(s tapped) bool {
		return s.At >= c.At.Add(c.Took-tapSlack) && s.At.Add(s.Took) <= r.Done.Add(tapSlack)
	})
}
