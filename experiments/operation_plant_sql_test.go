package experiments

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestPlantSQL(t *testing.T) {
	x, _, load, m := fakes()
	p := &PlantSQL{Uses: "db", Routes: []string{"create"}, Pause: time.Millisecond}
	errorIs(t, carryOut(t, p, x), "")
	want := []PlantSQLSpec{{Name: "it", Uses: "db", Routes: []string{"create"}, Pause: time.Millisecond}}
	if diff := cmp.Diff(want, load.plants); diff != "" {
		t.Errorf("planted (-want +got):\n%s", diff)
	}
	m.Record(journal.Entry{At: 5, On: "it", Body: journal.Planted{Form: journal.PlantedControl, Code: 200}})
	errorIs(t, p.Witness(m, "", journal.Window{}), "of 0 requests with a planted value none was answered")
	m.Record(journal.Entry{At: 5, On: "it", Body: journal.Planted{Form: journal.PlantedQuote, Code: 400}})
	errorIs(t, p.Witness(m, "", journal.Window{From: 6}), "of 0 requests")
	errorIs(t, p.Witness(m, "", journal.Window{From: 5}), "")
	sub := sampleSubject(t)
	errorIs(t, p.Supports(sub, ""), "")
	errorIs(t, p.Supports(sub, "postgres"), "leave out")
	errorIs(t, (&PlantSQL{Pause: -1}).Supports(sub, ""), "must not be negative")
}
