package loadgen

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ohler55/ojg/oj"

	"github.com/seatrial/seatrial/experiments/journal"
)

// transport is the client of one attack.
func (a Attack) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: a.Timeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:         dialer.DialContext,
		MaxIdleConnsPerHost: max(a.MaxInFlight, 1),
		IdleConnTimeout:     90 * time.Second,
		DisableKeepAlives:   a.NewConnections,
		DisableCompression:  true, // bytes are counted as they were sent
	}
}

// RoundTrip is called by a worker of vegeta's for each hit. What it is given
// carries only the hit's number; the request is made here, and its end is
// recorded. The answer that vegeta gets is always empty.
func (e *engine) RoundTrip(outer *http.Request) (*http.Response, error) {
	seq, err := strconv.ParseUint(outer.Header.Get("X-Vegeta-Seq"), 10, 64)
	if err != nil {
		return nil, err
	}
	e.hit(seq)
	return recordedAnswer, nil
}

// recordedAnswer is what vegeta gets for every hit; nobody writes to it.
var recordedAnswer = &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}

// hit sends or drops one hit, and records it.
func (e *engine) hit(seq uint64) {
	h := e.source.hitOf(e.stream, seq)
	r := journal.Request{Seq: seq, Attack: e.name, Route: h.request.Name, Due: e.due(seq)}
	under := e.inFlight.Add(1)
	defer e.inFlight.Add(-1)
	if under > int64(e.plan.InFlightMax) {
		e.dropped.Add(1)
		r.Dropped = true
		r.Sent = e.rec.Now()
		r.Done = r.Sent
		e.rec.Request(r)
		return
	}
	for peak := e.peak.Load(); under > peak && !e.peak.CompareAndSwap(peak, under); {
		peak = e.peak.Load()
	}
	e.sent.Add(1)
	target, err := e.source.fill(h)
	if err != nil {
		e.fail(err)
		r.Sent = e.rec.Now()
		r.Done, r.Err = r.Sent, journal.ErrOther
		e.rec.Request(r)
		return
	}
	answer := e.ask(&r, target, h)
	if r.OK {
		if int64(r.Done) <= e.until.Load() {
			e.good.Add(1)
		}
		e.capture(target.request, answer)
	}
	e.rec.Request(r)
	e.ledger(r, target, answer)
}

// exchange is what the transport tells of one request while it is under way.
// Its hooks run on the transport's goroutines, and may do so after the end.
type exchange struct {
	trace  httptrace.ClientTrace
	mu     sync.Mutex
	conns  int
	reused bool
	timer  *time.Timer
}

// newExchange watches a request; hangUp is called that long after it was sent,
// unless after is zero.
func newExchange(after time.Duration, hangUp func()) *exchange {
	x := &exchange{}
	x.trace.GotConn = func(info httptrace.GotConnInfo) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.conns++
		x.reused = info.Reused
	}
	if after > 0 {
		x.trace.WroteRequest = func(info httptrace.WroteRequestInfo) {
			x.mu.Lock()
			defer x.mu.Unlock()
			if info.Err == nil && x.timer == nil {
				x.timer = time.AfterFunc(after, hangUp)
			}
		}
	}
	return x
}

// end stops the timer and reports the connections that were taken.
func (x *exchange) end() (conns int, reused bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.timer != nil {
		x.timer.Stop()
	}
	return x.conns, x.reused
}

// send does one exchange and fills the record in. It returns the answer's body
// where somebody wants to read it.
func (e *engine) send(ctx context.Context, r *journal.Request, t Target, h hit) []byte {
	ctx, stop := context.WithTimeout(ctx, e.client.Timeout)
	defer stop()
	hangUp := context.CancelCauseFunc(nil)
	if e.client.HangUpAfter > 0 {
		ctx, hangUp = context.WithCancelCause(ctx)
		defer hangUp(nil)
	}
	x := newExchange(e.client.HangUpAfter, func() { hangUp(errHungUp) })
	req, err := e.request(httptrace.WithClientTrace(ctx, &x.trace), t, h)
	r.Sent = e.rec.Now()
	if err != nil {
		e.fail(err)
		r.Done, r.Err = r.Sent, journal.ErrOther
		return nil
	}
	r.BytesOut = clip(int64(len(t.Body)))
	body, err := e.exchange(r, t, req)
	r.Done = e.rec.Now()
	conns, reused := x.end()
	r.Reused, r.Replays = reused, max(conns-1, 0)
	if err != nil {
		r.OK = false
		r.Err = classify(ctx, err)
		r.Canceled = r.Err == journal.ErrCanceled
		return nil
	}
	return body
}

// exchange sends the request and reads the whole answer.
func (e *engine) exchange(r *journal.Request, t Target, req *http.Request) ([]byte, error) {
	resp, err := e.trans.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	r.Code = resp.StatusCode
	r.OK = t.request.ok.has(resp.StatusCode)
	r.Close = resp.Close
	r.RetryAfter = resp.Header.Get("Retry-After") != ""
	return readBody(r, resp.Body, e.keep || r.OK && t.request.reads())
}

// reads says that something is taken from the request's answer.
func (q *request) reads() bool { return len(q.takes) > 0 || q.id != nil }

// keptBytes bounds the part of an answer that values are captured from.
const keptBytes = 1 << 20

// readBody reads an answer to its end, counts it, and keeps it when asked to.
func readBody(r *journal.Request, body io.Reader, keep bool) ([]byte, error) {
	var kept bytes.Buffer
	n := int64(0)
	if keep {
		m, err := io.Copy(&kept, io.LimitReader(body, keptBytes))
		n += m
		if err != nil {
			r.BytesIn = clip(n)
			return nil, err
		}
	}
	m, err := io.Copy(io.Discard, body)
	r.BytesIn = clip(n + m)
	return kept.Bytes(), err
}

func clip(n int64) uint32 { return uint32(min(n, math.MaxUint32)) }

// request makes the HTTP request of a target.
func (e *engine) request(ctx context.Context, t Target, h hit) (*http.Request, error) {
	to, err := e.url(t)
	if err != nil {
		return nil, err
	}
	req := (&http.Request{
		Method: t.Method, URL: to, Host: to.Host, Header: t.Header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if t.Body != "" {
		// A body that can be had again is what lets net/http replay a request,
		// as it would for any ordinary caller.
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(t.Body)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(t.Body))
	}
	if host := t.Header.Get("Host"); host != "" {
		req.Host = host
		delete(t.Header, "Host")
	}
	values := [2]string{journal.RequestID(e.runID, e.name, h.seq)}
	t.Header[e.source.idHeader] = values[0:1:1]
	if e.source.trace == journal.TraceW3C && !e.client.BrokenTrace {
		values[1] = journal.Trace(e.runID, e.name, h.seq).Traceparent()
		t.Header["Traceparent"] = values[1:2:2]
	} else {
		e.setTrace(t.Header, h)
	}
	maps.Copy(t.Header, e.client.Header)
	if e.client.ForwardedFor {
		t.Header["X-Forwarded-For"] = []string{forwardedFor(h.seq)}
	}
	if e.client.Strange {
		strangely(req, h.seq)
	}
	return req, nil
}

// setTrace begins a trace in the traffic's format, or in a way that is not valid.
func (e *engine) setTrace(header http.Header, h hit) {
	format := e.source.trace
	trace, span := format.Digits(format.Trace(e.runID, e.name, h.seq))
	if e.client.BrokenTrace {
		breakTrace(header, format, trace, span, h.seq)
		return
	}
	format.Set(header, trace, span)
}

// forwardedFor is an address for a hit's number, another one for each of
// consecutive 131,072: from the block that is set aside for benchmarks (RFC
// 2544), so that it is nobody's.
func forwardedFor(seq uint64) string {
	const block = 198<<24 | 18<<16
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], block|uint32(seq&(1<<17-1)))
	return netip.AddrFrom4(address).String()
}

// url is where a target is. The ones that are the same for every hit are
// parsed once.
func (e *engine) url(t Target) (*url.URL, error) {
	if t.request.path.made {
		return url.Parse(e.prefix + t.Path)
	}
	if known, ok := e.urls.Load(t.request); ok {
		return known.(*url.URL), nil
	}
	parsed, err := url.Parse(e.prefix + t.Path)
	if err == nil {
		e.urls.Store(t.request, parsed)
	}
	return parsed, err
}

// capture remembers what later requests pick.
func (e *engine) capture(q *request, answer []byte) {
	if len(q.takes) == 0 {
		return
	}
	document, err := oj.Parse(answer)
	if err != nil {
		return
	}
	for _, c := range q.takes {
		if value, ok := c.from(document); ok {
			e.source.store.add(c.name, value)
		}
	}
}

// ledger records a write and what its caller knows of it.
func (e *engine) ledger(r journal.Request, t Target, answer []byte) {
	if t.Key == "" {
		return
	}
	w := journal.Write{
		Attack: r.Attack, Seq: r.Seq, Key: t.Key, Outcome: outcome(r), Code: r.Code, Value: journal.Digest(t.Value),
	}
	if id := t.request.id; id != nil && w.Outcome == journal.Acknowledged {
		if document, err := oj.Parse(answer); err == nil {
			w.ID, _ = id.from(document)
		}
	}
	e.rec.Record(journal.Entry{At: r.Done, On: r.Route, Body: w})
}

// classify names the reason for which there was no answer. What the context
// says goes before what the transport made of it.
func classify(ctx context.Context, err error) string {
	if errors.Is(context.Cause(ctx), errHungUp) {
		return journal.ErrCanceled
	}
	if err := ctx.Err(); err != nil {
		return journal.Reason(err)
	}
	return journal.Reason(err)
}
