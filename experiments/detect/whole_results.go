package detect

import (
	"cmp"
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
// got the whole: the requests that were under way through all of the statement's
// time failed, or the same statement came again and was answered to its end
// before the request was. Where some of them failed and others did not, it is not
// known whose the statement was; it is counted, and shows nothing. Statements of
// no request are left out. One counterexample is a violation.
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
	through(j, cut)
	run := j.Header().Run
	judged, believed, again, unclear := 0, 0, 0, 0
	for _, c := range cut {
		switch {
		case c.failed && c.good > 0:
			unclear++
		case c.failed:
			judged++
		case c.good == 0: // nobody's
		case c.askedAgain(whole[c.Text]):
			judged++
			again++
		default:
			judged++
			believed++
			if len(f.Evidence) < evidenceMost {
				f.Evidence = append(f.Evidence,
					seen(c.Entry, "cut off after %d rows: %s", c.Rows, c.Text), requestEvidence(run, c.believer))
			}
		}
	}
	f.Quantities = []journal.Quantity{
		bounded("cut_results_believed", float64(believed), "1", "<=", 0, judged),
		measured("cut_results_asked_again", float64(again), "1", judged),
		measured("cut_results_unclear", float64(unclear), "1", len(cut)),
		measured("cut_results", float64(len(cut)), "1", len(cut)),
	}
	const promised = "promised: a result that breaks off is an error"
	switch {
	case believed > 0:
		return f.violated("%s; seen: of %d results that were cut off, %d were taken for whole ones and answered with "+
			"success; ask rows.Err() after the loop", promised, judged, believed)
	case judged < max(1, d.MinSamples) && unclear > 0:
		return f.unknown("of %d results that were cut off, %d belonged to a request, and %d are needed; whether %d more "+
			"belonged to one that failed or to one beside it that did not is not known: send fewer at a time", len(cut), judged,
			max(1, d.MinSamples), unclear)
	case judged < max(1, d.MinSamples):
		return f.unknown("of %d results that were cut off, %d belonged to a request, and %d are needed",
			len(cut), judged, max(1, d.MinSamples))
	}
	return f.held("%s; seen: of %d results that were cut off none was answered with success (%d were asked for again)",
		promised, judged, again)
}

// tapped is a statement with its entry.
type tapped struct {
	journal.Entry
	journal.Statement
}

// cutResult is a statement whose result was cut off in its rows, and what came
// of the requests that were under way through all of its time.
type cutResult struct {
	tapped
	failed   bool            // one of them was not answered with success
	good     int             // how many were
	believer journal.Request // the first of these
	goodTill journal.Instant // when the last of these was answered
}

// cutResults are the statements whose results were cut off in their rows, and
// those that were answered to their end, by text.
func cutResults(j journal.Journal) (cut []*cutResult, whole map[string][]tapped) {
	whole = map[string][]tapped{}
	for e, s := range journal.Of[journal.Statement](j) {
		switch {
		case s.Done == journal.DoneCut && s.Rows > 0 && s.Tag == "":
			cut = append(cut, &cutResult{tapped: tapped{e, s}})
		case s.Tag != "" && s.SQLState == "" && s.Done == "":
			whole[s.Text] = append(whole[s.Text], tapped{e, s})
		}
	}
	return cut, whole
}

// through tells the statements of the requests that may have asked them.
func through(j journal.Journal, cut []*cutResult) {
	byTime := slices.SortedStableFunc(slices.Values(cut), func(a, b *cutResult) int { return cmp.Compare(a.At, b.At) })
	w := journal.Window{From: byTime[0].At, To: byTime[len(byTime)-1].At + 1}
	w.From = max(0, w.From.Add(-time.Minute))
	for r := range j.Requests(w) {
		if r.Dropped {
			continue
		}
		from, _ := slices.BinarySearchFunc(byTime, r.Sent.Add(-tapSlack), func(c *cutResult, at journal.Instant) int {
			return cmp.Compare(c.At, at)
		})
		till := r.Done.Add(tapSlack)
		for _, c := range byTime[from:] {
			if c.At > till {
				break
			}
			if c.At.Add(c.Took) <= till {
				c.meet(r)
			}
		}
	}
}

// meet takes down what came of a request.
func (c *cutResult) meet(r journal.Request) {
	if !r.OK {
		c.failed = true
		return
	}
	if c.good == 0 {
		c.believer = r
	}
	c.good++
	c.goodTill = max(c.goodTill, r.Done)
}

// askedAgain reports whether the service asked for the same once more and got
// all of it before it answered.
func (c *cutResult) askedAgain(whole []tapped) bool {
	return slices.ContainsFunc(whole, func(s tapped) bool {
		return s.At >= c.At.Add(c.Took-tapSlack) && s.At.Add(s.Took) <= c.goodTill.Add(tapSlack)
	})
}
