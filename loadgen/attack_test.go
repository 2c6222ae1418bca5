package loadgen

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/tcptest"
	"github.com/seatrial/seatrial/experiments/journal"
)

func TestMain(m *testing.M) {
	if os.Getenv(benchServerVar) != "" {
		serveBench()
		return
	}
	goleak.VerifyTestMain(m)
}

// compiled is one GET request, or what is given.
func compiled(t testing.TB, requests ...Request) *Source {
	t.Helper()
	if len(requests) == 0 {
		requests = []Request{{Name: "list", Path: "/orders"}}
	}
	s, err := Compile(Traffic{Requests: requests}, 7)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func recorded(m *journal.Memory) []journal.Request {
	all := slices.Collect(m.Requests(journal.Window{}))
	slices.SortFunc(all, func(a, b journal.Request) int { return int(a.Seq) - int(b.Seq) })
	return all
}

// run carries an attack out and checks what is true of every attack.
func run(t *testing.T, a Attack) (journal.Attack, []journal.Request, *journal.Memory) {
	t.Helper()
	m := journal.NewMemory(journal.Header{})
	end, err := a.Run(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	hits := recorded(m)
	if uint64(len(hits)) != end.Planned || end.Sent+end.Dropped != end.Planned {
		t.Errorf("%d hits recorded, %d sent and %d dropped of %d", len(hits), end.Sent, end.Dropped, end.Planned)
	}
	var ends []journal.Attack
	for e, body := range journal.Of[journal.Attack](m) {
		if e.On != a.Name {
			t.Errorf("the attack is recorded as %q", e.On)
		}
		ends = append(ends, body)
	}
	if len(ends) != 2 || !ends[0].Began || ends[0].Sent != 0 || ends[1] != end || ends[0].From != end.From {
		t.Errorf("the attack's entries are %+v", ends)
	}
	for i, r := range hits {
		due, _ := a.Pacer.Due(r.Seq)
		if r.Seq != uint64(i) || r.Due != end.From.Add(due) || r.Sent < r.Due || r.Done < r.Sent {
			t.Fatalf("hit %d of %v: %+v", i, end.From, r)
		}
	}
	return end, hits, m
}

func TestAttackRecordsEveryHit(t *testing.T) {
	var ids, parents sync.Map
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		ids.Store(r.Header.Get("X-Request-Id"), true)
		parents.Store(r.Header.Get("Traceparent"), true)
		if r.URL.Path == "/busy" {
			w.Header().Set("Retry-After", "1")
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "0123456789")
	})
	source := compiled(t,
		Request{Name: "list", Path: "/orders"},
		Request{Name: "busy", Path: "/busy", Method: "post", Body: "abc"},
	)
	end, hits, _ := run(t, Attack{
		Name: "load", RunID: "r1", Pacer: Constant(200, 500*time.Millisecond), Source: source, BaseURL: url + "/",
		Timeout: 5 * time.Second,
	})
	if end.Sent != 100 || end.Pacer != "200/s for 500ms" || end.InFlightMax != 125 || end.Peak < 1 {
		t.Errorf("the attack is recorded as %+v", end)
	}
	reused, busy := 0, 0
	for _, r := range hits {
		if _, ok := ids.Load(r.ID("r1")); !ok {
			t.Errorf("no request with the id %s arrived", r.ID("r1"))
		}
		want := journal.Request{Code: 200, OK: true, BytesIn: 10}
		if r.Route == "busy" {
			busy++
			want = journal.Request{Code: 503, RetryAfter: true, Close: true, BytesOut: 3}
		}
		if r.Reused {
			reused++
		}
		got := journal.Request{
			Code: r.Code, OK: r.OK, RetryAfter: r.RetryAfter, Close: r.Close,
			BytesIn: r.BytesIn, BytesOut: r.BytesOut, Err: r.Err, Replays: r.Replays,
			Dropped: r.Dropped, Canceled: r.Canceled,
		}
		if got != want {
			t.Errorf("hit %d is recorded as %+v", r.Seq, r)
		}
	}
	if busy < 25 || busy > 75 || reused == 0 {
		t.Errorf("%d of 100 hits were of the second request, %d reused a connection", busy, reused)
	}
	n := 0
	parents.Range(func(parent, _ any) bool {
		n++
		if s := parent.(string); len(s) != 55 || !strings.HasPrefix(s, "00-") || !strings.HasSuffix(s, "-01") {
			t.Errorf("traceparent is %q", s)
		}
		return true
	})
	if n != 100 {
		t.Errorf("%d traces of 100 hits", n)
	}
}

func TestAttackDropsAboveItsCap(t *testing.T) {
	release := make(chan struct{})
	var now, most atomic.Int64
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		<-release
	})
	timer := time.AfterFunc(500*time.Millisecond, func() { close(release) })
	defer timer.Stop()
	end, hits, _ := run(t, Attack{
		Name: "load", Pacer: Constant(1000, 300*time.Millisecond), Source: compiled(t), BaseURL: url,
		Timeout: 5 * time.Second, MaxInFlight: 20,
	})
	if end.Sent != 20 || end.Dropped != 280 || end.Peak != 20 || most.Load() > 20 {
		t.Errorf("sent %d, dropped %d, peak %d, at the server %d", end.Sent, end.Dropped, end.Peak, most.Load())
	}
	for _, r := range hits {
		if r.Dropped && (r.Sent != r.Done || r.Code != 0 || r.OK || r.Err != "" || r.Route != "list") {
			t.Errorf("a dropped hit is recorded as %+v", r)
		}
		if r.Lag() > 100*time.Millisecond {
			t.Errorf("hit %d was let go %v late", r.Seq, r.Lag())
		}
	}
}

func TestAttackCountsLatencyFromDue(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	m := &slowRecorder{Memory: journal.NewMemory(journal.Header{})}
	a := Attack{Name: "load", Pacer: Constant(100, 100*time.Millisecond), Source: compiled(t), BaseURL: url}
	if _, err := a.Run(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	// The recorder held hit 0's beginning up by 60 ms: hits 1 to 5 were late.
	r := recorded(m.Memory)[1]
	if r.Lag() < 20*time.Millisecond || r.Latency() < r.Lag() || r.RawLatency() != r.Latency()-r.Lag() {
		t.Errorf("latency %v, raw %v, lag %v", r.Latency(), r.RawLatency(), r.Lag())
	}
}

// slowRecorder is slow to take the attack's beginning down.
type slowRecorder struct{ *journal.Memory }

func (s *slowRecorder) Record(e journal.Entry) {
	if a, ok := e.Body.(journal.Attack); ok && a.Began {
		timer := time.NewTimer(60 * time.Millisecond)
		<-timer.C
	}
	s.Memory.Record(e)
}

func TestAttackEndsWithItsContext(t *testing.T) {
	started := make(chan struct{}, 100)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		if r.URL.Path == "/short" {
			timer := time.NewTimer(50 * time.Millisecond)
			defer timer.Stop()
			<-timer.C
			return
		}
		<-r.Context().Done()
	})
	tests := []struct {
		path  string
		grace time.Duration
		err   string
	}{
		{"/long", 50 * time.Millisecond, journal.ErrCanceled},
		{"/long", -1, journal.ErrCanceled},
		{"/short", 5 * time.Second, ""},
	}
	for _, tt := range tests {
		ctx, cancel := context.WithCancel(t.Context())
		m := journal.NewMemory(journal.Header{})
		a := Attack{
			Name: "load", Pacer: Constant(0.1, time.Minute), Source: compiled(t, Request{Name: "x", Path: tt.path}),
			BaseURL: url, Timeout: time.Minute, Grace: tt.grace,
		}
		go func() { <-started; cancel() }()
		began := time.Now()
		end, err := a.Run(ctx, m)
		if took := time.Since(began); err != nil || took > 2*time.Second {
			t.Errorf("%s: ended after %v: %v", tt.path, took, err)
		}
		hits := recorded(m)
		if end.Sent != 1 || len(hits) != 1 || hits[0].Err != tt.err || hits[0].Canceled != (tt.err != "") {
			t.Errorf("%s: %+v, %+v", tt.path, end, hits)
		}
		if !strings.Contains(end.Error, "before its plan") {
			t.Errorf("%s: the attack says %q", tt.path, end.Error)
		}
	}
}

func TestAttackHangsUp(t *testing.T) {
	closed := make(chan time.Duration, 10)
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		began := time.Now()
		<-r.Context().Done()
		closed <- time.Since(began)
	})
	_, hits, _ := run(t, Attack{
		Name: "hang up", Pacer: Count(3, 30*time.Millisecond), BaseURL: url, HangUpAfter: 100 * time.Millisecond,
		Source: compiled(t, Request{Name: "x", Path: "/", Method: "POST", Body: "body"}),
	})
	for _, r := range hits {
		took := r.RawLatency()
		if !r.Canceled || r.Err != journal.ErrCanceled || took < 100*time.Millisecond || took > time.Second {
			t.Errorf("hung up after %v: %+v", took, r)
		}
		if at := <-closed; at < 50*time.Millisecond || at > time.Second {
			t.Errorf("the server saw it after %v", at)
		}
	}
}

// raw serves each connection with a function of its own.
func raw(t *testing.T, handle func(nth int, c *net.TCPConn)) string {
	t.Helper()
	return "http://" + tcptest.Serve(t, handle)
}

func readHead(c net.Conn) bool {
	var head []byte
	buf := make([]byte, 4096)
	for !strings.Contains(string(head), "\r\n\r\n") {
		n, err := c.Read(buf)
		if err != nil {
			return false
		}
		head = append(head, buf[:n]...)
	}
	return true
}

func TestAttackClassifiesErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + l.Addr().String()
	hang := make(chan struct{})
	defer close(hang)
	tests := []struct {
		name, url, err string
		code           int
	}{
		{"refused", nobody, journal.ErrRefused, 0},
		{"timeout", raw(t, func(_ int, c *net.TCPConn) { readHead(c); readHead(c) }), journal.ErrTimeout, 0},
		{"reset", raw(t, func(_ int, c *net.TCPConn) { readHead(c); _ = c.SetLinger(0) }), journal.ErrReset, 0},
		{"eof", raw(t, func(_ int, c *net.TCPConn) { readHead(c) }), journal.ErrEOF, 0},
		{"eof within", raw(t, func(_ int, c *net.TCPConn) {
			readHead(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
		}), journal.ErrEOF, 200},
		{"stalled within", raw(t, func(_ int, c *net.TCPConn) {
			readHead(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
			readHead(c)
		}), journal.ErrTimeout, 200},
		{"not http", raw(t, func(_ int, c *net.TCPConn) {
			readHead(c)
			_, _ = io.WriteString(c, "HELO\r\n\r\n")
		}), journal.ErrOther, 0},
	}
	l.Close() // not before the others listen: one of them would get its port
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, hits, _ := run(t, Attack{
				Name: "load", Pacer: Count(2, 0), Source: compiled(t), BaseURL: tt.url, Timeout: 300 * time.Millisecond,
			})
			for _, r := range hits {
				if r.Err != tt.err || r.Code != tt.code || r.OK || r.Canceled {
					t.Errorf("recorded as %+v", r)
				}
			}
		})
	}
}

func TestAttackCountsReplays(t *testing.T) {
	// The first connection answers once and is cut when it is used again.
	url := raw(t, func(nth int, c *net.TCPConn) {
		for i := 0; readHead(c); i++ {
			if nth == 0 && i == 1 {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	_, hits, _ := run(t, Attack{Name: "load", Pacer: Count(2, 200*time.Millisecond), Source: compiled(t), BaseURL: url})
	if r := hits[0]; !r.OK || r.Replays != 0 || r.Reused {
		t.Errorf("the first: %+v", r)
	}
	if r := hits[1]; !r.OK || r.Replays != 1 || r.Reused {
		t.Errorf("the replayed one: %+v", r)
	}
}

func TestAttackOpensNewConnections(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, fresh := range []bool{true, false} {
		_, hits, _ := run(t, Attack{
			Name: "load", Pacer: Count(5, 250*time.Millisecond), Source: compiled(t), BaseURL: url, NewConnections: fresh,
		})
		for _, r := range hits[1:] {
			if r.Reused == fresh || !r.OK {
				t.Errorf("new connections %v: %+v", fresh, r)
			}
		}
	}
}

// TestAttackAsCaller sends a header in place of the traffic's, and an address
// that is another one with each hit.
func TestAttackAsCaller(t *testing.T) {
	var seen sync.Map
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("X-Forwarded-For"), strings.Join(r.Header["Authorization"], ","))
	})
	source, err := Compile(Traffic{
		Headers:  map[string]string{"authorization": "Bearer usual"},
		Requests: []Request{{Name: "list", Path: "/orders"}},
	}, 7)
	if err != nil {
		t.Fatal(err)
	}
	run(t, Attack{
		Name: "load", Pacer: Count(300, 0), Source: source, BaseURL: url, ForwardedFor: true,
		Header: http.Header{"Authorization": {"Bearer other"}},
	})
	for seq, want := range map[uint64]string{0: "198.18.0.0", 299: "198.18.1.43"} {
		if got, ok := seen.Load(want); got != "Bearer other" {
			t.Errorf("hit %d: %v %v", seq, got, ok)
		}
	}
	if got := forwardedFor(1<<17 - 1); got != "198.19.255.255" {
		t.Errorf("the last address is %s", got)
	}
}

func TestAttackStopsAtBadTraffic(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	source := compiled(t, Request{Name: "bad", Path: `/{{if ge seq 3}}{{index "a" 7}}{{end}}`})
	m := journal.NewMemory(journal.Header{})
	end, err := Attack{Name: "load", Pacer: Constant(100, time.Minute), Source: source, BaseURL: url}.Run(t.Context(), m)
	if err == nil || !strings.Contains(err.Error(), `request "bad": path`) || end.Error != err.Error() {
		t.Errorf("error %v, recorded %q", err, end.Error)
	}
	if hits := recorded(m); len(hits) < 4 || hits[3].Err != journal.ErrOther {
		t.Errorf("hits %+v", hits)
	}
}

func TestAttackRefusesWhatItCannotRun(t *testing.T) {
	s := compiled(t)
	for want, a := range map[string]Attack{
		"no pacer":    {Name: "a", Source: s, BaseURL: "http://x"},
		"no traffic":  {Name: "a", Pacer: Count(1, 0), BaseURL: "http://x"},
		"no base URL": {Name: "a", Pacer: Count(1, 0), Source: s, BaseURL: "localhost"},
	} {
		_, err := a.Run(t.Context(), journal.NewMemory(journal.Header{}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestClosedLoop(t *testing.T) {
	var now, most atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		timer := time.NewTimer(20 * time.Millisecond)
		defer timer.Stop()
		<-timer.C
		if r.URL.Path == "/bad" {
			w.WriteHeader(500)
		}
	})
	m := journal.NewMemory(journal.Header{})
	rate, err := ClosedLoop{
		Name: "capacity", Source: compiled(t), BaseURL: url, Connections: 5, For: 500 * time.Millisecond,
	}.Run(t.Context(), m)
	// 5 connections, 20 ms each: at most 250 a second.
	if err != nil || rate <= 0 || rate > 250 || most.Load() != 5 {
		t.Errorf("%v/s with %d at once, %v", rate, most.Load(), err)
	}
	late := 0
	for _, r := range recorded(m) {
		if r.Attack != "capacity" || !r.OK || r.Dropped {
			t.Errorf("recorded as %+v", r)
		}
		if r.Lag() > 5*time.Millisecond { // due when its connection was free, and not at a pace's instant
			late++
		}
	}
	if all := len(recorded(m)); late > all/2 {
		t.Errorf("%d of %d hits were sent late", late, all)
	}
	rate, err = ClosedLoop{
		Name: "bad", Source: compiled(t, Request{Name: "x", Path: "/bad"}), BaseURL: url,
		Connections: 2, For: 100 * time.Millisecond,
	}.Run(t.Context(), m)
	if err != nil || rate != 0 {
		t.Errorf("%v successes a second of a service that fails, %v", rate, err)
	}
	if _, err := (ClosedLoop{Name: "none", Source: compiled(t), BaseURL: url}).Run(t.Context(), m); err == nil {
		t.Error("a loop without connections ran")
	}
}
