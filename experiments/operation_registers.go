package experiments

import (
	"context"
	"fmt"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Registers has several callers write and read the same few registers of the
// traffic at the same time, at the replicas directly: three of ten requests
// write, each a value of its own. Whether what was read can be explained is for
// the detector linearizability.
//
// It needs a register in the traffic.
type Registers struct {
	// Keys is how many registers are used. Default 3.
	Keys int `yaml:"keys" json:"keys,omitempty"`
	// Callers is how many ask at the same time, each for one thing after the
	// other. Default 6.
	Callers int `yaml:"callers" json:"callers,omitempty"`
	// Pause is how long a caller waits between an answer and its next request on
	// average: nothing to twice that, drawn from the seed. Default 50ms.
	Pause time.Duration `yaml:"pause" json:"pause,omitempty"`
	// For is how long they go on. Default 8s.
	For time.Duration `yaml:"for" json:"for,omitempty"`
}

var _ = registerAction(ClassOperation, "registers", func() Action {
	return &Registers{Keys: 3, Callers: 6, Pause: 50 * time.Millisecond, For: 8 * time.Second}
})

// String is the operation in one line.
func (r *Registers) String() string {
	return fmt.Sprintf("write and read %d registers by %d callers for %v", r.Keys, r.Callers, r.For)
}

// Validate says what is wrong with the parameters.
func (r *Registers) Validate() error {
	if r.Keys < 1 || r.Callers < 2 || r.Pause < 0 || r.For <= 0 {
		return fmt.Errorf("registers: keys must be 1 or more, callers 2 or more, pause not negative, for above zero")
	}
	return nil
}

// Length is how long the operation takes when its step does not say.
func (r *Registers) Length() time.Duration { return r.For }

// Supports takes the service as a whole, if its traffic has a register.
func (r *Registers) Supports(s *subject.Subject, target string) error {
	if err := r.Validate(); err != nil {
		return err
	}
	if s.Traffic.Register == nil {
		return fmt.Errorf("the traffic has no register, a thing of which whoever reads it gets what was written last " +
			"(traffic.register)")
	}
	return onService(target)
}

// Start writes and reads; it returns at once.
func (r *Registers) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	spec := RegistersSpec{Name: x.Step, Keys: r.Keys, Callers: r.Callers, Pause: r.Pause, For: r.For}
	return background(ctx, func(ctx context.Context) error { return x.Load.Registers(ctx, spec) }), nil
}

// Witness asks for requests that were answered.
func (*Registers) Witness(j journal.Journal, _ string, w journal.Window) error {
	return answered(j, w, "requests", func(op journal.RegisterOp) (sent, ok bool) {
		return true, op.Outcome == journal.Acknowledged
	})
}
