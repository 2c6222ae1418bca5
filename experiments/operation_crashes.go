package experiments

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// Crashes kills replicas again and again (SIGKILL), each cycle another one, at
// a moment that is drawn anew, and starts each again at once, as a platform
// does. Beside an attack of writes it crashes them wherever in their work they
// are (D52).
type Crashes struct {
	// Cycles is how many crashes there are. Default 20.
	Cycles int `yaml:"cycles" json:"cycles,omitempty"`
	// Every is the length of a cycle. The crash is somewhere in its first half,
	// so that the second is left to be ready again; a replica that takes longer
	// delays the next. Default 1.2s.
	Every time.Duration `yaml:"every" json:"every,omitempty"`
	// Seed feeds the draws of the moments. Zero: from the plan's seed.
	Seed uint64 `yaml:"seed" json:"seed,omitempty"`
}

var _ = registerAction(ClassOperation, "crashes", func() Action {
	return &Crashes{Cycles: 20, Every: 1200 * time.Millisecond}
})

// String is the operation in one line.
func (c *Crashes) String() string {
	return fmt.Sprintf("%d crashes (SIGKILL), each of another replica", c.Cycles)
}

// Validate says what is wrong with the parameters.
func (c *Crashes) Validate() error {
	if c.Cycles < 1 || c.Every < 2*time.Millisecond {
		return fmt.Errorf("crashes: cycles must be 1 or more, every 2ms or more")
	}
	return nil
}

// Length is how long the operation takes when its step does not say.
func (c *Crashes) Length() time.Duration { return c.Every * time.Duration(c.Cycles) }

// Supports takes the service as a whole.
func (c *Crashes) Supports(_ *subject.Subject, target string) error {
	if err := c.Validate(); err != nil {
		return err
	}
	return onService(target)
}

// crashPatience is how long a replica that does not come back is started again.
const crashPatience = 15 * time.Second

// Start begins the first cycle and returns at once.
func (c *Crashes) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	return background(ctx, func(ctx context.Context) error {
		all, began := x.Environment.Replicas(), time.Now()
		for n, moment := range c.moments() {
			if err := wait(ctx, time.Until(began.Add(moment))); err != nil {
				return err
			}
			rep := all[n%len(all)]
			if err := crash(ctx, x, rep); err != nil {
				return fmt.Errorf("crash %d of %d: %w", n+1, c.Cycles, err)
			}
		}
		return nil
	}), nil
}

// moments are those of the crashes, from the operation's beginning on.
func (c *Crashes) moments() []time.Duration {
	draws := rand.New(rand.NewPCG(c.Seed, 0)) //nolint:gosec // draws that can be repeated, not secrets
	all := make([]time.Duration, c.Cycles)
	for n := range all {
		all[n] = c.Every*time.Duration(n) + time.Duration(draws.Int64N(int64(c.Every/2)))
	}
	return all
}

// crash kills a replica and starts it again. One that had ended by itself is no
// error of the operation.
func crash(ctx context.Context, x *Execution, rep environment.Replica) error {
	if err := rep.Signal(ctx, syscall.SIGKILL); err != nil {
		note(x, rep, err)
	}
	if err := rep.WaitExit(ctx); err != nil {
		return err
	}
	return startAgain(ctx, x, rep, crashPatience)
}

// Witness asks for every crash to have been seen.
func (c *Crashes) Witness(j journal.Journal, _ string, w journal.Window) error {
	seen := 0
	for e, exit := range journal.Of[journal.Exited](j) {
		if e.At >= w.From && exit.Signal == "killed" && slices.Contains(j.Header().Replicas, e.On) {
			seen++
		}
	}
	if seen < c.Cycles {
		return fmt.Errorf("%w: of %d crashes %d were seen", faults.ErrNotInForce, c.Cycles, seen)
	}
	return nil
}
