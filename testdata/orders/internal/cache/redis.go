// Package cache remembers final orders in Redis. The service goes on without
// it: whatever fails here costs little time and counts as a miss.
package cache

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/sony/gobreaker/v2"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

const (
	operationTimeout = 100 * time.Millisecond
	timeToLive       = time.Minute
)

// Redis is an [orders.Cache].
type Redis struct {
	client  *redis.Client
	breaker *gobreaker.CircuitBreaker[[]byte]
	metrics *telemetry.Metrics
}

// New prepares a client; nothing is dialled yet.
func New(addr string, m *telemetry.Metrics) *Redis {
	client := redis.NewClient(&redis.Options{
		Addr:                     addr,
		DialTimeout:              operationTimeout,
		ReadTimeout:              operationTimeout,
		WriteTimeout:             operationTimeout,
		PoolTimeout:              operationTimeout,
		PoolSize:                 10,
		MaxRetries:               -1, // none: a miss is cheaper
		DialerRetries:            1,
		ContextTimeoutEnabled:    true,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	state := m.Breaker.WithLabelValues("redis")
	breaker := gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
		Name:          "redis",
		Timeout:       2 * time.Second,
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		OnStateChange: func(_ string, _, to gobreaker.State) { state.Set(float64(to)) },
		IsSuccessful:  func(err error) bool { return err == nil || errors.Is(err, redis.Nil) },
		IsExcluded:    func(err error) bool { return errors.Is(err, context.Canceled) },
	})
	return &Redis{client: client, breaker: breaker, metrics: m}
}

// Get looks an order up.
func (r *Redis) Get(ctx context.Context, id string) (orders.Order, bool) {
	data, err := r.do(ctx, "get", func(ctx context.Context) ([]byte, error) {
		return r.client.Get(ctx, key(id)).Bytes()
	})
	var o orders.Order
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	r.metrics.Cache.WithLabelValues(result(err)).Inc()
	return o, err == nil
}

// Put remembers an order for a minute.
func (r *Redis) Put(ctx context.Context, o orders.Order) {
	data, err := json.Marshal(o)
	if err != nil {
		return
	}
	_, err = r.do(ctx, "set", func(ctx context.Context) ([]byte, error) {
		return nil, r.client.Set(ctx, key(o.ID), data, timeToLive).Err()
	})
	if err != nil && !errors.Is(err, gobreaker.ErrOpenState) {
		telemetry.Logger(ctx).Warn("cache not written", "error", err.Error())
	}
}

// Close gives all connections back.
func (r *Redis) Close() error { return r.client.Close() }

func (r *Redis) do(
	ctx context.Context, operation string, fn func(context.Context) ([]byte, error),
) ([]byte, error) {
	return r.breaker.Execute(func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, operationTimeout)
		defer cancel()
		start := time.Now()
		data, err := fn(ctx)
		outcome := "ok"
		if err != nil && !errors.Is(err, redis.Nil) {
			outcome = "error"
		}
		r.metrics.Observe("redis", operation, outcome, time.Since(start))
		return data, err
	})
}

func key(id string) string { return "order:" + id }

func result(err error) string {
	switch {
	case err == nil:
		return "hit"
	case errors.Is(err, redis.Nil):
		return "miss"
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		return "skipped"
	default:
		return "error"
	}
}
