package experiments

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/faults"
)

func TestMeasureRoundTrips(t *testing.T) {
	x, _, load, m := fakes()
	a := &MeasureRoundTrips{Connections: 4, For: time.Second, Uses: "db"}
	a.bind("it", time.Second)
	errorIs(t, carryOut(t, a, x), "")
	want := []ClosedLoopSpec{{Name: "it", Connections: 4, For: time.Second, Uses: "db"}}
	if diff := cmp.Diff(want, load.loops); diff != "" {
		t.Errorf("loops (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"it round_trips": 0}, quantitiesIn(m)); diff != "" {
		t.Errorf("recorded of nothing (-want +got):\n%s", diff)
	}
	if err := a.Witness(m, "", journal.Window{}); !errors.Is(err, faults.ErrNotInForce) {
		t.Errorf("the witness of nothing says %v", err)
	}
	load.err = errors.New("no route")
	errorIs(t, carryOut(t, a, x), "measure the round trips: no route")
	x.Recorded = func() (journal.Journal, error) { return nil, errors.New("disk full") }
	load.err = nil
	errorIs(t, carryOut(t, a, x), "measure the round trips: disk full")
}

func TestMeasureRoundTripsRecords(t *testing.T) {
	x, _, _, m := fakes()
	(&MeasureRoundTrips{}).record(x, []detect.Trips{{Route: "place", Count: 5.17}, {Route: "get", Count: 0.2}})
	want := map[string]float64{"it round_trips_place": 5.17, "it round_trips_get": 0.2, "it round_trips": 5}
	if diff := cmp.Diff(want, quantitiesIn(m)); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

// measuredTarget takes toxics.
type measuredTarget struct {
	faults.Proxied
	toxics []faults.Toxic
}

func (*measuredTarget) Name() string { return "db" }

func (*measuredTarget) Kind() string { return "postgres" }

func (m *measuredTarget) AddToxic(_ context.Context, t faults.Toxic) error {
	m.toxics = append(m.toxics, t)
	return nil
}

func (*measuredTarget) RemoveToxic(context.Context, string) error { return nil }

type targetEnvironment struct {
	environment.Environment
	target faults.Target
}

func (e targetEnvironment) Target(string) (faults.Target, error) { return e.target, nil }

func TestFaultFollowsWhatWasMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, _, _, m := fakes()
		target := &measuredTarget{}
		x.Environment, x.Target = targetEnvironment{target: target}, "db"
		a := &FaultAction{Fault: &faults.Latency{Answer: 200 * time.Millisecond, Stream: faults.Downstream}}
		errorIs(t, carryOut(t, a, x), "add measure_round_trips")

		began := time.Now()
		x.Measured = func(name string) (journal.Quantity, bool) { // the step before is late
			late := time.Since(began) > time.Second && name == faults.QuantityRoundTrips
			return journal.Quantity{Value: 5}, late
		}
		errorIs(t, carryOut(t, a, x), "")
		if len(target.toxics) != 1 || target.toxics[0].Attributes["latency"] != 40*time.Millisecond {
			t.Errorf("toxics are %+v", target.toxics)
		}
		if diff := cmp.Diff(map[string]float64{"it injected_latency": 0.04}, quantitiesIn(m)); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
	})
}
