package faults

import (
	"context"
	"fmt"

	"github.com/seatrial/seatrial/experiments/journal"
)

// CPULimit bounds the processors of a container, a replica's or a dependency's:
// a limit that is too small, a neighbour that takes what was shared. Reverting
// it gives back what the subject grants.
//
// In force: the kernel counted periods in which it watched the bound. Exercised:
// it held the container back in some of them, and the target had work: a
// replica, when requests were due; a dependency, when the service used it.
type CPULimit struct {
	// CPUs is what is left: 0.1 is a tenth of one processor. At least 0.01.
	// Default 0.1.
	CPUs float64 `yaml:"cpus" json:"cpus,omitempty"`
}

var _ = register("cpu_limit", func() Fault { return &CPULimit{CPUs: 0.1} })

// String is the fault in one line.
func (f *CPULimit) String() string { return fmt.Sprintf("cpu limit, %g of one processor", f.CPUs) }

// leastCPUs is the least that container engines take.
const leastCPUs = 0.01

// Supports wants a container.
func (f *CPULimit) Supports(t Target) error {
	if f.CPUs < leastCPUs {
		return fmt.Errorf("cpu_limit: cpus %g is below %g, which is the least", f.CPUs, leastCPUs)
	}
	_, err := bounded("cpu_limit", t)
	return err
}

// Inject bounds it.
func (f *CPULimit) Inject(ctx context.Context, t Target) (Injection, error) {
	if err := f.Supports(t); err != nil {
		return nil, err
	}
	b := t.(Bounded)
	q := &squeeze{target: b}
	q.add(func(ctx context.Context) error { return b.BoundCPUs(ctx, 0) })
	if err := b.BoundCPUs(ctx, f.CPUs); err != nil {
		return nil, q.fail(ctx, fmt.Errorf("cpu_limit: %w", err))
	}
	q.watch(ctx)
	return q, nil
}

// Witness asks what the kernel counted.
func (f *CPULimit) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	before, during := s.usages()
	if len(during) == 0 {
		return notInForce("nothing was learnt of the container of %q in the window", target)
	}
	var periods, throttled uint64
	seen := append(before[max(len(before)-1, 0):], during...)
	for i, u := range seen[1:] {
		if last := seen[i]; u.Periods >= last.Periods { // otherwise it was started anew
			periods += u.Periods - last.Periods
			throttled += u.Throttled - last.Throttled
		}
	}
	switch {
	case periods == 0:
		return notInForce("the kernel watched no bound on the processors of %q", target)
	case throttled == 0:
		return notExercised("in %d periods %q never needed more than %g of one processor", periods, target, f.CPUs)
	}
	return s.hit()
}
