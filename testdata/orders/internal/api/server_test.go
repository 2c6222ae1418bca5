package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seatrial/seatrial/testdata/orders/internal/config"
	"github.com/seatrial/seatrial/testdata/orders/internal/health"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
	"github.com/seatrial/seatrial/testdata/orders/internal/telemetry"
)

type pinger struct{}

func (pinger) Ping(context.Context) error { return nil }

type fees struct{ ask func(context.Context) error }

func (fees) Charge(context.Context, string, int64) error { return nil }

func (f fees) Fee(ctx context.Context, _ int64) (int64, error) { return 35, f.ask(ctx) }

const body = `{"customer":"Ada","items":[{"sku":"a","quantity":1,"price_cents":5}]}`

func server(fee func(context.Context) error) (*Server, *bytes.Buffer) {
	var logged bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&logged, nil))
	cfg := config.Service{
		Clients:       []config.Client{{Token: "hunter2", Rate: 1000, Burst: 1000}, {Token: "seldom", Rate: 1, Burst: 2}},
		MaxConcurrent: 1, RequestTimeout: 50 * time.Millisecond,
	}
	svc := orders.NewService(nil, fees{fee}, nil)
	return New(cfg, svc, health.New(pinger{}), telemetry.NewMetrics("test"), log), &logged
}

func quote(ctx context.Context, content string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/quotes", strings.NewReader(content))
	r.Header.Set("Authorization", "Bearer hunter2")
	r.Header.Set("Content-Type", "application/json")
	return r
}

type panics struct{}

func (panics) Drill(context.Context) error { panic("on purpose") }

func TestDrill(t *testing.T) {
	s, logged := server(nil)
	ask := func() int {
		r := quote(t.Context(), "")
		r.URL.Path = "/v1/drills/panic"
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	if code := ask(); code != http.StatusNotFound {
		t.Errorf("without drills it is %d", code)
	}
	s.Drill(panics{})
	if code := ask(); code != http.StatusInternalServerError || !strings.Contains(logged.String(), "on purpose") {
		t.Errorf("a panic is %d: %s", code, logged)
	}
}

func TestAnswers(t *testing.T) {
	s, logged := server(func(context.Context) error { return nil })
	handler := s.Handler()
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	line := func(method, path, query string) func(*http.Request) {
		return func(r *http.Request) { r.Method, r.URL.Path, r.URL.RawQuery = method, path, query }
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		body   string
		want   int
	}{
		"good":           {nil, body, http.StatusOK},
		"no token":       {header("Authorization", ""), body, http.StatusUnauthorized},
		"wrong token":    {header("Authorization", "Bearer x"), body, http.StatusUnauthorized},
		"content type":   {header("Content-Type", "text/plain"), body, http.StatusUnsupportedMediaType},
		"compressed":     {header("Content-Encoding", "gzip"), body, http.StatusUnsupportedMediaType},
		"unknown field":  {nil, `{"customer":"Ada","admin":true}`, http.StatusBadRequest},
		"two values":     {nil, body + body, http.StatusBadRequest},
		"not json":       {nil, "hello", http.StatusBadRequest},
		"too large":      {nil, `"` + strings.Repeat("a", maxBody) + `"`, http.StatusRequestEntityTooLarge},
		"not valid":      {nil, `{"customer":"Ada","items":[]}`, http.StatusBadRequest},
		"unknown path":   {line(http.MethodPost, "/v1/nothing", ""), body, http.StatusNotFound},
		"unknown method": {line(http.MethodDelete, "/v1/quotes", ""), body, http.StatusMethodNotAllowed},
		"unknown id":     {line(http.MethodGet, "/v1/orders/x", ""), "", http.StatusNotFound},
		"note of none":   {line(http.MethodGet, "/v1/orders/x/note", ""), "", http.StatusNotFound},
		"note for none":  {line(http.MethodPut, "/v1/orders/x/note", ""), `{"note":"a"}`, http.StatusNotFound},
		"note not known": {line(http.MethodPut, "/v1/orders/ord_"+strings.Repeat("a", 26)+"/note", ""), body, 400},
		"empty note":     {line(http.MethodPut, "/v1/orders/ord_"+strings.Repeat("a", 26)+"/note", ""), "{}", 400},
		"post a note":    {line(http.MethodPost, "/v1/orders/x/note", ""), body, http.StatusMethodNotAllowed},
		"page too large": {line(http.MethodGet, "/v1/orders", "limit=101"), "", http.StatusBadRequest},
		"no key":         {line(http.MethodPost, "/v1/orders", ""), body, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			r := quote(t.Context(), c.body)
			if c.change != nil {
				c.change(r)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("got %d, want %d: %s", w.Code, c.want, w.Body)
			}
			checkShape(t, w)
		})
	}
	if strings.Contains(logged.String(), "hunter2") {
		t.Error("the token is in the log")
	}
}

// checkShape wants every error to be the same kind of document.
func checkShape(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w.Code < 400 {
		return
	}
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("not JSON: %s", w.Body)
	}
	if p.Status != w.Code || p.Title == "" || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("not a problem: %s", w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
}

func TestShedsAtOnce(t *testing.T) {
	s, _ := server(func(context.Context) error { return nil })
	s.slots <- struct{}{}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, quote(t.Context(), body))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

// TestMeter has a client ask more often than agreed, under several addresses:
// it is refused, and nobody else is.
func TestMeter(t *testing.T) {
	s, _ := server(func(context.Context) error { return nil })
	handler := s.Handler()
	ask := func(token, address string) *httptest.ResponseRecorder {
		r := quote(t.Context(), body)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("X-Forwarded-For", address)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	for i, want := range []int{200, 200, 429, 429} {
		w := ask("seldom", "203.0.113."+strconv.Itoa(i))
		if w.Code != want || (want == 429) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("request %d: %d, Retry-After %q", i, w.Code, w.Header().Get("Retry-After"))
		}
	}
	if w := ask("hunter2", "203.0.113.1"); w.Code != http.StatusOK {
		t.Errorf("another client: %d", w.Code)
	}
}

func TestDownload(t *testing.T) {
	s, _ := server(func(context.Context) error { return nil })
	download := func() *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/delivery-times", nil)
		r.Header.Set("Authorization", "Bearer hunter2")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w
	}
	if w := download(); w.Code != http.StatusOK || w.Body.Len() < 8<<20 {
		t.Errorf("got %d with %d bytes", w.Code, w.Body.Len())
	}
	for range maxBulk {
		s.bulk <- struct{}{}
	}
	if w := download(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d", w.Code)
	}
}

func TestDeadline(t *testing.T) {
	s, _ := server(func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, quote(t.Context(), body))
	if w.Code != http.StatusGatewayTimeout {
		t.Errorf("got %d, want 504", w.Code)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	s, logged := server(func(context.Context) error { panic("secret cause") })
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, quote(t.Context(), body))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "secret cause") {
		t.Errorf("got %d: %s", w.Code, w.Body)
	}
	if !strings.Contains(logged.String(), "secret cause") {
		t.Error("the cause is not in the log")
	}
	if len(s.slots) != 0 {
		t.Error("the place was not given back")
	}
}

func TestDraining(t *testing.T) {
	s, _ := server(func(context.Context) error { return nil })
	ready := func() int {
		w := httptest.NewRecorder()
		s.Admin().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		return w.Code
	}
	if got := ready(); got != http.StatusServiceUnavailable {
		t.Errorf("before the first check: ready answers %d", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.health.Watch(ctx)
	s.health.Drain()
	if got := ready(); got != http.StatusServiceUnavailable {
		t.Errorf("while draining: ready answers %d", got)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, quote(t.Context(), body))
	if w.Code != http.StatusOK || w.Header().Get("Connection") != "close" {
		t.Errorf("got %d, Connection %q", w.Code, w.Header().Get("Connection"))
	}
}

func TestRoutesBoundTheSeries(t *testing.T) {
	s, _ := server(func(context.Context) error { return nil })
	for _, path := range []string{"/a", "/b", "/v1/orders/1", "/v1/orders/2"} {
		r := httptest.NewRequestWithContext(t.Context(), "BREW", path, nil)
		s.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	families, err := s.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "http_requests_total" && len(f.GetMetric()) != 2 {
			t.Errorf("%d series for two routes: %v", len(f.GetMetric()), f.GetMetric())
		}
	}
}
