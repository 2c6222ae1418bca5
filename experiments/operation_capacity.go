package experiments

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// QuantityCapacity is the name under which measure_capacity records what it
// found, in successful answers a second.
const QuantityCapacity = "capacity"

// MeasureCapacity finds how many answers a second one replica can give while
// the faults that are in force slow it down: a closed loop keeps a number of
// connections busy, so that by Little's law the processor is not what limits
// (detectors.md, section 1). It ends by itself.
type MeasureCapacity struct {
	// Connections is how many are kept busy. Zero: the promise
	// max_open_connections, or 10.
	Connections int `yaml:"connections" json:"connections,omitempty"`
	// For is how long it measures. Default 3s.
	For time.Duration `yaml:"for" json:"for,omitempty"`
	// Routes restricts the traffic to these requests. Empty: all.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
	// Uses restricts it to requests that use this dependency (name or kind).
	// Empty: any.
	Uses string `yaml:"uses" json:"uses,omitempty"`
	// Heaviest sends only the one of these requests that an earlier
	// measure_round_trips step found to wait for the most round trips. Default
	// false.
	Heaviest bool `yaml:"heaviest" json:"heaviest,omitempty"`
}

var _ = registerAction(ClassOperation, "measure_capacity", func() Action {
	return &MeasureCapacity{For: 3 * time.Second}
})

// String is the operation in one line.
func (m *MeasureCapacity) String() string {
	return fmt.Sprintf("measure the capacity by a closed loop for %v", m.For)
}

// Length is how long the operation takes when its step does not say.
func (m *MeasureCapacity) Length() time.Duration { return m.For }

// Supports takes the service as a whole, or one replica.
func (m *MeasureCapacity) Supports(s *subject.Subject, target string) error {
	if target == "" {
		return nil
	}
	return onReplica(s, target)
}

// Start measures; it returns at once, and stop waits for the figure.
func (m *MeasureCapacity) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	spec := ClosedLoopSpec{
		Name: x.Step, Connections: m.Connections, For: m.For,
		Routes: m.Routes, Uses: m.Uses, Replica: x.Target,
	}
	if m.Heaviest {
		spec.Routes = heaviest(x, m.Routes)
	}
	if spec.Connections == 0 {
		spec.Connections = x.Plan.Subject.Promises.MaxOpenConnections
	}
	if spec.Connections == 0 {
		spec.Connections = 10
	}
	return background(ctx, func(ctx context.Context) error {
		perSecond, err := x.Load.ClosedLoop(ctx, spec)
		if err != nil {
			return fmt.Errorf("measure the capacity: %w", err)
		}
		x.Recorder.Record(journal.Entry{On: x.Step, Body: journal.Measured{Quantity: journal.Quantity{
			Name: QuantityCapacity, Value: perSecond, Unit: "1/s",
		}}})
		return nil
	}), nil
}

// Witness asks for a figure above zero.
func (m *MeasureCapacity) Witness(j journal.Journal, _ string, _ journal.Window) error {
	for _, q := range journal.Of[journal.Measured](j) {
		if q.Name == QuantityCapacity && q.Value > 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: no capacity was measured", faults.ErrNotInForce)
}
