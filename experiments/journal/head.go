package journal

import (
	"iter"
	"slices"
)

// Extent is how far a journal had been recorded: so many entries, and so many
// requests. Instants would not tell, since what others saw is recorded later
// than it was seen.
type Extent struct {
	Entries  int `json:"entries"`
	Requests int `json:"requests"`
}

// Head is the beginning of a journal: what had been recorded at some moment of
// the run. It stays the same however much is recorded afterwards.
type Head struct {
	Of     Journal
	Extent Extent
}

// Header is that of the whole journal, which was written first.
func (h Head) Header() Header { return h.Of.Header() }

// Entries yields the entries of the named kinds, or all, up to the head's end.
func (h Head) Entries(kinds ...string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		n := 0
		for e := range h.Of.Entries() {
			if n++; n > h.Extent.Entries {
				return
			}
			if (len(kinds) == 0 || slices.Contains(kinds, e.Body.Kind())) && !yield(e) {
				return
			}
		}
	}
}

// Requests yields those due in the window, up to the head's end.
func (h Head) Requests(w Window) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		n := 0
		for r := range h.Of.Requests(Window{}) {
			if n++; n > h.Extent.Requests {
				return
			}
			if w.Contains(r.Due) && !yield(r) {
				return
			}
		}
	}
}

// Steps are the steps as carried out up to the head's end.
func (h Head) Steps() []Step { return CollectSteps(h.Header(), Of[StepEvent](h)) }

var _ Journal = Head{}
