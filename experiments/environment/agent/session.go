package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	toxiclient "github.com/Shopify/toxiproxy/v2/client"

	"github.com/seatrial/seatrial/experiments/journal"
)

const (
	clockEvery   = 3 * time.Second
	clockSamples = 7
	controlWait  = 10 * time.Second // for one answer of the control API
)

// session is what we hold of one agent process.
type session struct {
	process   Process
	shake     Handshake
	client    *http.Client
	toxiproxy *toxiclient.Client
	stream    io.ReadCloser
	over      chan struct{} // closed when the session ends
	endOnce   sync.Once
	endError  error

	mu       sync.Mutex
	offset   journal.Clock
	received uint64
	waiting  chan struct{} // closed with the next entry received; nil: nobody waits
}

func newSession(p Process) *session {
	h := p.Handshake()
	return &session{
		process: p, shake: h,
		client:    &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}},
		toxiproxy: toxiclient.NewClient(h.ToxiproxyURL),
		over:      make(chan struct{}),
	}
}

// end kills the process and waits for it.
func (s *session) end() error {
	s.endOnce.Do(func() {
		close(s.over)
		if err := s.process.Kill(); err != nil {
			s.endError = fmt.Errorf("kill agent: %w", err)
		}
		_ = s.process.Wait() // a killed process always ends with an error
		if s.stream != nil {
			_ = s.stream.Close()
		}
		s.client.CloseIdleConnections()
	})
	return s.endError
}

// ask calls the control API. The answer is decoded into out, when there is one.
func (s *session) ask(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, controlWait)
	defer cancel()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	resp, err := s.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

func (s *session) request(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.shake.ControlURL+path, body)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1024)) // what there is of it
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
}

// open begins to read the stream of records.
func (s *session) open(ctx context.Context) error {
	resp, err := s.request(ctx, http.MethodGet, "/stream", nil) //nolint:bodyclose // the session's end closes it
	if err != nil {
		return fmt.Errorf("open the agent's stream of records: %w", err)
	}
	s.stream = resp.Body
	return nil
}

// read brings the stream into the recorder until it ends, and says why it did.
func (s *session) read(rec journal.Recorder) error {
	lines := bufio.NewScanner(s.stream)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var e journal.Entry
		if err := e.UnmarshalJSON(lines.Bytes()); err != nil {
			return fmt.Errorf("a line of it: %w", err)
		}
		s.mu.Lock()
		e.At = max(e.At.Add(s.offset.Offset), 1) // zero would mean now
		s.mu.Unlock()
		rec.Record(e)
		s.mu.Lock()
		s.received++
		if s.waiting != nil {
			close(s.waiting)
			s.waiting = nil
		}
		s.mu.Unlock()
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("end of file")
}

// await returns when n entries have been received.
func (s *session) await(ctx context.Context, n uint64) error {
	for {
		s.mu.Lock()
		if s.waiting == nil {
			s.waiting = make(chan struct{})
		}
		received, more := s.received, s.waiting
		s.mu.Unlock()
		if received >= n {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d entries: %w", received, n, ctx.Err())
		case <-s.over:
			return fmt.Errorf("%d of %d entries: %w", received, n, errReplaced)
		}
	}
}

// keepTime measures the clocks' offset again and again until the session ends.
func (s *session) keepTime(ctx context.Context, rec journal.Recorder) {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.over:
			return
		case <-tick.C:
			// One that fails is followed by another; a dead agent is
			// noticed by its stream.
			_ = s.measure(ctx, rec)
		}
	}
}

// drift is how fast two clocks may part, as a share of the time passed.
const drift = 50e-6

// measure asks the agent's clock a few times, keeps the quickest answer, and
// records what is believed from now on: the new answer, or the old one as long
// as it is the more exact.
func (s *session) measure(ctx context.Context, rec journal.Recorder) error {
	var best journal.Clock
	for i := range clockSamples {
		sent := rec.Now()
		var a clockAnswer
		if err := s.ask(ctx, http.MethodGet, "/clock", nil, &a); err != nil {
			return fmt.Errorf("measure the agent's clock: %w", err)
		}
		rtt := rec.Now().Sub(sent)
		c := journal.Clock{Offset: sent.Add(rtt / 2).Sub(a.Now), Error: rtt/2 + 1}
		if i == 0 || c.Error < best.Error {
			best = c
		}
	}
	s.mu.Lock()
	aged := s.offset.Error + time.Duration(drift*float64(clockEvery))
	if s.offset.Error == 0 || best.Error <= aged {
		s.offset = best
	} else {
		s.offset.Error = aged
	}
	best = s.offset
	s.mu.Unlock()
	rec.Record(journal.Entry{On: Source, Body: best})
	return nil
}
