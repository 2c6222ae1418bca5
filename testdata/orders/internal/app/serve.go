// Package app puts the service together, runs it and takes it down again.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seatrial/seatrial/testdata/orders/internal/api"
	"github.com/seatrial/seatrial/testdata/orders/internal/cache"
	"github.com/seatrial/seatrial/testdata/orders/internal/config"
	"github.com/seatrial/seatrial/testdata/orders/internal/health"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/payments"
	"github.com/seatrial/seatrial/testdata/orders/internal/store"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// Serve answers requests until ctx ends or the process is told to stop with
// SIGTERM or SIGINT. It then drains and returns nil, also when it had to cut
// requests that were still hanging at the end.
func Serve(ctx context.Context, cfg config.Service, stdout io.Writer) error {
	log := telemetry.NewLogger(stdout, cfg.Environment, cfg.Replica)
	slog.SetDefault(log)
	metrics := telemetry.NewMetrics(cfg.Environment)
	db, err := openDatabase(ctx, cfg, cfg.Replica, store.Limits{
		MaxOpen: cfg.MaxOpenConns, Lifetime: cfg.ConnLifetime, Statement: cfg.RequestTimeout,
	}, metrics.Observe)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.Watch(metrics)
	watched, err := openDatabase(ctx, cfg, cfg.Replica+"-health", store.Limits{
		MaxOpen: 1, Lifetime: cfg.ConnLifetime,
	}, metrics.Observe)
	if err != nil {
		return err
	}
	defer func() { _ = watched.Close() }()
	pay := payments.New(cfg.PaymentsURL, metrics)
	defer pay.Close()
	redis := cache.New(cfg.RedisAddr, metrics)
	defer func() { _ = redis.Close() }()

	state := health.New(watched)
	server := api.New(cfg, orders.NewService(db, pay, redis), state, metrics, log)
	if cfg.Drills {
		server.Drill(db)
	}
	run := &lifecycle{
		cfg: cfg, log: log, health: state, draining: func() { metrics.Draining.Set(1) },
		public: newServer(server.Handler(), log), admin: newServer(server.Admin(), log),
	}
	run.admin.WriteTimeout = 90 * time.Second // profiles take their time
	return run.serve(ctx)
}

func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      18 * time.Second,
		IdleTimeout:       18 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// lifecycle is the way of a replica from its start to its end.
type lifecycle struct {
	cfg           config.Service
	log           *slog.Logger
	health        *health.Health
	draining      func()
	public, admin *http.Server
}

func (l *lifecycle) serve(ctx context.Context) error {
	// Registered for good: a second signal while draining changes nothing.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	ctx, cancel := context.WithCancel(telemetry.WithLogger(ctx, l.log))
	defer cancel()
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	l.public.BaseContext = func(net.Listener) context.Context { return work }

	ended := make(chan error, 2)
	if err := l.listen(ctx, l.cfg.AdminAddr, l.admin, ended); err != nil {
		return err
	}
	defer func() { _ = l.admin.Close() }()
	if err := l.listen(ctx, l.cfg.HTTPAddr, l.public, ended); err != nil {
		return err
	}
	defer func() { _ = l.public.Close() }()
	go l.health.Watch(ctx)
	l.log.Info("serving", "http", l.cfg.HTTPAddr, "admin", l.cfg.AdminAddr)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	case s := <-signals:
		l.log.Info("told to stop", "signal", s.String())
	}
	return l.drain(context.WithoutCancel(ctx), abandon)
}

func (l *lifecycle) listen(ctx context.Context, addr string, server *http.Server, ended chan<- error) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			ended <- fmt.Errorf("serve on %s: %w", addr, err)
		}
	}()
	return nil
}

// drain fails readiness, goes on serving until balancers have noticed (every
// answer closes its connection), then closes the listener, waits for what is
// in flight, and cuts what is left at the deadline.
func (l *lifecycle) drain(ctx context.Context, abandon func()) error {
	l.health.Drain()
	l.draining()
	timer := time.NewTimer(l.cfg.DrainDelay)
	defer timer.Stop()
	<-timer.C
	ctx, cancel := context.WithTimeout(ctx, l.cfg.DrainTimeout)
	defer cancel()
	if err := l.public.Shutdown(ctx); err != nil {
		l.log.Warn("requests were cut at the end of the drain", "error", err.Error())
		abandon()
	}
	l.log.Info("stopped")
	return nil
}
