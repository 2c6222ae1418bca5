// Package api is the service's HTTP side.
package api

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seatrial/seatrial/testdata/orders/internal/config"
	"github.com/seatrial/seatrial/testdata/orders/internal/health"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// Server answers the API's requests.
type Server struct {
	orders  *orders.Service
	health  *health.Health
	metrics *telemetry.Metrics
	log     *slog.Logger
	clients []client
	timeout time.Duration
	driller Driller // nil: there are no drills
	slots   chan struct{}
	bulk    chan struct{} // places for answers that take as long as their reader does
}

// maxBulk is how many large answers are sent at a time; they take up none of the
// other places.
const maxBulk = 8

// New returns a server; cfg gives the clients, the timeout and the limit.
func New(
	cfg config.Service, svc *orders.Service, h *health.Health, m *telemetry.Metrics, log *slog.Logger,
) *Server {
	return &Server{
		orders: svc, health: h, metrics: m, log: log, clients: newClients(cfg.Clients),
		timeout: cfg.RequestTimeout, slots: make(chan struct{}, cfg.MaxConcurrent), bulk: make(chan struct{}, maxBulk),
	}
}

// Handler is what the public port answers.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	known := func(h http.Handler) http.Handler { return s.authorize(s.meter(h)) }
	read := func(h http.HandlerFunc) http.Handler { return known(s.limit(s.deadline(h))) }
	write := func(h http.HandlerFunc) http.Handler { return known(withBody(s.limit(s.deadline(h)))) }
	mux.Handle("POST /v1/orders", write(s.placeOrder))
	mux.Handle("GET /v1/orders", read(s.listOrders))
	mux.Handle("GET /v1/orders/{id}", read(s.getOrder))
	mux.Handle("PUT /v1/orders/{id}/note", write(s.setNote))
	mux.Handle("GET /v1/orders/{id}/note", read(s.getNote))
	mux.Handle("POST /v1/quotes", write(s.quote))
	mux.Handle("GET /v1/delivery-times", known(http.HandlerFunc(s.deliveryTimes)))
	if s.driller != nil {
		mux.Handle("POST /v1/drills/panic", read(s.drill))
	}
	mux.Handle("/v1/orders", notAllowed("GET, POST"))
	mux.Handle("/v1/orders/{id}", notAllowed("GET"))
	mux.Handle("/v1/orders/{id}/note", notAllowed("GET, PUT"))
	mux.Handle("/v1/quotes", notAllowed("POST"))
	mux.Handle("/v1/delivery-times", notAllowed("GET"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, http.StatusNotFound, "there is nothing here")
	})
	return s.observe(mux)
}

// Admin is what the operators' port answers. It never takes up a place of the
// public one.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", s.health.Live)
	mux.HandleFunc("GET /readyz", s.health.Ready)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

func notAllowed(allow string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", allow)
		refuse(w, r, http.StatusMethodNotAllowed, "allowed: "+allow)
	})
}
