package experiments

import (
	"cmp"
	"fmt"
	"reflect"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
)

// answersKind is what the finding on recorded answers is called.
const answersKind = "answers"

// answersShown is how many of them a finding points at.
const answersShown = 6

// answers compares what detectors said while the run went on (the gate,
// guardrails, and the stop rules that ended steps early) with what they say of
// the same head of the journal now. The finding is unknown at the first that
// differs; the second value is false when there is nothing to compare.
func (p judge) answers(j journal.Journal) (f detect.Finding, any bool) {
	f = detect.Finding{Detector: answersKind, Outcome: detect.Held}
	asked := map[string]int{} // how often, by purpose and step
	compared := 0
	for e, a := range journal.Of[journal.Assessment](j) {
		of, step := a.Purpose, ""
		if a.Purpose == journal.PurposeStop {
			step = e.On
		}
		n := asked[of+"\x00"+step]
		asked[of+"\x00"+step]++
		if a.Seen == nil {
			continue // of a version that did not take down what it had seen
		}
		compared++
		said := detect.Evidence{At: e.At, Kind: a.Kind(), On: e.On, Excerpt: a.Outcome + ": " + a.Reason}
		again, err := p.again(j, a, step, n)
		if err == nil {
			err = differs(a, again)
		}
		if err != nil {
			f.Outcome = detect.Unknown
			f.Reason = fmt.Sprintf("what %s said at %v, when it was asked as %s, is not what it says of the same part of the "+
				"journal now: %v; the journal or the plan is not the one it was asked with, or another version is judging",
				a.Detector, e.At, cmp.Or(purposes[a.Purpose], a.Purpose), err)
			f.Evidence = []detect.Evidence{said}
			return f, true
		}
		if len(f.Evidence) < answersShown {
			f.Evidence = append(f.Evidence, said)
		}
	}
	f.Reason = fmt.Sprintf("%d answers that were given while the run went on are those of the same part of the journal "+
		"now", compared)
	return f, compared > 0
}

// purposes in words.
var purposes = map[string]string{
	journal.PurposeGate:      "the gate",
	journal.PurposeGuardrail: "a guardrail",
	journal.PurposeStop:      "what ends a step early",
}

// again asks the detector that gave the nth answer to a purpose once more.
func (p judge) again(j journal.Journal, a journal.Assessment, step string, n int) (detect.Finding, error) {
	head := journal.Head{Of: j, Extent: *a.Seen}
	var asked []Expectation
	switch a.Purpose {
	case journal.PurposeGate:
		asked = p.Experiment.SteadyState.Expect
	case journal.PurposeGuardrail:
		asked = p.Experiment.Guardrails
	case journal.PurposeStop:
		for _, s := range p.Steps {
			if s.Name == step {
				asked = s.Until
			}
		}
	}
	if len(asked) == 0 {
		return detect.Finding{}, fmt.Errorf("the plan asks nothing there")
	}
	d := asked[n%len(asked)].Detector
	if a.Purpose != journal.PurposeStop {
		return d.Detect(head), nil
	}
	sequential, ok := d.(detect.Sequential)
	if !ok {
		return detect.Finding{}, fmt.Errorf("the plan's detector there does not know when it has seen enough")
	}
	return sequential.Enough(head, step), nil
}

// differs says in what an answer differs from the one that was recorded; the
// words of its reason may.
func differs(a journal.Assessment, f detect.Finding) error {
	same := len(a.Quantities) == len(f.Quantities)
	for i := 0; same && i < len(a.Quantities); i++ {
		same = reflect.DeepEqual(a.Quantities[i], f.Quantities[i])
	}
	switch {
	case a.Detector != f.Detector:
		return fmt.Errorf("it is %s that is asked there", f.Detector)
	case a.Outcome != string(f.Outcome):
		return fmt.Errorf("%s then, %s now (%s)", a.Outcome, f.Outcome, f.Reason)
	case !same:
		return fmt.Errorf("%v then, %v now", a.Quantities, f.Quantities)
	}
	return nil
}
