// Package detect holds the rules that say whether a promise held: one file per
// detector. A detector is a pure function of a journal; it never sees the
// service, the environment or the clock.
package detect

import (
	"fmt"
	"maps"
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Detector judges one behaviour. Its value is its parameters, decoded from
// YAML; zero parameters mean the subject's promises.
type Detector interface {
	Detect(journal.Journal) Finding
}

// Outcome is a finding's answer.
type Outcome string

// Outcomes. The zero value is no outcome and counts as unknown.
const (
	Held          Outcome = "held"
	Violated      Outcome = "violated"
	Unknown       Outcome = "unknown"
	NotApplicable Outcome = "not applicable"
)

// Finding is what a detector says of a journal.
type Finding struct {
	Detector  string   `json:"detector"`            // its kind, such as "jitter"
	Checklist []string `json:"checklist,omitempty"` // items it speaks to, such as "3.3"
	Outcome   Outcome  `json:"outcome"`
	// Failure is the name of a violation that is of a kind of its own:
	// [Metastable]. Empty for all others.
	Failure string `json:"failure,omitempty"`
	// Reason is one sentence that the service's owner can act on: what was
	// promised and what was seen.
	Reason string `json:"reason"`
	// Remark is a warning on a finding that held; empty without one.
	Remark     string             `json:"remark,omitempty"`
	Quantities []journal.Quantity `json:"quantities,omitempty"`
	Evidence   []Evidence         `json:"evidence,omitempty"`
}

// Called is the word that a report says for the finding: the name of its
// failure, or else its outcome.
func (f Finding) Called() string {
	if f.Failure != "" {
		return f.Failure
	}
	return string(f.Outcome)
}

// Evidence points into the journal at what a finding rests on: the first, the
// worst, the typical.
type Evidence struct {
	At      journal.Instant `json:"at"`
	Kind    string          `json:"kind"`         // an entry's kind, or "request"
	On      string          `json:"on,omitempty"` // as in the entry; a request's id
	Excerpt string          `json:"excerpt"`
}

// Class tells how sure one violated run is.
type Class string

// Classes of detectors (detectors.md, section 1).
const (
	// Safety: deterministic; one counterexample is a violation.
	Safety Class = "safety"
	// Timing: violated only when two of two independent runs say so.
	Timing Class = "timing"
	// Rate: a share or a quantile with a stated error; treated like Timing.
	Rate Class = "rate"
)

// Info describes a kind of detector.
type Info struct {
	Kind      string   // in YAML: "jitter"
	ID        string   // in the list of detectors: "D12"; may be empty
	Checklist []string // items of the production checklist
	Class     Class
	Summary   string // one line, for list and schema
	// Statements says that it reads what the wire tap records, so that a plan
	// which asks for it puts one before the databases.
	Statements bool
}

type registration struct {
	info Info
	make func() Detector
}

var kinds = map[string]registration{}

// register names a kind of detector for files. The function returns a pointer
// to a struct that holds the defaults, ready to be decoded into.
func register(info Info, f func() Detector) struct{} {
	if _, twice := kinds[info.Kind]; twice {
		panic("detect: " + info.Kind + " is registered twice")
	}
	kinds[info.Kind] = registration{info, f}
	return struct{}{}
}

// New returns a detector of the named kind with its defaults.
func New(kind string) (Detector, error) {
	r, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("no detector is called %q; there are %v", kind, Kinds())
	}
	return r.make(), nil
}

// Kinds lists all kinds of detectors, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Describe returns what is known of a kind.
func Describe(kind string) (Info, bool) {
	r, ok := kinds[kind]
	return r.info, ok
}

// finding begins a finding of a registered kind.
func finding(kind string) Finding {
	info := kinds[kind].info
	return Finding{Detector: kind, Checklist: info.Checklist}
}

func (f Finding) held(format string, args ...any) Finding {
	return f.as(Held, format, args...)
}

func (f Finding) violated(format string, args ...any) Finding {
	return f.as(Violated, format, args...)
}

func (f Finding) unknown(format string, args ...any) Finding {
	return f.as(Unknown, format, args...)
}

func (f Finding) notApplicable(format string, args ...any) Finding {
	return f.as(NotApplicable, format, args...)
}

func (f Finding) as(o Outcome, format string, args ...any) Finding {
	f.Outcome, f.Reason = o, say(format, args...)
	return f
}
