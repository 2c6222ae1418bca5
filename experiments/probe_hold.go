package experiments

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// HoldConnections keeps connections to one replica open and looks what becomes
// of them: idle ones, on which one request was answered, and silent ones, on
// which nothing was ever sent. A server that drains well closes the idle ones
// and is not held up by the silent ones (detectors.md, F13).
type HoldConnections struct {
	// Idle and Silent are how many. Defaults 20 and 1.
	Idle   int `yaml:"idle" json:"idle,omitempty"`
	Silent int `yaml:"silent" json:"silent,omitempty"`
}

var _ = registerAction(ClassProbe, "hold_connections", func() Action {
	return &HoldConnections{Idle: 20, Silent: 1}
})

// String is the probe in one line.
func (h *HoldConnections) String() string {
	return fmt.Sprintf("hold %d idle and %d silent connections open", h.Idle, h.Silent)
}

// Supports takes one replica.
func (h *HoldConnections) Supports(s *subject.Subject, target string) error {
	return onReplica(s, target)
}

// Start opens the connections; stop closes what is still open and records, as
// measured quantities of the step, how many the service had closed by then
// (idle_closed, silent_closed), how many of them by a reset (idle_reset), and
// how many had been held (idle_held, silent_held).
func (h *HoldConnections) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	rep, err := replica(x, x.Target)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(rep.Endpoint(x.Plan.Subject.Traffic.Port))
	if err != nil {
		return nil, fmt.Errorf("hold connections: %w", err)
	}
	held := &holding{}
	for i := range h.Idle + h.Silent {
		if err := held.open(ctx, base, x.Plan.Subject.Service.Readiness.Path, i < h.Idle); err != nil {
			held.close()
			return nil, fmt.Errorf("hold connections to %s: %w", rep.Name(), err)
		}
	}
	return func(context.Context) error {
		held.close()
		for _, q := range held.quantities() {
			x.Recorder.Record(journal.Entry{On: x.Step, Body: journal.Measured{Quantity: q}})
		}
		return nil
	}, nil
}

// Witness asks for connections having been held.
func (h *HoldConnections) Witness(j journal.Journal, _ string, _ journal.Window) error {
	for _, q := range journal.Of[journal.Measured](j) {
		if (q.Name == "idle_held" || q.Name == "silent_held") && q.Value > 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: no connection was held", faults.ErrNotInForce)
}

type heldConn struct {
	net.Conn
	idle          bool
	closed, reset bool // by the service
}

type holding struct {
	conns    []*heldConn
	watchers sync.WaitGroup
}

// open dials one connection and, for an idle one, has one request answered on
// it; then it watches for the service's close.
func (h *holding) open(ctx context.Context, base *url.URL, path string, idle bool) error {
	d := net.Dialer{Timeout: 2 * time.Second}
	conn, err := d.DialContext(ctx, "tcp", base.Host)
	if err != nil {
		return err
	}
	c := &heldConn{Conn: conn, idle: idle}
	h.conns = append(h.conns, c)
	if idle {
		if err := ask(ctx, c, base, path); err != nil {
			return err
		}
	}
	h.watchers.Go(func() {
		_, err := io.Copy(io.Discard, c)
		c.closed = !errors.Is(err, net.ErrClosed)
		c.reset = errors.Is(err, syscall.ECONNRESET)
	})
	return nil
}

func ask(ctx context.Context, c *heldConn, base *url.URL, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(path).String(), nil)
	if err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if err := req.Write(c); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	return errors.Join(res.Body.Close(), c.SetDeadline(time.Time{}))
}

// close closes what is open and waits for the watchers.
func (h *holding) close() {
	for _, c := range h.conns {
		_ = c.Close() // its watcher has the verdict; a second close is harmless
	}
	h.watchers.Wait()
}

func (h *holding) quantities() []journal.Quantity {
	var idle, idleClosed, idleReset, silent, silentClosed float64
	for _, c := range h.conns {
		switch {
		case c.idle:
			idle++
			idleClosed += one(c.closed)
			idleReset += one(c.reset)
		default:
			silent++
			silentClosed += one(c.closed)
		}
	}
	return []journal.Quantity{
		{Name: "idle_held", Value: idle, Unit: "1"},
		{Name: "idle_closed", Value: idleClosed, Unit: "1"},
		{Name: "idle_reset", Value: idleReset, Unit: "1"},
		{Name: "silent_held", Value: silent, Unit: "1"},
		{Name: "silent_closed", Value: silentClosed, Unit: "1"},
	}
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
