package experiments

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

func TestMeasureCapacity(t *testing.T) {
	for name, tt := range map[string]struct {
		connections, promised, want int
		err                         error
	}{
		"given":    {connections: 4, promised: 7, want: 4},
		"promised": {promised: 7, want: 7},
		"neither":  {want: 10},
		"broken":   {want: 10, err: errors.New("no route")},
	} {
		t.Run(name, func(t *testing.T) {
			x, _, load, m := fakes()
			x.Plan.Subject.Promises.MaxOpenConnections = tt.promised
			load.perSecond, load.err = 52, tt.err
			a := &MeasureCapacity{Connections: tt.connections, For: time.Second, Uses: "db"}
			err := carryOut(t, a, x)
			want := []ClosedLoopSpec{{Name: "it", Connections: tt.want, For: time.Second, Uses: "db"}}
			if diff := cmp.Diff(want, load.loops); diff != "" {
				t.Errorf("loops (-want +got):\n%s", diff)
			}
			witness := a.Witness(m, "", journal.Window{})
			if tt.err != nil {
				errorIs(t, err, "measure the capacity: no route")
				if !errors.Is(witness, faults.ErrNotInForce) {
					t.Errorf("the witness of nothing says %v", witness)
				}
				return
			}
			errorIs(t, errors.Join(err, witness), "")
			if got := quantitiesIn(m)["it capacity"]; got != 52 {
				t.Errorf("recorded a capacity of %v", got)
			}
		})
	}
}
