package runner

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/loadgen"
)

// served is an environment whose service is a handler.
type served struct {
	*fake
	url string
}

func (s served) Endpoint(string) string { return s.url }

// A service that stores later is read again, until all that it acknowledged is
// there or its time is up.
func TestLedgerReadsAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		appears int32 // the read from which on the write is there
		status  int   // while it is not
		within  time.Duration
		want    journal.Ledger
		stored  int
	}{
		"at once":     {1, http.StatusNotFound, 0, journal.Ledger{Rows: 1, Asked: true}, 1},
		"later":       {2, http.StatusNotFound, 20 * time.Second, journal.Ledger{Rows: 1, Asked: true}, 1},
		"never":       {99, http.StatusNotFound, 0, journal.Ledger{Asked: true}, 0},
		"cannot tell": {99, http.StatusForbidden, 0, journal.Ledger{Asked: true}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			var reads atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if reads.Add(1) < tt.appears {
					w.WriteHeader(tt.status)
					return
				}
				_, _ = w.Write([]byte(`{"id":"7"}`))
			}))
			defer server.Close()
			p := plan()
			p.Subject.Traffic.Ledger = &loadgen.Ledger{
				Read: &loadgen.ReadRoute{Path: "/work/{{.id}}", ID: "$.id"}, Within: tt.within,
			}
			got, stored := readAfter(t, &run{plan: p, id: "r1", env: served{newFake(t), server.URL}},
				journal.Write{Attack: "load", Key: "k1", Outcome: journal.Acknowledged, Code: 201, ID: "7"})
			if failed := got.Err != ""; failed != (tt.stored < 0) {
				t.Errorf("the reading says %q", got.Err)
			}
			got.Err = ""
			if diff := cmp.Diff(tt.want, got); diff != "" || stored != max(tt.stored, 0) {
				t.Errorf("stored %d times; the reading (-want +got):\n%s", stored, diff)
			}
		})
	}
}

// readAfter records writes and has the ledger read.
func readAfter(t *testing.T, r *run, writes ...journal.Write) (closing journal.Ledger, stored int) {
	t.Helper()
	dir := t.TempDir()
	r.sofar = journal.Follow(dir)
	folder, err := journal.Create(dir, journal.Header{Run: r.id})
	if err != nil {
		t.Fatal(err)
	}
	r.rec = &counted{
		Folder: folder, board: newBoard(nil, "trying", 1),
		measured: map[string]journal.Quantity{}, attacks: map[string]journal.Instant{},
	}
	source, err := loadgen.Compile(r.plan.Subject.Traffic, 1)
	if err != nil {
		t.Fatal(err)
	}
	r.load = &loader{run: r, source: source}
	for _, w := range writes {
		r.rec.Record(journal.Entry{On: "work", Body: w})
	}
	r.readLedger(t.Context())
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range journal.Of[journal.Ledger](j) {
		closing = l
	}
	for _, s := range journal.Of[journal.Stored](j) {
		stored += s.Count
	}
	return closing, stored
}
