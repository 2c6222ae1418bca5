package experiments

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

// HoldConnections keeps connections to one replica open, in ways in which
// callers do not behave, and looks what becomes of them. A server that drains
// well closes the idle ones, is not held up by the silent ones (net/http gives
// those 5 s), and gives the unfinished ones up at a deadline. One that bounds
// what callers may take of it closes all of them in time.
//
// Slow bodies are left out where no request of the traffic has a body, slow
// readers where none is large.
type HoldConnections struct {
	// Idle is how many are held on which one request was answered. Default 20.
	Idle int `yaml:"idle" json:"idle,omitempty"`
	// Silent is how many are held on which nothing was ever sent. Default 1.
	Silent int `yaml:"silent" json:"silent,omitempty"`
	// Unfinished is how many are held on which a request's head and the first
	// half of its body were sent, and never the rest. Default 0.
	Unfinished int `yaml:"unfinished" json:"unfinished,omitempty"`
	// SlowHeads is how many send a request's head a line at a time, without an
	// end. Default 0.
	SlowHeads int `yaml:"slow_heads" json:"slow_heads,omitempty"`
	// SlowBodies is how many send a request's body a byte at a time. Default 0.
	SlowBodies int `yaml:"slow_bodies" json:"slow_bodies,omitempty"`
	// Every is how often slow heads and slow bodies send something. Default 200ms.
	Every time.Duration `yaml:"every" json:"every,omitempty"`
	// SlowReaders is how many ask for a large answer, with a receive buffer of 8
	// KiB, and read nothing of it for Pause; then they read what there is.
	// Default 0.
	SlowReaders int `yaml:"slow_readers" json:"slow_readers,omitempty"`
	// Pause is how long slow readers read nothing. Required with SlowReaders.
	Pause time.Duration `yaml:"pause" json:"pause,omitempty"`
	// Reopen opens another connection for each that the service has closed.
	Reopen bool `yaml:"reopen" json:"reopen,omitempty"`

	step   string // set by the plan
	length time.Duration
}

var _ = registerAction(ClassProbe, "hold_connections", func() Action {
	return &HoldConnections{Idle: 20, Silent: 1, Every: 200 * time.Millisecond}
})

func (h *HoldConnections) bind(step string, length time.Duration) { h.step, h.length = step, length }

var _ bound = (*HoldConnections)(nil)

// manner is one way of holding connections, and how many are held so.
type manner struct {
	name  string // as in the journal
	count int
}

func (h *HoldConnections) manners() []manner {
	return slices.DeleteFunc([]manner{
		{journal.Idle, h.Idle},
		{journal.Silent, h.Silent},
		{journal.Unfinished, h.Unfinished},
		{journal.SlowHead, h.SlowHeads},
		{journal.SlowBody, h.SlowBodies},
		{journal.SlowReader, h.SlowReaders},
	}, func(m manner) bool { return m.count <= 0 })
}

// possible are the manners that the traffic has something for.
func (h *HoldConnections) possible(t loadgen.Traffic) []manner {
	return slices.DeleteFunc(h.manners(), func(m manner) bool {
		return m.name == journal.SlowBody && !slices.ContainsFunc(t.Requests, hasBody) ||
			m.name == journal.SlowReader && !slices.ContainsFunc(t.Requests, isLarge)
	})
}

func hasBody(r loadgen.Request) bool { return r.Body != "" }

func isLarge(r loadgen.Request) bool { return r.Large }

// String is the probe in one line.
func (h *HoldConnections) String() string {
	var kinds []string
	for _, m := range h.manners() {
		kinds = append(kinds, fmt.Sprintf("%d %s", m.count, m.name))
	}
	text := "hold " + strings.Join(kinds, " and ") + " connections open"
	if h.Reopen {
		text += ", and open closed ones anew"
	}
	return text
}

// Validate says what is wrong with the parameters.
func (h *HoldConnections) Validate() error {
	for _, n := range []int{h.Idle, h.Silent, h.Unfinished, h.SlowHeads, h.SlowBodies, h.SlowReaders} {
		if n < 0 {
			return errors.New("hold_connections: none of the numbers of connections may be negative")
		}
	}
	switch {
	case len(h.manners()) == 0:
		return errors.New("hold_connections: no connection is to be held; give idle, silent, unfinished or a slow_… a number")
	case h.SlowHeads+h.SlowBodies > 0 && h.Every <= 0:
		return errors.New("hold_connections: slow senders need every: how often they send something")
	case h.SlowReaders > 0 && h.Pause <= 0:
		return errors.New("hold_connections: slow readers need a pause: for how long they read nothing")
	}
	return nil
}

// Supports takes one replica.
func (h *HoldConnections) Supports(s *subject.Subject, target string) error {
	if err := h.Validate(); err != nil {
		return err
	}
	if h.Unfinished > 0 && !slices.ContainsFunc(s.Traffic.Requests, hasBody) {
		return errors.New("hold_connections: no request of the traffic has a body that could be left unfinished")
	}
	if len(h.possible(s.Traffic)) == 0 {
		return errors.New(
			"hold_connections: no request of the traffic has a body to be sent slowly, and none says that its " +
				"answer is large",
		)
	}
	return onReplica(s, target)
}

// Start opens the connections; stop closes what is still open. What became of
// each is recorded when it ends, as a connection entry; unfinished requests also
// as requests that were cancelled.
func (h *HoldConnections) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	rep, err := replica(x, x.Target)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(rep.Endpoint(x.Plan.Subject.Traffic.Port))
	if err != nil {
		return nil, fmt.Errorf("hold connections: %w", err)
	}
	held := &holding{probe: h, execution: x, base: base, over: make(chan struct{})}
	for _, m := range h.possible(x.Plan.Subject.Traffic) {
		for range m.count {
			if err := held.open(ctx, m.name); err != nil {
				held.close()
				return nil, fmt.Errorf("hold connections to %s: %w", rep.Name(), err)
			}
		}
	}
	return func(context.Context) error {
		held.close()
		return nil
	}, nil
}

// Witness asks for connections having been held.
func (h *HoldConnections) Witness(j journal.Journal, _ string, _ journal.Window) error {
	for _, c := range journal.Of[journal.Connection](j) {
		if c.Step == h.step {
			return nil
		}
	}
	return fmt.Errorf("%w: no connection was held", faults.ErrNotInForce)
}
