package loadgen

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ohler55/ojg/oj"
)

// shownBytes is how much of an answer an error quotes.
const shownBytes = 200

// Setup sends the traffic's setup requests, once and in order, to a base URL,
// and captures from their answers. The error names the request that was not
// answered with a success, the status and the beginning of its answer.
func (s *Source) Setup(ctx context.Context, base string) error {
	timeout := s.timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	client := &http.Client{
		Transport:     Attack{Timeout: timeout, MaxInFlight: 1}.transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}
	defer client.CloseIdleConnections()
	only := &Source{traffic: s.traffic}
	for i, q := range s.setup {
		h := hit{request: q, seq: uint64(i)}
		h.draws.Seed(s.seed^stream("setup"), scatter(h.seq))
		t, err := only.fill(h)
		if err == nil {
			err = s.setUp(ctx, client, strings.TrimSuffix(base, "/"), t, h)
		}
		if err != nil {
			return fmt.Errorf("setup of the traffic: request %q: %w", q.Name, err)
		}
	}
	return nil
}

func (s *Source) setUp(ctx context.Context, client *http.Client, base string, t Target, h hit) error {
	e := &engine{name: "setup", prefix: base, runID: strconv.FormatUint(s.seed, 16), source: s}
	req, err := e.request(ctx, t, h)
	if err != nil {
		return err
	}
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no answer after %v: %w", time.Since(began).Round(time.Millisecond), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, keptBytes))
	if err != nil {
		return fmt.Errorf("%s %s answered %d and then broke off: %w", t.Method, t.Path, resp.StatusCode, err)
	}
	if !t.request.ok.has(resp.StatusCode) {
		return fmt.Errorf("%s %s answered %d, which is no success here: %s",
			t.Method, t.Path, resp.StatusCode, beginning(body))
	}
	if len(t.request.takes) == 0 {
		return nil
	}
	document, err := oj.Parse(body)
	if err != nil {
		return fmt.Errorf("%s %s answered no JSON to capture from: %s", t.Method, t.Path, beginning(body))
	}
	for _, c := range t.request.takes {
		value, ok := c.from(document)
		if !ok {
			return fmt.Errorf("its answer has nothing at %s to capture as %q: %s",
				t.request.Capture[c.name], c.name, beginning(body))
		}
		s.store.add(c.name, value)
	}
	return nil
}

// beginning quotes the beginning of an answer.
func beginning(body []byte) string {
	if len(body) > shownBytes {
		return strconv.Quote(string(body[:shownBytes])) + "…"
	}
	return strconv.Quote(string(body))
}
