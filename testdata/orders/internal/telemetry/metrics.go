package telemetry

import (
	"database/sql"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Observer records one operation on a dependency.
type Observer func(dependency, operation, outcome string, took time.Duration)

// buckets have the promised latency (1 s) and the deadline (2 s) as bounds.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .15, .2, .3, .5, .75, 1, 1.5, 2, 2.5, 5, 10}

// Metrics are the service's own.
type Metrics struct {
	Registry   *prometheus.Registry
	Requests   *prometheus.CounterVec   // route, method, code
	Duration   *prometheus.HistogramVec // route, method
	InFlight   prometheus.Gauge
	Shed       prometheus.Counter
	Dependency *prometheus.HistogramVec // dependency, operation, outcome
	Cache      *prometheus.CounterVec   // result
	Retries    *prometheus.CounterVec   // dependency
	Breaker    *prometheus.GaugeVec     // dependency: 0 closed, 1 half-open, 2 open
	Draining   prometheus.Gauge
}

// NewMetrics registers the service's metrics, the runtime's and the process'.
func NewMetrics(environment string) *Metrics {
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		Requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests answered.",
		}, []string{"route", "method", "code"}),
		Duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time from a request's head to the end of its answer.",
			Buckets: buckets,
		}, []string{"route", "method"}),
		InFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "http_requests_in_flight", Help: "Requests being worked on.",
		}),
		Shed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "http_requests_shed_total", Help: "Requests refused because too many were being worked on.",
		}),
		Dependency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dependency_request_duration_seconds", Help: "Time of one operation on a dependency.",
			Buckets: buckets,
		}, []string{"dependency", "operation", "outcome"}),
		Cache: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cache_requests_total", Help: "Look-ups in the cache, by result: hit, miss, error or skipped.",
		}, []string{"result"}),
		Retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dependency_retries_total", Help: "Attempts after the first.",
		}, []string{"dependency"}),
		Breaker: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "circuit_breaker_state", Help: "0 closed, 1 half-open, 2 open.",
		}, []string{"dependency"}),
		Draining: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "draining", Help: "1 from the signal to stop.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{
			"service": Name, "version": Version(), "go_version": runtime.Version(), "environment": environment,
		},
	})
	build.Set(1)
	m.Registry.MustRegister(m.Requests, m.Duration, m.InFlight, m.Shed, m.Dependency, m.Cache, m.Retries,
		m.Breaker, m.Draining, build, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// WatchPool adds the statistics of a database pool.
func (m *Metrics) WatchPool(db *sql.DB) {
	m.Registry.MustRegister(collectors.NewDBStatsCollector(db, Name))
}

// Observe is an [Observer].
func (m *Metrics) Observe(dependency, operation, outcome string, took time.Duration) {
	m.Dependency.WithLabelValues(dependency, operation, outcome).Observe(took.Seconds())
}
