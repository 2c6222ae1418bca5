package journal

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A follower sees what Open sees, each time a little more, and its heads stay as
// they were.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(dir, Header{Run: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	follow := Follow(dir)
	var heads []Head
	for i := range 20 {
		f.Record(Entry{At: Instant(i + 1), On: "note", Body: Note{Text: strings.Repeat("x", i)}})
		f.Request(Request{Seq: uint64(i), Attack: "load", Route: "route-" + string(rune('a'+i)), Due: Instant(i)})
		if err := f.Flush(); err != nil {
			t.Fatal(err)
		}
		head, err := follow.Head()
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, head)
	}
	whole, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range heads {
		if h.Extent != (Extent{i + 1, i + 1}) || h.Header().Run != "r1" {
			t.Errorf("head %d has %+v of run %q", i, h.Extent, h.Header().Run)
		}
		same(t, Head{Of: whole, Extent: h.Extent}, h)
	}
	same(t, whole, heads[len(heads)-1])
}

func same(t *testing.T, want, got Journal) {
	t.Helper()
	if diff := cmp.Diff(slices.Collect(want.Entries()), slices.Collect(got.Entries())); diff != "" {
		t.Errorf("other entries: %s", diff)
	}
	w := Window{From: 2, To: 15}
	if diff := cmp.Diff(slices.Collect(want.Requests(w)), slices.Collect(got.Requests(w))); diff != "" {
		t.Errorf("other requests: %s", diff)
	}
}

// A line or a record that is being written is left for the next time.
func TestFollowAnUnfinishedLine(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(dir, Header{Run: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	f.Record(Entry{At: 1, Body: Note{Text: "one"}})
	f.Request(Request{Seq: 1})
	f.Request(Request{Seq: 2})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	follow := Follow(dir)
	path, requests := filepath.Join(dir, EntriesFile), filepath.Join(dir, RequestsFile)
	if err := os.Truncate(requests, binaryHead+2*binaryRecord-1); err != nil {
		t.Fatal(err)
	}
	for i, part := range []string{`{"t":2,"kind":"no`, `te","data":{"text":"two"}}`, "\n", `{"t":3`} {
		if err := addTo(path, part); err != nil {
			t.Fatal(err)
		}
		head, err := follow.Head()
		want := Extent{Entries: 1, Requests: 1}
		if i >= 2 {
			want.Entries = 2
		}
		if err != nil || head.Extent != want {
			t.Errorf("after part %d there is %+v, want %+v (%v)", i, head.Extent, want, err)
		}
	}
	if err := addTo(path, "\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := follow.Head(); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("a broken line is read: %v", err)
	}
}

func addTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.Close()
}

// Several may ask while the journal goes on.
func TestFollowBesideEachOther(t *testing.T) {
	dir := t.TempDir()
	f, err := Create(dir, Header{Run: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	follow := Follow(dir)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for i := range 30 {
				f.Record(Entry{Body: Note{Text: "noted"}})
				f.Request(Request{Seq: uint64(i), Route: "a", Attack: "load"})
				_ = f.Flush() // told by Close
				head, err := follow.Head()
				if err != nil {
					t.Error(err)
					return
				}
				entries, requests := len(slices.Collect(head.Entries())), len(slices.Collect(head.Requests(Window{})))
				if (Extent{entries, requests}) != head.Extent || entries <= i || requests <= i {
					t.Errorf("a head of %+v has %d entries and %d requests", head.Extent, entries, requests)
				}
			}
		})
	}
	all.Wait()
}
