package experiments

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

// Attack sends hits beside the experiment's own load, under the step's name.
// With a replica as target it goes to that replica directly, else through the
// balancer.
type Attack struct {
	// Rate in hits a second. Zero: Count, Capacity or RateLimit says how many.
	Rate float64 `yaml:"rate" json:"rate,omitempty"`
	// Capacity is a factor: the rate is so many times the capacity that an
	// earlier measure_capacity step has found.
	Capacity float64 `yaml:"capacity" json:"capacity,omitempty"`
	// RateLimit is a factor: the rate is so many times the promised rate_limit.
	RateLimit float64 `yaml:"rate_limit" json:"rate_limit,omitempty"`
	// Count is a number of hits, sent evenly over the step's for, or at once
	// where that is zero.
	Count int `yaml:"count" json:"count,omitempty"`
	// Routes restricts the traffic to these requests. Empty: all.
	Routes []string `yaml:"routes" json:"routes,omitempty"`
	// Uses restricts it to requests that use this dependency (name or kind).
	Uses string `yaml:"uses" json:"uses,omitempty"`
	// Writes restricts it to requests that the ledger remembers as writes.
	Writes bool `yaml:"writes" json:"writes,omitempty"`
	// Panics restricts it to requests whose handlers panic on purpose.
	Panics bool `yaml:"panics" json:"panics,omitempty"`
	// Heaviest sends only the one of these requests that an earlier
	// measure_round_trips step found to wait for the most round trips.
	Heaviest bool `yaml:"heaviest" json:"heaviest,omitempty"`
	// Timeout is the client's own. Zero: the traffic's.
	Timeout time.Duration `yaml:"timeout" json:"timeout,omitempty"`
	// Retries is how often the client tries again what got no answer in time, no
	// connection, 429 or 5xx, with full jitter. A hit is then one logical call.
	// Default: never.
	Retries int `yaml:"retries" json:"retries,omitempty"`
	// Backoff bounds the wait before the first retry; it doubles for each
	// further one. Default 100ms.
	Backoff time.Duration `yaml:"backoff" json:"backoff,omitempty"`
	// HangUpAfter makes the client hang up that long after it sent the request.
	// Zero: it waits for the answer.
	HangUpAfter time.Duration `yaml:"hang_up_after" json:"hang_up_after,omitempty"`
	// NewConnections opens a connection for every hit.
	NewConnections bool `yaml:"new_connections" json:"new_connections,omitempty"`
	// Caller is whose hits they are: the number, from 1, of one of the traffic's
	// callers. Zero: the traffic's own.
	Caller int `yaml:"caller" json:"caller,omitempty"`
	// ForwardedFor sends an X-Forwarded-For header with each hit, with another
	// address each time.
	ForwardedFor bool `yaml:"forwarded_for" json:"forwarded_for,omitempty"`
	// Strange gives each hit a path, an id, a method or a host that nobody has
	// heard of, and a query and a user agent of its own.
	Strange bool `yaml:"strange" json:"strange,omitempty"`
	// BrokenTrace sends a traceparent with each hit that is not valid, or a header
	// of the format that traffic.trace names.
	BrokenTrace bool `yaml:"broken_trace" json:"broken_trace,omitempty"`

	step   string // set by the plan
	length time.Duration
}

var _ = registerAction(ClassOperation, "attack", func() Action { return &Attack{} })

func (a *Attack) bind(step string, length time.Duration) { a.step, a.length = step, length }

// String is the attack in one line.
func (a *Attack) String() string {
	var b strings.Builder
	switch {
	case a.Capacity > 0:
		fmt.Fprintf(&b, "attack at %g × the measured capacity", a.Capacity)
	case a.RateLimit > 0:
		fmt.Fprintf(&b, "attack at %g × the promised rate limit", a.RateLimit)
	case a.Count > 0:
		fmt.Fprintf(&b, "attack of %d hits", a.Count)
	default:
		fmt.Fprintf(&b, "attack at %g/s", a.Rate)
	}
	if a.Uses != "" {
		fmt.Fprintf(&b, " on what uses %s", a.Uses)
	}
	if len(a.Routes) > 0 {
		fmt.Fprintf(&b, " on %s", strings.Join(a.Routes, ", "))
	}
	for _, more := range []struct {
		so   bool
		what string
	}{
		{a.Heaviest, "the heaviest of them"},
		{a.Retries > 0, fmt.Sprintf("with %d retries", a.Retries)},
		{a.HangUpAfter > 0, fmt.Sprintf("hanging up after %v", a.HangUpAfter)},
		{a.NewConnections, "a new connection each"},
		{a.Caller > 0, fmt.Sprintf("as caller %d", a.Caller)},
		{a.ForwardedFor, "forwarded for another address each"},
		{a.Strange, "for what nobody has heard of"},
		{a.BrokenTrace, "with a traceparent that is not valid"},
	} {
		if more.so {
			b.WriteString(", " + more.what)
		}
	}
	return b.String()
}

// Validate says what is wrong with the parameters.
func (a *Attack) Validate() error {
	given := 0
	for _, set := range []bool{a.Rate > 0, a.Capacity > 0, a.RateLimit > 0, a.Count > 0} {
		if set {
			given++
		}
	}
	if given != 1 {
		return fmt.Errorf("attack: exactly one of rate, capacity, rate_limit and count must be given")
	}
	if a.Caller < 0 {
		return fmt.Errorf("attack: caller is a number from 1 on, or 0 for the traffic's own")
	}
	return nil
}

// Supports takes the service as a whole, or one replica.
func (a *Attack) Supports(s *subject.Subject, target string) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if a.RateLimit > 0 && s.Promises.RateLimit == 0 {
		return fmt.Errorf("attack: the promises do not say what rate_limit there is for one caller")
	}
	if known := s.Traffic.Callers; a.Caller > 0 && (known == nil || a.Caller > len(known.Values)) {
		return fmt.Errorf("attack: traffic.callers does not say who caller %d is: it names the header by which the rate "+
			"limit knows a caller, and values of it", a.Caller)
	}
	if target == "" {
		return nil
	}
	return onReplica(s, target)
}

// caller is the header by which the service knows the attack's caller.
func (a *Attack) caller(s *subject.Subject) http.Header {
	if a.Caller == 0 {
		return nil
	}
	h := http.Header{}
	h.Set(s.Traffic.Callers.Header, s.Traffic.Callers.Values[a.Caller-1])
	return h
}

// Start sends the hits; it returns at once. The rate and what was offered are
// recorded as measured quantities of the step.
func (a *Attack) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	spec := AttackSpec{
		Name: x.Step, Rate: a.Rate, For: a.length, Count: a.Count,
		Routes: a.Routes, Uses: a.Uses, Timeout: a.Timeout,
		HangUpAfter: a.HangUpAfter, NewConnections: a.NewConnections, Replica: x.Target,
		Header: a.caller(x.Plan.Subject), ForwardedFor: a.ForwardedFor,
		Retries: loadgen.Retries{Most: a.Retries, Backoff: a.Backoff},
		Enough:  x.Enough,
		Strange: a.Strange, BrokenTrace: a.BrokenTrace,
	}
	if a.RateLimit > 0 {
		spec.Rate = a.RateLimit * float64(x.Plan.Subject.Promises.RateLimit)
	}
	if a.Heaviest {
		spec.Routes = heaviest(x, a.Routes)
	}
	if a.Capacity > 0 {
		c, ok := x.measured(ctx, QuantityCapacity)
		if !ok {
			return nil, fmt.Errorf("attack %s: no earlier step has measured the capacity; add measure_capacity", x.Step)
		}
		spec.Rate = a.Capacity * c.Value
		x.Recorder.Record(journal.Entry{On: x.Step, Body: journal.Measured{Quantity: journal.Quantity{
			Name: "offered", Value: spec.Rate, Unit: "1/s",
		}}})
	}
	return background(ctx, func(ctx context.Context) error { return x.Load.Attack(ctx, spec) }), nil
}

// Witness holds the attack to having sent something.
func (a *Attack) Witness(j journal.Journal, _ string, _ journal.Window) error {
	for e, end := range journal.Of[journal.Attack](j) {
		if e.On != a.step || end.Began {
			continue
		}
		if end.Sent == 0 {
			return fmt.Errorf("%w: the attack %q sent none of its %d hits", faults.ErrNotInForce, a.step, end.Planned)
		}
		return nil
	}
	return fmt.Errorf("%w: the attack %q did not end in the journal", faults.ErrNotInForce, a.step)
}

var _ bound = (*Attack)(nil)
