package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Latency delays everything on a proxied dependency, also on connections that
// are already open. Reverting it hands over what it held at once.
//
// In force: the median of our round trips in the window is longer than the one
// before by at least 0.7 of the latency. On a tcp dependency, whose round trip
// is a bare connect, the toxic's own count has to do. Exercised: bytes other
// than ours came from the service.
type Latency struct {
	// Latency is the delay of every chunk. Default 300ms.
	Latency time.Duration `yaml:"latency" json:"latency,omitempty"`
	// Answer is by how much an answer of the service is to take longer in all.
	// It takes the place of Latency, which is then Answer divided by the round
	// trips that an earlier measure_round_trips step found an answer to wait
	// for; where it found none, the whole of Answer. Zero: Latency says.
	Answer time.Duration `yaml:"answer" json:"answer,omitempty"`
	// Jitter varies the delay evenly within ± this much. It must not exceed
	// Latency. Default 0.
	Jitter time.Duration `yaml:"jitter" json:"jitter,omitempty"`
	// Stream is downstream (default), upstream or both; with both a round trip
	// takes twice the latency longer.
	Stream string `yaml:"stream" json:"stream,omitempty"`
	// Seed feeds the draws of the jitter. Default 0, which is a seed too.
	Seed uint64 `yaml:"seed" json:"seed,omitempty"`
}

var _ = register("latency", func() Fault {
	return &Latency{Latency: 300 * time.Millisecond, Stream: Downstream}
})

// String is the fault in one line.
func (f *Latency) String() string {
	if f.Answer > 0 {
		return fmt.Sprintf("latency, %v an answer over the round trips that were measured, %s", f.Answer, f.Stream)
	}
	if f.Jitter > 0 {
		return fmt.Sprintf("latency %v ± %v, %s", f.Latency, f.Jitter, f.Stream)
	}
	return fmt.Sprintf("latency %v, %s", f.Latency, f.Stream)
}

// Supports wants a proxied dependency and a positive latency.
func (f *Latency) Supports(t Target) error {
	if _, err := proxied("latency", t); err != nil {
		return err
	}
	_, err := f.streams()
	return err
}

func (f *Latency) streams() ([]string, error) {
	switch {
	case f.Answer < 0:
		return nil, fmt.Errorf("latency: answer %v is below zero", f.Answer)
	case f.Answer > 0 && f.Jitter > 0:
		return nil, fmt.Errorf("latency: jitter %v varies a latency that answer leaves open; give one of them", f.Jitter)
	case f.Latency <= 0 && f.Answer == 0:
		return nil, fmt.Errorf("latency: latency %v is not positive", f.Latency)
	case f.Jitter < 0 || f.Jitter > f.Latency:
		return nil, fmt.Errorf("latency: jitter %v is not between 0 and the latency %v", f.Jitter, f.Latency)
	}
	return streams("latency", f.Stream)
}

// Names of the figure that a latency can follow, and of what is made of it.
const (
	QuantityRoundTrips      = "round_trips"
	QuantityInjectedLatency = "injected_latency" // in seconds
)

// Follows is the number of round trips where Answer is given.
func (f *Latency) Follows() string {
	if f.Answer > 0 {
		return QuantityRoundTrips
	}
	return ""
}

// Given spreads Answer over so many round trips.
func (f *Latency) Given(roundTrips float64) (Fault, journal.Quantity) {
	own := *f
	own.Answer, own.Latency = 0, time.Duration(float64(f.Answer)/max(roundTrips, 1))
	return &own, journal.Quantity{Name: QuantityInjectedLatency, Value: own.Latency.Seconds(), Unit: "s"}
}

// resolved is the latency that was injected, as the journal remembers it where
// it followed from what was measured. The last one before the window counts.
func (f *Latency) resolved(j journal.Journal, w journal.Window) (time.Duration, error) {
	if f.Answer <= 0 {
		return f.Latency, nil
	}
	latency := time.Duration(0)
	for e, m := range journal.Of[journal.Measured](j) {
		if m.Name == QuantityInjectedLatency && e.At <= w.From {
			latency = time.Duration(m.Value * float64(time.Second))
		}
	}
	if latency <= 0 {
		return 0, notInForce("the journal does not say which latency followed from the round trips")
	}
	return latency, nil
}

// Inject puts the delay in force.
func (f *Latency) Inject(ctx context.Context, t Target) (Injection, error) {
	on, err := f.streams()
	if err != nil {
		return nil, err
	}
	if f.Answer > 0 {
		return nil, fmt.Errorf("latency: %v an answer needs the round trips that an earlier step measured", f.Answer)
	}
	return injectToxics(ctx, "latency", t, on, latencyToxic, map[string]any{
		"latency": f.Latency, "jitter": f.Jitter, "seed": f.Seed,
	})
}

// Witness compares our round trips before and during the window.
func (f *Latency) Witness(j journal.Journal, target string, w journal.Window) error {
	s := scene{j, target, w}
	want, err := f.resolved(j, w)
	if err != nil {
		return err
	}
	if f.Stream == Both {
		want *= 2
	}
	trips := spoken(s.trips(w))
	if len(trips) == 0 {
		return s.shaped("delayed")
	}
	before, _ := medianTrip(spoken(s.trips(s.before())))
	need := before + want*7/10
	during, ok := medianTrip(lasting(trips, w, need))
	if !ok {
		return notInForce("%d round trips began and none ended within the window", len(trips))
	}
	if during < need {
		return notInForce("our round trips took %v (median), %v before; at least %v was to be seen",
			round(during), round(before), round(need))
	}
	return s.exercised()
}

var _ Following = (*Latency)(nil)

const latencyToxic = OwnToxics + "latency"

func init() { toxics.Register(latencyToxic, new(latency)) }

// latency is Toxiproxy's latency with draws from a seed, finer than a
// millisecond, counted, and without its wait for clients that do not read.
type latency struct {
	counted
	Latency time.Duration `json:"latency"`
	Jitter  time.Duration `json:"jitter"`
	Seed    uint64        `json:"seed"`
}

type latencyState struct {
	carried
	draws *rand.Rand
}

// GetBufferSize is how many chunks may wait, as in Toxiproxy's own.
func (*latency) GetBufferSize() int { return 1024 }

// NewState is called once for every link.
func (t *latency) NewState() any {
	return &latencyState{draws: rand.New(rand.NewPCG(t.Seed, 1))} //nolint:gosec // draws come from the plan's seed
}

// Pipe delays until the link is closed or interrupted.
func (t *latency) Pipe(stub *toxics.ToxicStub) {
	state := stub.State.(*latencyState)
	for state.pass(stub) {
		c := next(stub)
		if c == nil {
			return
		}
		state.chunk = c
		delay := t.delay(state.draws) - time.Since(c.Timestamp)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
			c.Timestamp = c.Timestamp.Add(delay)
			t.count()
		case <-stub.Interrupt:
			timer.Stop()
			return
		}
	}
}

func (t *latency) delay(draws *rand.Rand) time.Duration {
	if t.Jitter <= 0 {
		return t.Latency
	}
	return t.Latency - t.Jitter + time.Duration(draws.Int64N(2*int64(t.Jitter)+1))
}

// Cleanup hands over what is held.
func (*latency) Cleanup(stub *toxics.ToxicStub) { stub.State.(*latencyState).leave(stub) }
