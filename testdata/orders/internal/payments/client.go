// Package payments calls the payment provider over HTTP.
package payments

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// ErrUnavailable says that the provider could not be asked, or did not answer
// in time. The call may be repeated with the same key.
var ErrUnavailable = errors.New("payments unavailable")

const (
	callTimeout    = 1600 * time.Millisecond // all attempts and waits of one call
	attemptTimeout = 500 * time.Millisecond
	maxConcurrent  = 12 // calls at a time; less than the replica's own limit
	maxAnswer      = 64 << 10
)

// Client is an [orders.Payments].
type Client struct {
	base    string
	http    *http.Client
	breaker *gobreaker.CircuitBreaker[answer]
	slots   chan struct{}
	budget  *budget
	metrics *telemetry.Metrics
}

// New prepares a client; nothing is dialled yet.
func New(base string, m *telemetry.Metrics) *Client {
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: attemptTimeout}).DialContext,
		TLSHandshakeTimeout:   attemptTimeout,
		ResponseHeaderTimeout: attemptTimeout,
		MaxIdleConnsPerHost:   maxConcurrent,
		MaxConnsPerHost:       2 * maxConcurrent,
		IdleConnTimeout:       30 * time.Second,
	}
	return &Client{
		base:    strings.TrimRight(base, "/"),
		http:    &http.Client{Transport: transport, Timeout: attemptTimeout},
		breaker: newBreaker(m),
		slots:   make(chan struct{}, maxConcurrent),
		budget:  newBudget(),
		metrics: m,
	}
}

// newBreaker opens after 20 calls in a row that failed in all their attempts,
// and tries again after 5 s. Refusals (4xx) are answers, not failures.
func newBreaker(m *telemetry.Metrics) *gobreaker.CircuitBreaker[answer] {
	state := m.Breaker.WithLabelValues("payments")
	return gobreaker.NewCircuitBreaker[answer](gobreaker.Settings{
		Name:          "payments",
		MaxRequests:   3,
		Timeout:       5 * time.Second,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 20 },
		OnStateChange: func(_ string, _, to gobreaker.State) { state.Set(float64(to)) },
		IsExcluded:    func(err error) bool { return errors.Is(err, context.Canceled) },
	})
}

// Charge takes the money for an order, once for each key.
func (c *Client) Charge(ctx context.Context, key string, cents int64) error {
	body, err := json.Marshal(map[string]any{"reference": key, "amount_cents": cents, "currency": "EUR"})
	if err != nil {
		return fmt.Errorf("charge: %w", err)
	}
	got, err := c.call(ctx, request{operation: "charge", method: http.MethodPost, path: "/charges", key: key, body: body})
	if err != nil {
		return fmt.Errorf("charge: %w", err)
	}
	if got.status == http.StatusPaymentRequired {
		return orders.ErrDeclined
	}
	if got.status/100 != 2 {
		return fmt.Errorf("charge: %w: status %d", ErrUnavailable, got.status)
	}
	return nil
}

// Fee asks what a payment would cost. It changes nothing over there.
func (c *Client) Fee(ctx context.Context, cents int64) (int64, error) {
	got, err := c.call(ctx, request{
		operation: "fee",
		method:    http.MethodGet, // so that it may be repeated without a key
		path:      fmt.Sprintf("/fees?amount_cents=%d&currency=EUR", cents),
	})
	if err != nil {
		return 0, fmt.Errorf("fee: %w", err)
	}
	var fee struct {
		Cents *int64 `json:"fee_cents"`
	}
	if err := json.Unmarshal(got.body, &fee); err != nil || got.status/100 != 2 || fee.Cents == nil {
		return 0, fmt.Errorf("fee: %w: status %d", ErrUnavailable, got.status)
	}
	return *fee.Cents, nil
}

// Close gives all idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one logical call; its attempts are all alike.
type request struct {
	operation, method, path, key string
	body                         []byte
}

// answer is what came back in the end.
type answer struct {
	status     int
	retryAfter time.Duration
	body       []byte
}

// call makes one logical call: bounded in number, in time and in attempts.
func (c *Client) call(ctx context.Context, r request) (answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return answer{}, fmt.Errorf("%w: too many calls at once", ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := c.breaker.Execute(func() (answer, error) { return c.retry(ctx, r) })
	if err != nil {
		return answer{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return got, nil
}

// attempt sends the request once.
func (c *Client) attempt(ctx context.Context, r request) (answer, error) {
	start := time.Now()
	got, err := c.send(ctx, r)
	c.metrics.Observe("payments", r.operation, outcome(got, err), time.Since(start))
	return got, err
}

func (c *Client) send(ctx context.Context, r request) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, c.base+r.path, bytes.NewReader(r.body))
	if err != nil {
		return answer{}, fmt.Errorf("build request: %w", err)
	}
	req.GetBody = nil // attempts are ours to count: no silent replay by the transport
	req.Header.Set("Content-Type", "application/json")
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	if scope, ok := telemetry.ScopeOf(ctx); ok {
		req.Header.Set("X-Request-Id", scope.RequestID)
		req.Header.Set("Traceparent", scope.Traceparent())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	return answer{status: resp.StatusCode, retryAfter: retryAfter(resp.Header), body: body}, nil
}

func outcome(got answer, err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case err != nil:
		return "error"
	case got.status >= 500, got.status == http.StatusTooManyRequests:
		return "refused"
	default:
		return "ok"
	}
}
