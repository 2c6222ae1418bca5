package observe

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/tcptest"
	"github.com/seatrial/seatrial/experiments/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// observed runs an observer for a while and returns what it recorded of a kind.
func observed[T journal.Body](t *testing.T, o Observer, length time.Duration) []T {
	t.Helper()
	m := journal.NewMemory(journal.Header{})
	watch(t, o, m, length)
	return bodies[T](m)
}

func watch(t *testing.T, o Observer, m *journal.Memory, length time.Duration) {
	t.Helper()
	began := time.Now() // before the context's own time begins
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	if err := o.Observe(ctx, m); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < length || took > length+time.Second {
		t.Errorf("it observed for %v instead of %v", took, length)
	}
}

func bodies[T journal.Body](m *journal.Memory) []T {
	var all []T
	for _, body := range journal.Of[T](m) {
		all = append(all, body)
	}
	return all
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

// listen serves each connection with a function and returns the address.
func listen(t *testing.T, handle func(c *net.TCPConn)) string {
	t.Helper()
	return tcptest.Serve(t, func(_ int, c *net.TCPConn) { handle(c) })
}

func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func always(s string) func() string { return func() string { return s } }

func TestEachAndOverlapping(t *testing.T) {
	inTurn := func(ctx context.Context, do func()) { each(ctx, 100*time.Millisecond, do) }
	atOnce := func(limit int) func(context.Context, func()) {
		return func(ctx context.Context, do func()) { overlapping(ctx, 100*time.Millisecond, limit, do) }
	}
	tests := []struct {
		name  string
		run   func(ctx context.Context, do func())
		takes time.Duration
		want  int
	}{
		{"each", inTurn, 0, 10},
		{"each, slow", inTurn, 250 * time.Millisecond, 4},
		{"overlapping", atOnce(12), 450 * time.Millisecond, 10},
		{"overlapping, full", atOnce(3), 10 * time.Second, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 950*time.Millisecond)
				defer cancel()
				var calls atomic.Int64
				tt.run(ctx, func() {
					calls.Add(1)
					timer := time.NewTimer(tt.takes)
					<-timer.C
				})
				if got := int(calls.Load()); got != tt.want {
					t.Errorf("%d calls, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestSleeperMeasuresNoiseAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := observed[journal.Sleeper](t, &Sleeper{}, 2500*time.Millisecond)
		n := map[time.Duration]int{}
		for _, s := range got {
			n[s.Sleep] += len(s.Overshoots)
			for _, d := range s.Overshoots {
				if d != 0 {
					t.Errorf("a sleeper on a still clock overshot by %v", d)
				}
			}
		}
		if n[20*time.Millisecond] < 123 || n[200*time.Millisecond] != 12 || len(got) != 6 {
			t.Errorf("%v sleeps in %d entries", n, len(got))
		}
	})
}

func TestSleeperSeesARealClock(t *testing.T) {
	got := observed[journal.Sleeper](t, &Sleeper{}, 120*time.Millisecond)
	if len(got) != 1 || len(got[0].Overshoots) < 2 || slices.Max(got[0].Overshoots) <= 0 {
		t.Errorf("recorded %+v", got)
	}
}

func TestPoll(t *testing.T) {
	var ready atomic.Bool
	var conns sync.Map
	ready.Store(true)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		conns.Store(r.RemoteAddr, true)
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	m := journal.NewMemory(journal.Header{})
	var before, after atomic.Int64 // the instants around the flip
	flip := time.AfterFunc(300*time.Millisecond, func() {
		before.Store(int64(m.Now()))
		ready.Store(false)
		after.Store(int64(m.Now()))
	})
	defer flip.Stop()
	watch(t, &Poll{Replica: "orders-1", Endpoint: journal.Readiness, URL: always(url)}, m, 600*time.Millisecond)
	polls := bodies[journal.Poll](m)
	if len(polls) < 2 || len(polls) > 13 {
		t.Errorf("%d polls in 600 ms", len(polls))
	}
	for e, p := range journal.Of[journal.Poll](m) {
		want := http.StatusOK
		if int64(e.At) > after.Load() {
			want = http.StatusServiceUnavailable
		} else if int64(e.At.Add(p.Took)) > before.Load() {
			continue // it may have met either
		}
		if e.On != "orders-1" || p.Code != want || p.Err != "" || p.Took <= 0 || p.Endpoint != journal.Readiness {
			t.Errorf("at %v: %+v", e.At, p)
		}
	}
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if n != len(polls) && n != len(polls)+1 { // one may have been under way at the end
		t.Errorf("%d connections of %d polls", n, len(polls))
	}
}

func TestPollThatHangsHoldsNoneUp(t *testing.T) {
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	polls := observed[journal.Poll](t, &Poll{
		Endpoint: journal.Liveness, URL: always(url), Every: 50 * time.Millisecond, Timeout: 300 * time.Millisecond,
	}, 800*time.Millisecond)
	if len(polls) < 6 {
		t.Errorf("%d polls came to their end", len(polls))
	}
	for _, p := range polls {
		if p.Err != journal.ErrTimeout || p.Code != 0 || p.Took < 300*time.Millisecond {
			t.Errorf("recorded %+v", p)
		}
	}
}

func TestPollOfNobody(t *testing.T) {
	polls := observed[journal.Poll](t, &Poll{URL: always("http://" + nobody(t))}, 100*time.Millisecond)
	if len(polls) == 0 {
		t.Error("nothing was recorded")
	}
	for _, p := range polls {
		if p.Err != journal.ErrRefused || p.Code != 0 {
			t.Errorf("recorded %+v", p)
		}
	}
	if got := observed[journal.Poll](t, &Poll{URL: always("")}, 100*time.Millisecond); len(got) != 0 {
		t.Errorf("nothing was to be asked, and %v was recorded", got)
	}
}

// polls must not keep a server that shuts down from its end.
func TestPollDoesNotHoldADrainUp(t *testing.T) {
	server := &http.Server{
		Handler:           http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		ReadHeaderTimeout: time.Second,
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	shut := make(chan time.Duration, 1)
	timer := time.AfterFunc(200*time.Millisecond, func() {
		began := time.Now()
		_ = server.Shutdown(context.Background())
		shut <- time.Since(began)
	})
	defer timer.Stop()
	often := &Poll{URL: always("http://" + l.Addr().String()), Every: 5 * time.Millisecond}
	observed[journal.Poll](t, often, 900*time.Millisecond)
	if took := <-shut; took > 600*time.Millisecond {
		t.Errorf("the shutdown took %v", took)
	}
	<-served
}

func TestRoundTrips(t *testing.T) {
	answer := func(expect, with string) string {
		return listen(t, func(c *net.TCPConn) {
			buf := make([]byte, len(expect))
			if _, err := io.ReadFull(c, buf); err != nil || string(buf) != expect {
				return
			}
			timer := time.NewTimer(20 * time.Millisecond)
			<-timer.C
			_, _ = io.WriteString(c, with)
			_, _ = io.Copy(io.Discard, c) // until the FIN
		})
	}
	const pong = "HTTP/1.1 204 No Content\r\n\r\n"
	tests := []struct {
		kind, address string
		up, down      int
	}{
		{"postgres", answer(string(sslRequest), "N"), 8, 1},
		{"redis", answer(string(redisPing), "+PONG\r\n"), 14, 7},
		{"http", answer(string(httpPing), pong), len(httpPing), len(pong)},
		{"tcp", listen(t, func(*net.TCPConn) {}), 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.kind, func(t *testing.T) {
			got := observed[journal.RoundTrip](t, &RoundTrip{Kind: tt.kind, Address: tt.address}, 280*time.Millisecond)
			if len(got) == 0 || len(got) > 3 { // a busy machine makes fewer
				t.Errorf("%d round trips in 280 ms", len(got))
			}
			for _, r := range got {
				if r.Err != "" || r.Up != tt.up || r.Down != tt.down || r.Bytes != tt.down || r.Dial <= 0 || r.Pooled {
					t.Errorf("recorded %+v", r)
				}
				if tt.down > 0 && (r.RTT < 20*time.Millisecond || r.RTT > 200*time.Millisecond) {
					t.Errorf("the answer took %v", r.RTT)
				}
			}
		})
	}
}

// proxied is a dependency as the observer is made for it, beside one that is
// reached by a detour.
type (
	proxied struct{}
	distant struct {
		proxied
		trips func(context.Context, time.Duration) journal.RoundTrip
	}
)

func (proxied) Name() string         { return "cache" }
func (proxied) Kind() string         { return "redis" }
func (proxied) ProxyAddress() string { return "127.0.0.1:1" }

func (d distant) RoundTrips() func(context.Context, time.Duration) journal.RoundTrip { return d.trips }

func TestNewRoundTrip(t *testing.T) {
	there := func(context.Context, time.Duration) journal.RoundTrip { return journal.RoundTrip{Down: 7} }
	for name, tt := range map[string]struct {
		of   Proxied
		want journal.RoundTrip
	}{
		"here":           {proxied{}, journal.RoundTrip{Err: journal.ErrRefused}},
		"there":          {distant{trips: there}, journal.RoundTrip{Down: 7}},
		"without detour": {distant{}, journal.RoundTrip{Err: journal.ErrRefused}},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRoundTrip(tt.of)
			if r.Dependency != "cache" || r.Kind != "redis" || r.Address != "127.0.0.1:1" {
				t.Errorf("it observes %q, a %q at %q", r.Dependency, r.Kind, r.Address)
			}
			got := r.Exchange(t.Context())
			if got.Dial = 0; got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestRoundTripMeasuresSlowExchanges(t *testing.T) {
	address := listen(t, func(c *net.TCPConn) {
		timer := time.NewTimer(400 * time.Millisecond)
		<-timer.C
		_, _ = io.WriteString(c, "N")
		_, _ = io.Copy(io.Discard, c)
	})
	got := observed[journal.RoundTrip](t, &RoundTrip{
		Kind: "postgres", Address: address, Every: 50 * time.Millisecond,
	}, time.Second)
	if len(got) < 8 { // one after the other there would be two
		t.Errorf("%d round trips of 400 ms ended within a second", len(got))
	}
	for _, r := range got {
		if r.RTT < 390*time.Millisecond || r.RTT > 700*time.Millisecond {
			t.Errorf("measured as %+v", r)
		}
	}
}

func TestRoundTripErrors(t *testing.T) {
	tests := []struct {
		address, err string
		up, down     int
	}{
		{nobody(t), journal.ErrRefused, 0, 0},
		{listen(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }), journal.ErrTimeout, len(redisPing), 0},
		{listen(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 64)) }), journal.ErrEOF, len(redisPing), 0},
		{listen(t, func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 64))
			_ = c.SetLinger(0)
		}), journal.ErrReset, len(redisPing), 0},
		{listen(t, func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 64))
			_, _ = io.WriteString(c, "+PO")
		}), journal.ErrEOF, len(redisPing), 3},
	}
	for _, tt := range tests {
		got := observed[journal.RoundTrip](t, &RoundTrip{
			Kind: "redis", Address: tt.address, Timeout: 150 * time.Millisecond,
		}, 290*time.Millisecond)
		if len(got) == 0 {
			t.Errorf("%s: nothing was recorded", tt.err)
		}
		for _, r := range got {
			if r.Err != tt.err || r.Up != tt.up || r.Down != tt.down {
				t.Errorf("%s: recorded %+v", tt.err, r)
			}
		}
	}
}

func TestProcessObservesItself(t *testing.T) {
	work(t)
	synctest.Test(t, func(t *testing.T) {
		p := &Process{PID: os.Getpid, Every: 50 * time.Millisecond}
		got := observed[journal.ProcessSample](t, p, 170*time.Millisecond)
		if len(got) != 4 {
			t.Errorf("%d samples in 170 ms", len(got))
		}
		for _, s := range got {
			if s.RSSBytes < 1<<20 || s.FDs < 3 || s.Threads < 1 || s.CPU <= 0 {
				t.Errorf("recorded %+v", s)
			}
		}
		for _, pid := range []int{0, 1 << 30} {
			p := &Process{PID: func() int { return pid }}
			if got := observed[journal.ProcessSample](t, p, 50*time.Millisecond); len(got) != 0 {
				t.Errorf("process %d is recorded as %+v", pid, got)
			}
		}
	})
}

// work takes more of the processor than the system's count of it is coarse.
func work(t *testing.T) {
	t.Helper()
	const enough = 30 * time.Millisecond
	for {
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			t.Fatal(err)
		}
		if time.Duration(used.Utime.Nano()+used.Stime.Nano()) > enough {
			return
		}
	}
}

func TestScrape(t *testing.T) {
	var n atomic.Int64
	pages := []string{
		"# TYPE up gauge\nup 1\n# TYPE hits counter\nhits{code=\"200\"} 5\nhits{code=\"500\"} 1\n",
		"# TYPE up gauge\nup 1\n# TYPE hits counter\nhits{code=\"200\"} 6\nhits{code=\"500\"} 1\n",
		"teapot",
		"# TYPE up gauge\nup 1\n# TYPE hits counter\nhits{code=\"200\"} 1\nhits{code=\"500\"} 0\n",
	}
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		page := pages[min(int(n.Add(1))-1, len(pages)-1)]
		if page == "teapot" {
			w.WriteHeader(http.StatusTeapot)
		}
		_, _ = io.WriteString(w, page)
	})
	m := journal.NewMemory(journal.Header{})
	watch(t, &Scrape{Replica: "orders-1", URL: always(url), Every: 50 * time.Millisecond}, m, 230*time.Millisecond)
	type seen struct {
		changed, series int
		fresh           bool
		err             string
	}
	var got []seen
	for _, s := range bodies[journal.Scrape](m) {
		got = append(got, seen{len(s.Changed), s.Series, s.Fresh, s.Err})
	}
	want := []seen{{3, 3, true, ""}, {1, 3, false, ""}, {0, 0, false, "answered 418"}, {3, 3, true, ""}, {0, 3, false, ""}}
	if !slices.Equal(got, want) {
		t.Errorf("recorded %+v, want %+v", got, want)
	}
	at, ok := journal.MetricsAt(m, "orders-1", m.Now())
	if v, found := at.Sum("hits", "code", "200"); !ok || !found || v != 1 || at.Start != 2 {
		t.Errorf("the metrics at the end: %v, %v of process %d", v, found, at.Start)
	}
}

func TestParse(t *testing.T) {
	samples, err := parse([]byte(`# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.5e9
# TYPE d histogram
d_bucket{route="a",le="0.1"} 3
d_bucket{route="a",le="+Inf"} 4
d_sum{route="a"} 0.5
d_count{route="a"} 4
# TYPE s summary
s{quantile="0.5"} NaN
s{quantile="0.9"} 2
s_sum 7
s_count 3
bare 9
infinite +Inf
`))
	if err != nil {
		t.Fatal(err)
	}
	m := journal.NewMetrics(0, samples)
	for _, tt := range []struct {
		name   string
		labels []string
		value  float64
		typ    string
	}{
		{"process_start_time_seconds", nil, 1.5e9, "gauge"},
		{"d_bucket", []string{"route", "a", "le", "0.1"}, 3, "histogram"},
		{"d_bucket", []string{"route", "a", "le", "+Inf"}, 4, "histogram"},
		{"d_sum", []string{"route", "a"}, 0.5, "histogram"},
		{"d_count", []string{"route", "a"}, 4, "histogram"},
		{"s", []string{"quantile", "0.9"}, 2, "summary"},
		{"s_sum", nil, 7, "summary"},
		{"s_count", nil, 3, "summary"},
		{"bare", nil, 9, "untyped"},
	} {
		found := m.Select(tt.name, tt.labels...)
		if len(found) != 1 || found[0].Value != tt.value || found[0].Type != tt.typ {
			t.Errorf("%s %v is %+v", tt.name, tt.labels, found)
		}
	}
	if m.Len() != 9 {
		t.Errorf("%d series, want 9: numbers that are not finite are left out", m.Len())
	}
}

// Libraries that write no TYPE lines are known by the shape of what they write.
func TestScrapeWithoutTypes(t *testing.T) {
	samples, err := parse([]byte(`api_requests_total{code="200"} 5
api_seconds_bucket{le="1"} 4
api_seconds_bucket{le="+Inf"} 5
api_seconds_sum 2.5
api_seconds_count 5
wait_sum 1
wait_count 2
wait{quantile="0.5"} 0.4
open_conns 7
jobs_count 3
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"api_requests_total": "counter", "api_seconds_bucket": "histogram", "api_seconds_sum": "histogram",
		"api_seconds_count": "histogram", "wait_sum": "summary", "wait_count": "summary", "wait": "untyped",
		"open_conns": "untyped", "jobs_count": "untyped",
	}
	got := map[string]string{}
	for _, s := range samples {
		got[s.Name] = s.Type
	}
	if !maps.Equal(got, want) {
		t.Errorf("types are %v, want %v", got, want)
	}
}

func TestScrapeOfSomethingElse(t *testing.T) {
	long := strings.Repeat("x 1\n", scrapeBytes/4+1)
	for page, want := range map[string]string{
		"<html>": "no metrics in the text format",
		long:     "answered more than 16 MB",
	} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) })
		once := &Scrape{URL: always(url), Every: time.Hour, Timeout: 10 * time.Second}
		got := observed[journal.Scrape](t, once, 1500*time.Millisecond)
		if len(got) != 1 || !strings.Contains(got[0].Err, want) || len(got[0].Changed) != 0 {
			t.Errorf("want %q, recorded %+v", want, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("# TYPE hits counter\nhits{code=\"200\"} 5\n"))
	f.Add([]byte("# TYPE d histogram\nd_bucket{le=\"+Inf\"} 4\nd_sum 1\nd_count 4\n"))
	f.Add([]byte("x NaN\n{\"a b\",c=\"d\"} 1 2\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		samples, err := parse(text)
		if err != nil {
			return
		}
		now := journal.NewMetrics(1, samples)
		changed, fresh := now.ChangedSince(journal.Metrics{})
		if !fresh || len(changed) != now.Len() {
			t.Errorf("%d of %d series in the first scrape, fresh %v", len(changed), now.Len(), fresh)
		}
		e := journal.Entry{At: 1, Body: journal.Scrape{Changed: changed}}
		if _, err := e.MarshalJSON(); err != nil {
			t.Error(err)
		}
	})
}
