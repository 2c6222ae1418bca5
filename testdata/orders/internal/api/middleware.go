package api

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

// answerWriter remembers what was answered.
type answerWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader remembers the status.
func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (w *answerWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for [http.ResponseController].
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe gives a request its ids and its logger, counts and times it, and
// survives a panic in its handler.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		scope := telemetry.NewScope(r.Header)
		log := s.log.With("request_id", scope.RequestID, "trace_id", scope.TraceID, "span_id", scope.SpanID)
		r = r.WithContext(telemetry.WithLogger(telemetry.WithScope(r.Context(), scope), log))
		w.Header().Set("X-Request-Id", scope.RequestID)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if s.health.Draining() {
			w.Header().Set("Connection", "close") // the next request goes to another replica
		}
		answered := &answerWriter{ResponseWriter: w}
		defer func() {
			if cause := recover(); cause != nil {
				if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(cause)
				}
				log.Error("panic", "cause", cause, "stack", string(debug.Stack()))
				if answered.status == 0 {
					refuse(answered, r, http.StatusInternalServerError, "")
				}
			}
			s.account(r, answered, time.Since(start))
		}()
		next.ServeHTTP(answered, r)
	})
}

func (s *Server) account(r *http.Request, w *answerWriter, took time.Duration) {
	route, method := routeOf(r)
	s.metrics.Requests.WithLabelValues(route, method, strconv.Itoa(w.status)).Inc()
	s.metrics.Duration.WithLabelValues(route, method).Observe(took.Seconds())
	telemetry.Logger(r.Context()).Info("request", "method", method, "route", route, "status", w.status,
		"bytes", w.bytes, "duration_ms", float64(took.Microseconds())/1000)
}

// routeOf names what was asked for by its pattern, so that there are as many
// series as routes, whatever callers send.
func routeOf(r *http.Request) (route, method string) {
	method = "OTHER"
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions:
		method = r.Method
	}
	_, route, found := strings.Cut(r.Pattern, " ")
	if !found {
		route = r.Pattern
	}
	if route == "" || route == "/" {
		route = "unmatched"
	}
	return route, method
}

// limit works on so many requests at a time, and refuses the others at once.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		default:
			s.metrics.Shed.Inc()
			refuse(w, r, http.StatusServiceUnavailable, "too many requests at once")
			return
		}
		s.metrics.InFlight.Inc()
		defer s.metrics.InFlight.Dec()
		next.ServeHTTP(w, r)
	})
}

// deadline bounds the work on a request, all its calls together.
func (s *Server) deadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
