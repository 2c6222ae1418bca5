package agent

import (
	"bytes"
	"context"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// answer is one route of a stub.
type answer struct {
	stub    *stub
	name    string
	status  int
	headers map[string]string
	body    *template.Template
	latency time.Duration
}

func newAnswer(s *stub, r subject.Route, ids *ids) (*answer, error) {
	body, err := subject.ParseBody(r.Body, ids.uuid)
	if err != nil {
		return nil, err
	}
	a := &answer{
		stub: s, name: r.Name, status: r.Status,
		headers: r.Headers, body: body, latency: r.Latency,
	}
	if a.name == "" {
		a.name = r.Pattern()
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a, nil
}

// ServeHTTP shapes and answers a call whose body has been read.
func (a *answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := r.Context().Value(callKey{}).(*call)
	b := a.stub.behaviours.pick(a.name)
	c.update(func(seen *journal.Call) {
		seen.Route = a.name
		if b != nil {
			seen.Fault = b.Fault
		}
	})
	wait(r.Context(), a.latency, nil)
	if b != nil {
		wait(r.Context(), b.Delay, b.cleared)
	}
	if isClosed(c.gone) {
		panic(http.ErrAbortHandler) // nobody is there to be answered
	}
	switch {
	case b == nil:
		a.plain(c, w, r)
	case b.Hang:
		a.hang(c, w, r, b)
	case b.Reset:
		reset(w)
	case b.Status != 0:
		a.empty(c, w, b)
	case b.Malformed:
		send(c, w, http.StatusOK, "application/json", []byte(`{"seatrial":"malformed",[`))
	case b.Stall && b.StallAfter >= 0:
		a.stall(c, w, r, b)
	default:
		a.plain(c, w, r)
	}
}

// hang holds a call until the caller leaves or the behaviour is taken back, and
// then answers it, or cuts its connection.
func (a *answer) hang(c *call, w http.ResponseWriter, r *http.Request, b *active) {
	select {
	case <-r.Context().Done():
	case <-b.cleared:
	}
	if b.Status == 0 || isClosed(c.gone) {
		panic(http.ErrAbortHandler)
	}
	a.empty(c, w, b)
}

// wait returns after d, or when the caller leaves or the behaviour is taken
// back.
func wait(ctx context.Context, d time.Duration, cleared <-chan struct{}) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-cleared:
	}
}

func (a *answer) plain(c *call, w http.ResponseWriter, r *http.Request) {
	body, err := a.render(c, r)
	if err != nil {
		send(c, w, http.StatusInternalServerError, "text/plain", []byte("seatrial stub: "+err.Error()))
		return
	}
	for k, v := range a.headers {
		w.Header().Set(k, v)
	}
	send(c, w, a.status, contentType(body), body)
}

func (a *answer) render(c *call, r *http.Request) ([]byte, error) {
	var out bytes.Buffer
	if err := a.body.Execute(&out, newTemplateData(r, c.body)); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func contentType(body []byte) string {
	if t := strings.TrimSpace(string(body[:min(len(body), 64)])); t != "" && (t[0] == '{' || t[0] == '[') {
		return "application/json"
	}
	return ""
}

// send hands a whole answer over.
func send(c *call, w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	if contentType != "" && h.Get("Content-Type") == "" {
		h.Set("Content-Type", contentType)
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	//nolint:gosec // a stub answers what its route says, to the service on trial
	if _, err := w.Write(body); err != nil {
		return // the caller has left; that is noted by the watch
	}
	if http.NewResponseController(w).Flush() == nil {
		c.answered()
	}
}

func (a *answer) empty(c *call, w http.ResponseWriter, b *active) {
	if b.RetryAfter > 0 {
		seconds := int(math.Ceil(b.RetryAfter.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		c.update(func(seen *journal.Call) { seen.RetryAfter = time.Duration(seconds) * time.Second })
	}
	send(c, w, b.Status, "", nil)
}

// stall sends headers and a few bytes of the body, and then drips blanks until
// the caller leaves or the behaviour is taken back; then the connection is cut.
func (a *answer) stall(c *call, w http.ResponseWriter, r *http.Request, b *active) {
	body, err := a.render(c, r)
	if err != nil {
		body = nil
	}
	for len(body) < b.StallAfter {
		body = append(body, ' ')
	}
	for k, v := range a.headers {
		w.Header().Set(k, v)
	}
	if t := contentType(body); t != "" && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", t)
	}
	w.WriteHeader(a.status)
	control := http.NewResponseController(w)
	//nolint:gosec // a stub answers what its route says, to the service on trial
	if _, err = w.Write(body[:b.StallAfter]); err == nil {
		err = control.Flush()
	}
	for err == nil && b.StallEvery > 0 && r.Context().Err() == nil && !isClosed(b.cleared) {
		wait(r.Context(), b.StallEvery, b.cleared)
		if _, err = w.Write([]byte(" ")); err == nil {
			err = control.Flush()
		}
	}
	select {
	case <-r.Context().Done():
	case <-b.cleared:
	}
	panic(http.ErrAbortHandler)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// reset ends the connection with an RST. A Toxiproxy in between turns it into
// a clean end of file.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a plain close is the next best
	}
	_ = conn.Close() // nothing is left to be said
}

// statusWriter notes the status with which an answer was begun.
type statusWriter struct {
	http.ResponseWriter
	call *call
}

// WriteHeader notes the first final status.
func (w *statusWriter) WriteHeader(status int) {
	w.call.update(func(seen *journal.Call) {
		if seen.Status == 0 && status >= 200 {
			seen.Status = status
		}
	})
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
