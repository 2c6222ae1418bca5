package balancer

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"
)

// RetriesHeader tells in every answer of the HTTP mode how often the balancer
// repeated the request: 0 or 1.
const RetriesHeader = "X-Seatrial-Retries"

func (s *service) serveHTTP() {
	transport := &http.Transport{
		// Each request has a connection of its own: on a kept one the
		// transport repeats requests without telling anybody.
		DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, address) },
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.Out.Host = r.In.Host
			in := r.In.URL
			r.Out.URL = &url.URL{Scheme: "http", Host: s.port, Path: in.Path, RawPath: in.RawPath, RawQuery: in.RawQuery}
		},
		Transport:     &retrier{balancer: s.balancer, port: s.port, next: transport},
		FlushInterval: -1,
		ErrorHandler:  answerError,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	server := &http.Server{
		Handler: proxy, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
	}
	s.mu.Lock()
	s.http = server
	s.mu.Unlock()
	_ = server.Serve(s.listener) // always the closing
}

// failed is a request that no replica answered.
type failed struct {
	err     error
	retries int
}

func (f *failed) Error() string { return f.err.Error() }
func (f *failed) Unwrap() error { return f.err }

var errNoReplica = errors.New("no replica is ready")

func answerError(w http.ResponseWriter, _ *http.Request, err error) {
	status, retries := http.StatusBadGateway, 0
	if f := (*failed)(nil); errors.As(err, &f) {
		retries = f.retries
	}
	if errors.Is(err, errNoReplica) {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set(RetriesHeader, strconv.Itoa(retries))
	w.WriteHeader(status)
}

// retrier sends a request to the next replica, and once more to another when
// the first could not be reached and the request may be repeated.
type retrier struct {
	balancer *Balancer
	port     string
	next     http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	m := r.balancer.pick(r.port, nil)
	if m == nil {
		return nil, &failed{err: errNoReplica}
	}
	resp, err := r.send(req, m)
	retries := 0
	if err != nil && repeatable(req) && req.Context().Err() == nil {
		if other := r.balancer.pick(r.port, m); other != nil {
			retries = 1
			resp, err = r.send(req, other)
		}
	}
	if err != nil {
		return nil, &failed{err: err, retries: retries}
	}
	resp.Header.Set(RetriesHeader, strconv.Itoa(retries))
	return resp, nil
}

func (r *retrier) send(req *http.Request, m *member) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.URL.Host = m.Addresses[r.port]
	return r.next.RoundTrip(out)
}

// repeatable reports whether a request is idempotent by its method (RFC 9110,
// 9.2.2) and has no body that may be half sent.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return req.Body == nil || req.Body == http.NoBody || req.ContentLength == 0
	}
	return false
}
