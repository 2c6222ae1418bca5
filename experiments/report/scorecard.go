package report

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

//go:embed checklist.yaml
var checklistYAML []byte

// Item is one line of the production checklist.
type Item struct {
	ID   string   `yaml:"id"`
	Says string   `yaml:"says"`
	How  string   `yaml:"how"` // proved, inspected or attested
	By   []string `yaml:"by"`  // detectors, by their id: "D12"
}

// Chapter is one chapter of the production checklist.
type Chapter struct {
	Number int    `yaml:"number"`
	Title  string `yaml:"title"`
	Items  []Item `yaml:"items"`
}

type checklistFile struct {
	Chapters  []Chapter `yaml:"chapters"`
	QuickGate []Item    `yaml:"quick_gate"`
}

var readChecklist = sync.OnceValue(func() checklistFile {
	var c checklistFile
	if err := yaml.UnmarshalWithOptions(checklistYAML, &c, yaml.Strict()); err != nil {
		panic("report: the embedded checklist: " + err.Error())
	}
	return c
})

// Checklist is the production checklist: its chapters, and the quick gate.
func Checklist() ([]Chapter, []Item) {
	c := readChecklist()
	return c.Chapters, c.QuickGate
}

// State says what a trial has shown of a checklist item.
type State string

// States of an item. An item that several detectors speak to is violated when
// one of them is, and held only when all that were asked say so.
const (
	ShownHeld     State = "held"
	ShownPartly   State = "partly" // some findings held, others are unknown or were not asked for
	ShownViolated State = "violated"
	ShownUnknown  State = "unknown"
	ShownNothing  State = "not applicable"
	NotShown      State = "not tried"
)

// States lists the states, worst first.
func States() []State {
	return []State{ShownViolated, ShownUnknown, ShownPartly, ShownHeld, ShownNothing, NotShown}
}

// Row is one item of the scorecard.
type Row struct {
	Item
	State State
	// Says of each finding where it comes from, worst first.
	Grounds []Ground
	// Untried are detectors that speak to the item and were not asked.
	Untried []string
}

// Ground is one finding that a row rests on.
type Ground struct {
	Experiment string
	Detector   string
	ID         string // the detector's, such as D12
	Outcome    detect.Outcome
	Reason     string
}

// ScoredChapter is one chapter of the scorecard.
type ScoredChapter struct {
	Number int
	Title  string
	Rows   []Row
}

// Scorecard says of every item of the checklist what a trial has shown of it.
type Scorecard struct {
	Chapters []ScoredChapter
	Gate     []Row
}

// NewScorecard puts the findings of a trial's verdicts into the checklist. An
// expectation that was tried and has no finding there, because no run of it was
// sound, counts as unknown.
func NewScorecard(t *folder.Trial) Scorecard {
	grounds := collectGrounds(t)
	chapters, gate := Checklist()
	var card Scorecard
	for _, c := range chapters {
		scored := ScoredChapter{Number: c.Number, Title: c.Title}
		for _, item := range c.Items {
			row := Row{Item: item, Grounds: grounds.items[item.ID]}
			scored.Rows = append(scored.Rows, row.settle())
		}
		card.Chapters = append(card.Chapters, scored)
	}
	for _, item := range gate {
		row := Row{Item: item}
		for _, id := range item.By {
			row.Grounds = append(row.Grounds, grounds.detectors[id]...)
		}
		card.Gate = append(card.Gate, row.settle())
	}
	return card
}

type groundIndex struct{ items, detectors map[string][]Ground }

func collectGrounds(t *folder.Trial) groundIndex {
	index := groundIndex{map[string][]Ground{}, map[string][]Ground{}}
	for _, e := range t.Experiments {
		found := map[string]bool{}
		for _, f := range e.Verdict.Findings {
			found[f.Detector] = true
			index.add(e.Name, f)
		}
		if len(e.Runs) == 0 {
			continue
		}
		for _, kind := range e.Expect {
			info, known := detect.Describe(kind)
			if known && !found[kind] {
				index.add(e.Name, detect.Finding{
					Detector: kind, Checklist: info.Checklist, Outcome: detect.Unknown,
					Reason: fmt.Sprintf("the verdict was %s: %s", e.Verdict.Outcome, e.Verdict.Reason),
				})
			}
		}
	}
	return index
}

func (x groundIndex) add(experiment string, f detect.Finding) {
	info, _ := detect.Describe(f.Detector)
	g := Ground{experiment, f.Detector, info.ID, f.Outcome, f.Reason}
	for _, item := range f.Checklist {
		x.items[item] = append(x.items[item], g)
	}
	if info.ID != "" {
		x.detectors[info.ID] = append(x.detectors[info.ID], g)
	}
}

var badness = map[detect.Outcome]int{detect.Violated: 0, detect.Unknown: 1, detect.Held: 2, detect.NotApplicable: 3}

func (r Row) settle() Row {
	n := map[detect.Outcome]int{}
	seen := map[string]bool{}
	for _, g := range r.Grounds {
		n[g.Outcome]++
		seen[g.ID] = true
	}
	slices.SortStableFunc(r.Grounds, func(a, b Ground) int { return badness[a.Outcome] - badness[b.Outcome] })
	for _, id := range r.By {
		if !seen[id] {
			r.Untried = append(r.Untried, id)
		}
	}
	switch {
	case n[detect.Violated] > 0:
		r.State = ShownViolated
	case n[detect.Held] > 0 && (n[detect.Unknown] > 0 || len(r.Untried) > 0):
		r.State = ShownPartly
	case n[detect.Unknown] > 0:
		r.State = ShownUnknown
	case n[detect.Held] > 0:
		r.State = ShownHeld
	case len(r.Grounds) > 0:
		r.State = ShownNothing
	default:
		r.State = NotShown
	}
	return r
}

// Count returns how many items are in a state.
func (s Scorecard) Count(state State) int {
	n := 0
	for _, c := range s.Chapters {
		for _, r := range c.Rows {
			if r.State == state {
				n++
			}
		}
	}
	return n
}

// Total is the number of items.
func (s Scorecard) Total() int {
	n := 0
	for _, c := range s.Chapters {
		n += len(c.Rows)
	}
	return n
}

// Violated lists the ids of violated items.
func (s Scorecard) Violated() []string {
	var ids []string
	for _, c := range s.Chapters {
		for _, r := range c.Rows {
			if r.State == ShownViolated {
				ids = append(ids, r.ID)
			}
		}
	}
	return ids
}

// Sentence says how many of the items were shown to hold.
func (s Scorecard) Sentence() string {
	held := s.Count(ShownHeld)
	parts := []string{fmt.Sprintf("%d of %d items shown to hold", held, s.Total())}
	if ids := s.Violated(); len(ids) > 0 {
		parts = append(parts, fmt.Sprintf("%d violated (%s)", len(ids), strings.Join(ids, ", ")))
	}
	for _, state := range []State{ShownPartly, ShownUnknown, ShownNothing, NotShown} {
		if n := s.Count(state); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return strings.Join(parts, ", ")
}
