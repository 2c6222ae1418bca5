package journal

import (
	"bufio"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
)

// Saved is a journal read from a folder. It is made by [Open].
type Saved struct {
	dir     string
	header  Header
	names   []string
	entries []Entry
	lines   int // of the entries' file that were read
}

// Header is the journal's header.
func (s *Saved) Header() Header { return s.header }

// Dir is the folder it was read from.
func (s *Saved) Dir() string { return s.dir }

// Entries yields the entries of the named kinds, or all.
func (s *Saved) Entries(kinds ...string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, e := range s.entries {
			if len(kinds) > 0 && !slices.Contains(kinds, e.Body.Kind()) {
				continue
			}
			if !yield(e) {
				return
			}
		}
	}
}

// Requests reads the requests that were due in the window from disk, in bounded
// memory.
func (s *Saved) Requests(w Window) iter.Seq[Request] {
	return func(yield func(Request) bool) {
		file, err := os.Open(filepath.Join(s.dir, RequestsFile))
		if err != nil {
			return // Open has said so
		}
		defer file.Close()
		r := bufio.NewReaderSize(file, 56*4096)
		if readHead(r) != nil {
			return
		}
		var record [binaryRecord]byte
		for {
			if _, err := io.ReadFull(r, record[:]); err != nil {
				return // the end, or a record that was not finished
			}
			q := decodeRequest(record[:], s.text)
			if w.Contains(q.Due) && !yield(q) {
				return
			}
		}
	}
}

func (s *Saved) text(id uint16) string {
	if int(id) < len(s.names) {
		return s.names[id]
	}
	return ""
}

// Steps are the steps as carried out.
func (s *Saved) Steps() []Step { return CollectSteps(s.header, Of[StepEvent](s)) }

var _ Journal = (*Saved)(nil)
