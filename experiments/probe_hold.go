package experiments

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
	"github.com/seatrial/seatrial/loadgen"
)

// HoldConnections keeps connections to one replica open and looks what becomes
// of them: idle ones, on which one request was answered; silent ones, on which
// nothing was ever sent; and unfinished ones, on which a request's head and the
// first half of its body were sent, and never the rest. A server that drains
// well closes the idle ones, is not held up by the silent ones (net/http gives
// those 5 s), and gives the unfinished ones up at a deadline.
type HoldConnections struct {
	// Idle, Silent and Unfinished are how many. Defaults 20, 1 and 0.
	Idle       int `yaml:"idle" json:"idle,omitempty"`
	Silent     int `yaml:"silent" json:"silent,omitempty"`
	Unfinished int `yaml:"unfinished" json:"unfinished,omitempty"`
}

var _ = registerAction(ClassProbe, "hold_connections", func() Action {
	return &HoldConnections{Idle: 20, Silent: 1}
})

// String is the probe in one line.
func (h *HoldConnections) String() string {
	var kinds []string
	for _, k := range []struct {
		n    int
		what string
	}{{h.Idle, "idle"}, {h.Silent, "silent"}, {h.Unfinished, "unfinished"}} {
		if k.n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", k.n, k.what))
		}
	}
	return "hold " + strings.Join(kinds, " and ") + " connections open"
}

// Validate says what is wrong with the parameters.
func (h *HoldConnections) Validate() error {
	if h.Idle < 0 || h.Silent < 0 || h.Unfinished < 0 || h.Idle+h.Silent+h.Unfinished == 0 {
		return fmt.Errorf("hold_connections: idle, silent and unfinished must not be negative, nor all of them 0")
	}
	return nil
}

// Supports takes one replica.
func (h *HoldConnections) Supports(s *subject.Subject, target string) error {
	if err := h.Validate(); err != nil {
		return err
	}
	if h.Unfinished > 0 && !slices.ContainsFunc(s.Traffic.Requests, hasBody) {
		return fmt.Errorf("hold_connections: no request of the traffic has a body that could be left unfinished")
	}
	return onReplica(s, target)
}

func hasBody(r loadgen.Request) bool { return r.Body != "" }

// Start opens the connections; stop closes what is still open and records, as
// measured quantities of the step, how many the service had closed by then
// (idle_closed, silent_closed, unfinished_closed), how many of them by a reset
// (idle_reset), and how many had been held (idle_held, silent_held,
// unfinished_held). Unfinished requests are recorded as requests that were
// cancelled.
func (h *HoldConnections) Start(ctx context.Context, x *Execution) (func(context.Context) error, error) {
	rep, err := replica(x, x.Target)
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(rep.Endpoint(x.Plan.Subject.Traffic.Port))
	if err != nil {
		return nil, fmt.Errorf("hold connections: %w", err)
	}
	held := &holding{execution: x, base: base}
	if err := h.open(ctx, held); err != nil {
		held.close()
		return nil, fmt.Errorf("hold connections to %s: %w", rep.Name(), err)
	}
	return func(context.Context) error {
		held.close()
		for _, q := range held.quantities() {
			x.Recorder.Record(journal.Entry{On: x.Step, Body: journal.Measured{Quantity: q}})
		}
		return nil
	}, nil
}

func (h *HoldConnections) open(ctx context.Context, held *holding) error {
	for _, k := range []struct {
		n     int
		kind  string
		begin func(context.Context, *heldConn) error
	}{{h.Idle, heldIdle, held.ask}, {h.Silent, heldSilent, nil}, {h.Unfinished, heldUnfinished, held.beginUpload}} {
		for range k.n {
			if err := held.open(ctx, k.kind, k.begin); err != nil {
				return err
			}
		}
	}
	return nil
}

// Witness asks for connections having been held.
func (h *HoldConnections) Witness(j journal.Journal, _ string, _ journal.Window) error {
	for _, q := range journal.Of[journal.Measured](j) {
		if strings.HasSuffix(q.Name, "_held") && q.Value > 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: no connection was held", faults.ErrNotInForce)
}

// Kinds of held connections, as their quantities are called.
const (
	heldIdle       = "idle"
	heldSilent     = "silent"
	heldUnfinished = "unfinished"
)

type heldConn struct {
	net.Conn
	kind          string
	sent          journal.Request // of an unfinished one
	closed, reset bool            // by the service
}

type holding struct {
	execution *Execution
	base      *url.URL
	conns     []*heldConn
	watchers  sync.WaitGroup
}

// open dials one connection, begins on it what its kind begins, and then
// watches for the service's close.
func (h *holding) open(ctx context.Context, kind string, begin func(context.Context, *heldConn) error) error {
	d := net.Dialer{Timeout: heldWithin}
	conn, err := d.DialContext(ctx, "tcp", h.base.Host)
	if err != nil {
		return err
	}
	c := &heldConn{Conn: conn, kind: kind}
	h.conns = append(h.conns, c)
	if begin != nil {
		if err := c.SetDeadline(time.Now().Add(heldWithin)); err != nil {
			return err
		}
		if err := errors.Join(begin(ctx, c), c.SetDeadline(time.Time{})); err != nil {
			return err
		}
	}
	h.watchers.Go(func() {
		_, err := io.Copy(io.Discard, c)
		c.closed = !errors.Is(err, net.ErrClosed)
		c.reset = errors.Is(err, syscall.ECONNRESET)
		h.record(c)
	})
	return nil
}

// heldWithin bounds the dial and what is begun on a connection.
const heldWithin = 2 * time.Second

// ask has one request answered.
func (h *holding) ask(ctx context.Context, c *heldConn) error {
	ready := h.base.JoinPath(h.execution.Plan.Subject.Service.Readiness.Path).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ready, nil)
	if err != nil {
		return err
	}
	if err := req.Write(c); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}

// beginUpload sends the head of a request of the traffic and half of its body.
func (h *holding) beginUpload(_ context.Context, c *heldConn) error {
	t, err := h.execution.Load.WithBody(h.execution.Step, uint64(len(h.conns)))
	if err != nil {
		return err
	}
	now := h.execution.Recorder.Now()
	c.sent = journal.Request{
		Seq: uint64(len(h.conns)), Attack: h.execution.Step, Route: t.Route, Due: now, Sent: now,
		Err: journal.ErrCanceled, Canceled: true,
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", t.Method, t.Path, h.base.Host, len(t.Body))
	if err := t.Header.Write(&head); err != nil {
		return err
	}
	head.WriteString("\r\n" + t.Body[:len(t.Body)/2])
	_, err = c.Write(head.Bytes())
	return err
}

// record takes an unfinished request down when its connection has ended.
func (h *holding) record(c *heldConn) {
	if c.kind == heldUnfinished {
		c.sent.Done = h.execution.Recorder.Now()
		h.execution.Recorder.Request(c.sent)
	}
}

// close closes what is open and waits for the watchers.
func (h *holding) close() {
	for _, c := range h.conns {
		_ = c.Close() // its watcher has the verdict; a second close is harmless
	}
	h.watchers.Wait()
}

func (h *holding) quantities() []journal.Quantity {
	var all []journal.Quantity
	for _, kind := range []string{heldIdle, heldSilent, heldUnfinished} {
		var held, closed, reset float64
		for _, c := range h.conns {
			if c.kind == kind {
				held++
				closed += one(c.closed)
				reset += one(c.reset)
			}
		}
		if held > 0 {
			all = append(all,
				journal.Quantity{Name: kind + "_held", Value: held, Unit: "1"},
				journal.Quantity{Name: kind + "_closed", Value: closed, Unit: "1"},
				journal.Quantity{Name: kind + "_reset", Value: reset, Unit: "1"})
		}
	}
	return all
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
