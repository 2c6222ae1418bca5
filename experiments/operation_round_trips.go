package experiments

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// MeasureRoundTrips finds how many round trips to a dependency an answer waits
// for: a few connections are kept busy on one replica, a latency fault comes
// into force meanwhile, which is a step of its own, and what an answer then
// takes longer is divided by what our own round trip takes longer
// (detectors.md, section 1). It records round_trips_<route> for each route, and
// the largest, rounded, as round_trips; zero when no route was seen to wait for
// the dependency.
type MeasureRoundTrips struct {
	// Connections is how many are kept busy. Default 4, few enough for none to
	// wait for another.
	Connections int `yaml:"connections" json:"connections,omitempty"`
	// For is how long it measures. It must reach into the latency fault, and
	// end within it. Default 2s.
	For time.Duration `yaml:"for" json:"for,omitempty"`
	// Routes restricts the traffic to these requests. Empty: all.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
	// Uses restricts it to requests that use this dependency (name or kind).
	// Empty: any.
	Uses string `yaml:"uses" json:"uses,omitempty"`

	step string // set by the plan
}

var _ = registerAction(ClassOperation, "measure_round_trips", func() Action {
	return &MeasureRoundTrips{Connections: 4, For: 2 * time.Second}
})

func (m *MeasureRoundTrips) bind(step string, _ time.Duration) { m.step = step }

// String is the operation in one line.
func (m *MeasureRoundTrips) String() string {
	return fmt.Sprintf("measure the round trips to %s that an answer waits for, for %v",
		cmp.Or(m.Uses, "the dependency"), m.For)
}

// Length is how long the operation takes when its step does not say.
func (m *MeasureRoundTrips) Length() time.Duration { return m.For }

// Supports takes the service as a whole, or one replica.
func (m *MeasureRoundTrips) Supports(s *subject.Subject, target string) error {
	if target == "" {
		return nil
	}
	return onReplica(s, target)
}

// Start measures; it returns at once, and stop waits for the figures.
func (m *MeasureRoundTrips) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	spec := ClosedLoopSpec{
		Name: x.Step, Connections: m.Connections, For: m.For,
		Routes: m.Routes, Uses: m.Uses, Replica: x.Target,
	}
	return background(ctx, func(ctx context.Context) error {
		if _, err := x.Load.ClosedLoop(ctx, spec); err != nil {
			return fmt.Errorf("measure the round trips: %w", err)
		}
		j, err := x.Recorded()
		if err != nil {
			return fmt.Errorf("measure the round trips: %w", err)
		}
		// What could not be measured is told by the witness, from the journal.
		found, _ := detect.RoundTrips(j, x.Step)
		m.record(x, found)
		return nil
	}), nil
}

func (m *MeasureRoundTrips) record(x *Execution, found []detect.Trips) {
	most := 0
	for _, t := range found {
		most = max(most, t.Rounded())
		x.Recorder.Record(journal.Entry{On: x.Step, Body: journal.Measured{Quantity: journal.Quantity{
			Name: tripsOf(t.Route), Value: t.Count, Unit: "1", Samples: t.Samples,
		}}})
	}
	x.Recorder.Record(journal.Entry{On: x.Step, Body: journal.Measured{Quantity: journal.Quantity{
		Name: faults.QuantityRoundTrips, Value: float64(most), Unit: "1",
	}}})
}

func tripsOf(route string) string { return faults.QuantityRoundTrips + "_" + route }

// Witness works the figures out again, and wants a route that waits for the
// dependency.
func (m *MeasureRoundTrips) Witness(j journal.Journal, _ string, _ journal.Window) error {
	found, err := detect.RoundTrips(j, m.step)
	if err != nil {
		return fmt.Errorf("%w: the round trips were not measured: %w", faults.ErrNotInForce, err)
	}
	if found[0].Rounded() == 0 {
		return fmt.Errorf("%w: no route was seen to wait for %s; the one that most did waited for %.2f round trips",
			faults.ErrNotExercised, cmp.Or(m.Uses, "the dependency"), found[0].Count)
	}
	return nil
}

// heaviest is the one of the routes that an earlier step found to wait for the
// most round trips; all of them when none was found to wait.
func heaviest(x *Execution, routes []string) []string {
	most, found := 0.5, routes
	for _, route := range routes {
		if q, ok := x.Measured(tripsOf(route)); ok && q.Value >= most {
			most, found = q.Value, []string{route}
		}
	}
	return found
}

var _ bound = (*MeasureRoundTrips)(nil)
