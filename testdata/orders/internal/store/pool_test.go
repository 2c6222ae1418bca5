package store

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// TestPoolExpires holds the settings to the promise: no connection becomes
// older than the lifetime and the time until its age is looked at.
func TestPoolExpires(t *testing.T) {
	for _, c := range []struct{ lifetime, most, jitter, period time.Duration }{
		{0, 0, 0, time.Minute},
		{10 * time.Second, 9 * time.Second, time.Second, time.Second},
		{time.Hour, 54 * time.Minute, 6 * time.Minute, time.Minute},
	} {
		cfg, err := pgxpool.ParseConfig("")
		if err != nil {
			t.Fatal(err)
		}
		expire(cfg, c.lifetime)
		if cfg.MaxConnLifetime != c.most || cfg.MaxConnLifetimeJitter != c.jitter || cfg.HealthCheckPeriod != c.period {
			t.Errorf("%v: %v and up to %v, looked at every %v", c.lifetime, cfg.MaxConnLifetime, cfg.MaxConnLifetimeJitter,
				cfg.HealthCheckPeriod)
		}
	}
}

// TestPoolCloses closes a pool whose only connection is not given back: it
// waits for that, but not for ever.
func TestPoolCloses(t *testing.T) {
	server := startServer(t)
	p := openPool(t, server.ServiceDSN(), Limits{MaxOpen: 1, Statement: time.Second})
	began := time.Now()
	err := p.do(t.Context(), "hold", func(context.Context, *pgxpool.Conn) error {
		if err := p.Close(); err == nil {
			t.Error("it is closed while a connection is in use")
		}
		return nil
	})
	if took := time.Since(began); err != nil || took < closesWithin {
		t.Errorf("after %v: %v", took, err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("with all connections given back: %v", err)
	}
}
