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
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/loadgen"
)

const (
	// heldWithin bounds the dial and what is begun on a connection.
	heldWithin = 2 * time.Second
	// drainWithin bounds the reading of what a slow reader has left.
	drainWithin = 4 * time.Second
	// slowBuffer is a slow reader's receive buffer in bytes, so that what it
	// does not read stays with the server.
	slowBuffer = 8 << 10
)

// holding is the connections that one step holds.
type holding struct {
	probe     *HoldConnections
	execution *Execution
	base      *url.URL
	over      chan struct{} // closed when the step is over
	mu        sync.Mutex
	conns     []*heldConn
	keepers   sync.WaitGroup
}

// heldConn is one of them.
type heldConn struct {
	net.Conn
	nth   uint64 // in its step, from 0
	entry journal.Entry
	seen  journal.Connection
	sent  journal.Request // of an unfinished one
	drip  func(n int) []byte
	asked *http.Request // by a slow reader
	ended chan struct{} // closed when the service, or we, have ended it
}

// open dials one connection, begins on it what its manner begins, and keeps it.
func (h *holding) open(ctx context.Context, manner string) error {
	d := net.Dialer{Timeout: heldWithin}
	if manner == journal.SlowReader {
		d.Control = smallBuffer
	}
	conn, err := d.DialContext(ctx, "tcp", h.base.Host)
	if err != nil {
		return err
	}
	c := &heldConn{
		Conn: conn, seen: journal.Connection{Step: h.execution.Step, Manner: manner}, ended: make(chan struct{}),
		entry: journal.Entry{At: h.execution.Recorder.Now(), On: h.execution.Target},
	}
	if !h.add(c) {
		return conn.Close()
	}
	if err := h.begin(ctx, c); err != nil {
		return errors.Join(err, conn.Close())
	}
	if c.drip != nil {
		h.keepers.Go(func() { h.send(c) })
	}
	h.keepers.Go(func() { h.keep(ctx, c) })
	return nil
}

// add counts a connection in, unless the step is over.
func (h *holding) add(c *heldConn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.over:
		return false
	default:
	}
	c.nth = uint64(len(h.conns))
	h.conns = append(h.conns, c)
	return true
}

// begin sends what a manner begins with.
func (h *holding) begin(ctx context.Context, c *heldConn) error {
	begin := map[string]func(context.Context, *heldConn) error{
		journal.Idle: h.ask, journal.Unfinished: h.beginUpload,
		journal.SlowHead: h.beginHead, journal.SlowBody: h.beginBody, journal.SlowReader: h.beginDownload,
	}[c.seen.Manner]
	if begin == nil {
		return nil
	}
	if err := c.SetDeadline(time.Now().Add(heldWithin)); err != nil {
		return err
	}
	return errors.Join(begin(ctx, c), c.SetDeadline(time.Time{}))
}

// keep waits for a connection's end, records it, and opens another in its place
// where that is asked for.
func (h *holding) keep(ctx context.Context, c *heldConn) {
	var err error
	if c.asked == nil {
		err = c.listen()
	} else {
		err = h.download(c)
	}
	close(c.ended)
	ours := errors.Is(err, net.ErrClosed)
	var late net.Error
	c.seen.Closed = !ours && !c.seen.Whole && (!errors.As(err, &late) || !late.Timeout())
	c.seen.Reset = errors.Is(err, syscall.ECONNRESET)
	c.seen.After = h.execution.Recorder.Now().Sub(c.entry.At)
	c.entry.Body = c.seen
	h.execution.Recorder.Record(c.entry)
	if c.seen.Manner == journal.Unfinished {
		c.sent.Done = h.execution.Recorder.Now()
		h.execution.Recorder.Request(c.sent)
	}
	_ = c.Close() // a second close is harmless
	if h.probe.Reopen && !ours {
		h.reopen(ctx, c.seen.Manner)
	}
}

// reopen opens another connection, not at once: a service may close them all.
func (h *holding) reopen(ctx context.Context, manner string) {
	timer := time.NewTimer(h.probe.Every)
	defer timer.Stop()
	select {
	case <-timer.C:
		_ = h.open(ctx, manner) // refused by a service that has had enough of us, which is its right
	case <-h.over:
	}
}

// listen reads to the end, and notes how long the answer was and its status.
func (c *heldConn) listen() error {
	var head [len("HTTP/1.1 200")]byte
	n, err := io.ReadFull(c, head[:])
	c.seen.Received = int64(n)
	if err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		return err
	}
	_, _ = fmt.Sscanf(string(head[:]), "HTTP/1.1 %d", &c.seen.Status) // zero: no answer in HTTP/1.1
	more, err := io.Copy(io.Discard, c)
	c.seen.Received += more
	return err
}

// send sends a little every so often, until the connection ends.
func (h *holding) send(c *heldConn) {
	ticker := time.NewTicker(h.probe.Every)
	defer ticker.Stop()
	for n := 0; ; n++ {
		select {
		case <-c.ended:
			return
		case <-ticker.C:
			if _, err := c.Write(c.drip(n)); err != nil {
				return // keep hears of the end, too
			}
		}
	}
}

// download reads nothing for the pause, and then what there is.
func (h *holding) download(c *heldConn) error {
	timer := time.NewTimer(h.probe.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-h.over:
		return net.ErrClosed
	}
	c.seen.Paused = h.execution.Recorder.Now().Sub(c.entry.At)
	if wide, ok := c.Conn.(*net.TCPConn); ok {
		if err := wide.SetReadBuffer(1 << 20); err != nil {
			return err
		}
	}
	if err := c.SetReadDeadline(time.Now().Add(drainWithin)); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), c.asked)
	if err != nil {
		return err
	}
	c.seen.Status = answer.StatusCode
	c.seen.Received, err = io.Copy(io.Discard, answer.Body)
	c.seen.Whole = err == nil
	return errors.Join(err, answer.Body.Close())
}

// smallBuffer sets a connection's receive buffer before it is dialled, so that
// its window is small from the beginning.
func smallBuffer(_, _ string, raw syscall.RawConn) error {
	var set error
	err := raw.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, slowBuffer)
	})
	return errors.Join(err, set)
}

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
	c.entry.At = h.execution.Recorder.Now()
	return errors.Join(err, res.Body.Close())
}

// request fills in the first request of the traffic that is of a sort.
func (h *holding) request(c *heldConn, sort func(loadgen.Request) bool) (loadgen.Target, error) {
	all := h.execution.Plan.Subject.Traffic.Requests
	i := slices.IndexFunc(all, sort)
	if i < 0 {
		return loadgen.Target{}, errors.New("the traffic has no such request")
	}
	return h.execution.Load.Target(all[i].Name, h.execution.Step, c.nth)
}

// beginHead sends a request's first lines.
func (h *holding) beginHead(_ context.Context, c *heldConn) error {
	c.drip = func(n int) []byte { return fmt.Appendf(nil, "X-Slow-%d: %d\r\n", n, n) }
	return c.write("GET / HTTP/1.1\r\nHost: " + h.base.Host + "\r\n")
}

// beginUpload sends the head of a request of the traffic and half of its body.
func (h *holding) beginUpload(_ context.Context, c *heldConn) error {
	t, err := h.request(c, hasBody)
	if err != nil {
		return err
	}
	now := h.execution.Recorder.Now()
	c.sent = journal.Request{
		Seq: c.nth, Attack: h.execution.Step, Route: t.Route, Due: now, Sent: now,
		Err: journal.ErrCanceled, Canceled: true,
	}
	return c.write(head(t, h.base.Host, len(t.Body)) + t.Body[:len(t.Body)/2])
}

// beginBody sends the head of a request whose body is never at its end, however
// small: blanks follow it.
func (h *holding) beginBody(_ context.Context, c *heldConn) error {
	t, err := h.request(c, hasBody)
	if err != nil {
		return err
	}
	c.drip = func(n int) []byte {
		if n < len(t.Body) {
			return []byte{t.Body[n]}
		}
		return []byte{' '}
	}
	drips := int(h.probe.length/h.probe.Every) + 1
	return c.write(head(t, h.base.Host, len(t.Body)+2*drips))
}

// beginDownload asks for a large answer.
func (h *holding) beginDownload(ctx context.Context, c *heldConn) error {
	t, err := h.request(c, isLarge)
	if err != nil {
		return err
	}
	c.asked, err = http.NewRequestWithContext(ctx, t.Method, h.base.String(), nil)
	if err != nil {
		return err
	}
	return c.write(head(t, h.base.Host, len(t.Body)) + t.Body)
}

func (c *heldConn) write(text string) error {
	_, err := io.WriteString(c, text)
	return err
}

// head is the head of a target's request.
func head(t loadgen.Target, host string, length int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", t.Method, t.Path, host)
	if length > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", length)
	}
	_ = t.Header.Write(&b) // a strings.Builder takes everything
	return b.String() + "\r\n"
}

// close closes what is open and waits for those that keep the connections.
func (h *holding) close() {
	h.mu.Lock()
	close(h.over)
	for _, c := range h.conns {
		_ = c.Close() // its keeper has the verdict; a second close is harmless
	}
	h.mu.Unlock()
	h.keepers.Wait()
}
