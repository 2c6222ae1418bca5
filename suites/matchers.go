package suites

import (
	"fmt"

	"github.com/onsi/gomega/types"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/report"
)

// Hold succeeds when a detector holds on a journal:
//
//	Expect(journal).To(Hold(&detect.Success{Ratio: 0.99, During: "fault"}))
//
// A finding that is unknown is an error, so that To and ToNot both fail: what
// was not measured is neither kept nor broken. So is one that is not
// applicable to the service.
func Hold(d detect.Detector) types.GomegaMatcher { return &holds{detector: d} }

type holds struct {
	detector detect.Detector
	finding  detect.Finding
}

// Match judges the journal.
func (h *holds) Match(actual any) (bool, error) {
	j, ok := actual.(journal.Journal)
	if !ok {
		return false, fmt.Errorf("a detector judges a journal.Journal, not a %T", actual)
	}
	h.finding = detect.Ask(h.detector, j)
	switch h.finding.Outcome {
	case detect.Held:
		return true, nil
	case detect.Violated:
		return false, nil
	default:
		return false, fmt.Errorf("neither held nor violated: %s", explain(h.finding))
	}
}

// FailureMessage is the finding with its figures.
func (h *holds) FailureMessage(any) string { return explain(h.finding) }

// NegatedFailureMessage is the finding with its figures.
func (h *holds) NegatedFailureMessage(any) string { return explain(h.finding) }

func explain(f detect.Finding) string {
	return fmt.Sprintf("%s is %s: %s", f.Detector, f.Outcome, report.Explain(f))
}

// holdKind is [Hold] for a kind of detector with its defaults, which are the
// subject's promises.
func holdKind(kind string) types.GomegaMatcher {
	d, err := detect.New(kind)
	if err != nil {
		panic(err) // a matcher of this package names a detector that is not there
	}
	return Hold(d)
}
