package payments

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

const (
	maxAttempts = 3
	backoffBase = 200 * time.Millisecond // the longest first wait; every further one is twice as long
)

// retry makes the attempts of one call. Every one carries the same key, or is
// a mere question, so that it may be repeated.
func (c *Client) retry(ctx context.Context, r request) (answer, error) {
	c.budget.earn()
	for n := 1; ; n++ {
		got, err := c.attempt(ctx, r)
		if !retryable(ctx, got, err) {
			return got, err
		}
		if err == nil {
			err = fmt.Errorf("status %d", got.status)
		}
		if n == maxAttempts || !c.budget.spend() {
			return answer{}, fmt.Errorf("attempt %d: %w", n, err)
		}
		wait := max(backoff(n), got.retryAfter)
		if err := pause(ctx, wait); err != nil {
			return answer{}, fmt.Errorf("before attempt %d: %w", n+1, err)
		}
		c.metrics.Retries.WithLabelValues("payments").Inc()
	}
}

// backoff is the wait after attempt n: exponential, with full jitter.
func backoff(n int) time.Duration {
	return telemetry.Jitter(backoffBase << (n - 1))
}

// retryable says that another attempt makes sense: nobody answered, or the
// answer was that of an overloaded or failing server.
func retryable(ctx context.Context, got answer, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		return true
	}
	switch got.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

var errTooLate = errors.New("deadline before the next attempt")

// pause waits, unless the deadline comes first.
func pause(ctx context.Context, wait time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return errTooLate
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// retryAfter reads the header in seconds or as a date; without one it is zero.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
