package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seatrial/seatrial/testdata/orders/internal/config"
	"github.com/seatrial/seatrial/testdata/orders/internal/health"
)

// free is an address where nobody listens.
func free(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// get returns the status and the whole answer, or the error as the answer.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// eventually asks until an address answers as wanted, for at most 10 s.
func eventually(t *testing.T, url string, want int) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for range 1000 {
		if code, _ := get(t, url); code == want {
			return
		}
		<-ticker.C
	}
	t.Fatalf("%s never answered %d", url, want)
}

// TestServeWithoutDependencies starts the whole service where nothing answers:
// it lives, it is not ready, it says why, and it ends when it is told to.
func TestServeWithoutDependencies(t *testing.T) {
	for pool, metric := range map[string]string{
		config.PoolSQL: "go_sql_max_open_connections", config.PoolPgx: "pgxpool_max_conns",
		config.PoolPQ: "go_sql_max_open_connections",
	} {
		t.Run(pool, func(t *testing.T) { testWithoutDependencies(t, pool, metric) })
	}
}

func testWithoutDependencies(t *testing.T, pool, metric string) {
	nobody := free(t)
	cfg := config.Service{
		HTTPAddr: free(t), AdminAddr: free(t), Environment: "development", Replica: "r1",
		Clients:     []config.Client{{Token: "hunter2", Rate: 1, Burst: 1}},
		DatabaseURL: config.Secret("postgres://u:hunter2@" + nobody + "/orders"), RedisAddr: nobody,
		PaymentsURL: "http://" + nobody, MaxConcurrent: 2, Pool: pool, MaxOpenConns: 2, ConnLifetime: time.Minute,
		RequestTimeout: time.Second, DrainDelay: 10 * time.Millisecond, DrainTimeout: time.Second,
	}
	ctx, cancel := context.WithCancel(t.Context())
	var log lines
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, cfg, &log) }()
	eventually(t, "http://"+cfg.AdminAddr+"/livez", http.StatusOK)
	if code, body := get(t, "http://"+cfg.AdminAddr+"/readyz"); code != 503 || !strings.Contains(body, "database") {
		t.Errorf("readiness: %d %s", code, body)
	}
	metric += "{db_name=\"orders\"} 2"
	if code, body := get(t, "http://"+cfg.AdminAddr+"/metrics"); code != 200 || !strings.Contains(body, metric) {
		t.Errorf("metrics: %d without the pool's", code)
	}
	eventually(t, "http://"+cfg.HTTPAddr+"/v1/orders", http.StatusUnauthorized)
	if code, _ := get(t, "http://"+cfg.HTTPAddr+"/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("profiles on the public port: %d", code)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if out := log.String(); strings.Contains(out, "hunter2") || !strings.Contains(out, `"msg":"stopped"`) {
		t.Errorf("log: %s", out)
	}
}

// replica is a lifecycle whose handlers are the test's.
func replica(t *testing.T, public http.HandlerFunc, timeout time.Duration) (*lifecycle, chan error) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	l := &lifecycle{
		cfg: config.Service{
			HTTPAddr: free(t), AdminAddr: free(t), DrainDelay: 300 * time.Millisecond, DrainTimeout: timeout,
		},
		log: log, health: health.New(up{}), draining: func() {}, public: newServer(public, log),
	}
	l.admin = newServer(http.HandlerFunc(l.health.Ready), log)
	ended := make(chan error, 1)
	go func() { ended <- l.serve(t.Context()) }()
	eventually(t, "http://"+l.cfg.AdminAddr, http.StatusOK)
	return l, ended
}

type up struct{}

func (up) Ping(context.Context) error { return nil }

func terminate(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// TestDrain is told to stop, twice, while a request is in flight: it turns
// unready, still serves who comes before the balancer has noticed, answers the
// request and ends.
func TestDrain(t *testing.T) {
	began, finish := make(chan struct{}), make(chan struct{})
	l, ended := replica(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-finish
		}
	}, 10*time.Second)
	answer := make(chan int, 1)
	go func() {
		code, _ := get(t, "http://"+l.cfg.HTTPAddr+"/slow")
		answer <- code
	}()
	<-began
	terminate(t)
	eventually(t, "http://"+l.cfg.AdminAddr, http.StatusServiceUnavailable)
	terminate(t)
	if code, body := get(t, "http://"+l.cfg.HTTPAddr+"/newcomer"); code != http.StatusOK {
		t.Errorf("before the listener is closed: %d %s", code, body)
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for code := http.StatusOK; code != 0; <-ticker.C { // the listener closes
		code, _ = get(t, "http://"+l.cfg.HTTPAddr+"/newcomer")
	}
	close(finish)
	if code := <-answer; code != http.StatusOK {
		t.Errorf("the request in flight got %d", code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestDrainDeadline has a request that ends only when it is cut.
func TestDrainDeadline(t *testing.T) {
	began, cut := make(chan struct{}), make(chan struct{})
	l, ended := replica(t, func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(cut)
	}, 100*time.Millisecond)
	go get(t, "http://"+l.cfg.HTTPAddr)
	<-began
	terminate(t)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-cut
}

func TestAddressInUse(t *testing.T) {
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	log := slog.New(slog.DiscardHandler)
	l := &lifecycle{
		cfg: config.Service{HTTPAddr: taken.Addr().String(), AdminAddr: free(t)}, log: log, health: health.New(up{}),
		public: newServer(nil, log), admin: newServer(nil, log),
	}
	err = l.serve(t.Context())
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(fmt.Sprint(err), "listen on") {
		t.Errorf("got %v, want the address in use", err)
	}
}
