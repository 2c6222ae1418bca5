package observe

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// RoundTrip exchanges a few bytes with a dependency through its proxy, again
// and again, each time on a connection of its own that is closed at the end:
// what the service's own connections meet is seen from beside it. A slow
// exchange does not hold the next one up, as long as no more than twelve are
// under way.
type RoundTrip struct {
	Dependency string
	// Kind says which exchange it is. postgres: SSLRequest and its one byte;
	// redis: PING; http: GET on the stub's ping path; anything else: connect
	// and no more.
	Kind string
	// Address is the proxy's.
	Address string
	// Beside makes one exchange where the service's own connections are made, for
	// who is not there, such as in a container's network. Nil: it is made here.
	Beside func(ctx context.Context, timeout time.Duration) journal.RoundTrip
	// Every is the interval. Zero means 100 ms.
	Every time.Duration
	// Timeout bounds one exchange with its dial. Zero means 5 s.
	Timeout time.Duration
}

// Proxied is a dependency behind a proxy.
type Proxied interface {
	Name() string
	Kind() string
	// ProxyAddress is where seatrial itself reaches the proxy.
	ProxyAddress() string
}

// Beside is one that seatrial may reach by a detour, such as a container's
// published port: there somebody accepts connections also for one who does not
// listen, and ends cleanly what was reset.
type Beside interface {
	Proxied
	// RoundTrips makes exchanges, as the observer's, where the service's own
	// connections to the proxy are made. Nil: ProxyAddress is no detour.
	RoundTrips() func(ctx context.Context, timeout time.Duration) journal.RoundTrip
}

// NewRoundTrip returns the observer of a dependency.
func NewRoundTrip(p Proxied) *RoundTrip {
	r := &RoundTrip{Dependency: p.Name(), Kind: p.Kind(), Address: p.ProxyAddress()}
	if b, ok := p.(Beside); ok {
		r.Beside = b.RoundTrips()
	}
	return r
}

// roundTripsAtOnce bounds the exchanges under way.
const roundTripsAtOnce = 12

// What is sent. Each exchange's answer is known from its own form where it ends.
var (
	sslRequest = []byte{0, 0, 0, 8, 4, 210, 22, 47}
	redisPing  = []byte("*1\r\n$4\r\nPING\r\n")
	httpPing   = []byte("GET /.seatrial/ping HTTP/1.1\r\nHost: seatrial\r\n\r\n")
)

// Observe exchanges until the context ends.
func (r *RoundTrip) Observe(ctx context.Context, rec journal.Recorder) error {
	overlapping(ctx, or(r.Every, 100*time.Millisecond), roundTripsAtOnce, func() {
		at := rec.Now()
		body := r.Exchange(ctx)
		if ended(ctx) {
			return // it was we who ended it
		}
		rec.Record(journal.Entry{At: at, On: r.Dependency, Body: body})
	})
	return nil
}

// Exchange exchanges once.
func (r *RoundTrip) Exchange(ctx context.Context) journal.RoundTrip {
	timeout := or(r.Timeout, 5*time.Second)
	if r.Beside != nil {
		return r.Beside(ctx, timeout)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var body journal.RoundTrip
	began := time.Now()
	conn, err := (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", r.Address)
	body.Dial = time.Since(began)
	if err != nil {
		body.Err = journal.Reason(err)
		return body
	}
	defer conn.Close()
	// The end of the context ends a read that hangs.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	c := &counted{Conn: conn}
	body.Err = journal.Reason(r.talk(c))
	body.Up, body.Down, body.Bytes = c.up, c.down, c.down
	if c.down > 0 {
		body.RTT = c.last.Sub(c.first)
	}
	return body
}

// talk does the exchange of the dependency's kind.
func (r *RoundTrip) talk(c *counted) error {
	switch r.Kind {
	case "postgres":
		return c.ask(sslRequest, func() error {
			_, err := io.ReadFull(c, make([]byte, 1))
			return err
		})
	case "redis":
		return c.ask(redisPing, func() error { return readLine(c) })
	case "http":
		return c.ask(httpPing, func() error { return readAnswer(c) })
	}
	return nil
}

// counted counts what passes a connection and remembers when.
type counted struct {
	net.Conn
	up, down    int
	first, last time.Time // of the first byte sent and the last one received
}

func (c *counted) ask(question []byte, answer func() error) error {
	c.first = time.Now()
	n, err := c.Write(question)
	c.up += n
	if err != nil {
		return err
	}
	return answer()
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.down += n
		c.last = time.Now()
	}
	return n, err
}

// answerBytes bounds an answer; ours are far smaller.
const answerBytes = 64 << 10

func readLine(r io.Reader) error {
	var line []byte
	for buf := make([]byte, 64); !bytes.HasSuffix(line, []byte("\r\n")); {
		n, err := r.Read(buf)
		line = append(line, buf[:n]...)
		if err != nil {
			return err
		}
		if len(line) > answerBytes {
			return fmt.Errorf("the answer's line is longer than %d bytes", answerBytes)
		}
	}
	return nil
}

func readAnswer(r io.Reader) error {
	resp, err := http.ReadResponse(bufio.NewReader(io.LimitReader(r, answerBytes)), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
