package agent_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/agent/agenttest"
	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

func TestMain(m *testing.M) {
	if agenttest.Host() {
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		postgrestest.Stop()
		os.Exit(code)
	}))
}

// start supervises an agent for the test.
func start(t *testing.T, c agent.Config) (*agent.Agent, *journal.Memory) {
	t.Helper()
	return startFor(t, c)
}

func startFor(t testing.TB, c agent.Config) (*agent.Agent, *journal.Memory) {
	t.Helper()
	rec := journal.NewMemory(journal.Header{})
	return agenttest.Supervise(t, c, rec), rec
}

// stubConfig is a trial with one stub behind its proxy.
func stubConfig(routes ...subject.Route) agent.Config {
	return agent.Config{
		Trial: "t1", Seed: 7,
		Proxies: []agent.ProxyConfig{{Name: "payments", Kind: "http", Listen: "127.0.0.1:0"}},
		Stubs:   []agent.StubConfig{{Name: "payments", Listen: "127.0.0.1:0", Routes: routes}},
	}
}

// client is an HTTP client without leftovers.
func client(t *testing.T) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func flush(t *testing.T, a *agent.Agent) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := a.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func calls(j journal.Journal) (found []journal.Call) {
	for _, c := range journal.Of[journal.Call](j) {
		found = append(found, c)
	}
	return found
}

func lastTally(j journal.Journal, on string) (last journal.Tally) {
	for e, v := range journal.Of[journal.Tally](j) {
		if e.On == on {
			last = v
		}
	}
	return last
}

func TestStubAnswersAndRecords(t *testing.T) {
	a, rec := start(t, stubConfig(subject.Route{
		Name: "charge", Method: "POST", Path: "/charges/{id}", Status: 201,
		Headers: map[string]string{"X-Stub": "yes"},
		Body: `{"id":"{{.PathValue "id"}}","amount":{{.JSON.amount}},` +
			`"q":"{{.Query.Get "q"}}","h":"{{.Header.Get "X-H"}}","m":"{{.Method}} {{.Path}}"}`,
	}))
	d := a.Dependency("payments")
	http := client(t)
	for i := range 2 {
		req := request(t, "POST", "http://"+d.ProxyAddress()+"/charges/7?q=a", `{"amount":5}`)
		req.Header.Set("X-H", "b")
		req.Header.Set("X-Request-Id", fmt.Sprint("r", i))
		req.Header.Set("Idempotency-Key", "k")
		req.Header.Set("Authorization", "Bearer secret-token")
		resp, err := http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := `{"id":"7","amount":5,"q":"a","h":"b","m":"POST /charges/7"}`
		if string(body) != want || resp.StatusCode != 201 || resp.Header.Get("X-Stub") != "yes" {
			t.Fatalf("got %s %s", resp.Status, body)
		}
	}
	flush(t, a)
	got := calls(rec)
	if len(got) != 2 {
		t.Fatalf("%d calls recorded, want 2", len(got))
	}
	for i := range got {
		if got[i].Answered <= 0 || got[i].Answered > 5*time.Second {
			t.Errorf("answered after %v", got[i].Answered)
		}
		got[i].Answered = 0
	}
	want := journal.Call{
		Method: "POST", Path: "/charges/7", Route: "charge", RequestID: "r1", IdempotencyKey: "k",
		BodyBytes: 12, BodyRead: true, Status: 201, Conn: 1, Nth: 2,
	}
	want.BodyHash, want.QueryHash = got[0].BodyHash, got[0].QueryHash
	if len(want.QueryHash) != 16 || strings.Contains(want.QueryHash, "q=a") {
		t.Errorf("query %q", want.QueryHash)
	}
	if diff := cmp.Diff(want, got[1]); diff != "" {
		t.Error(diff)
	}
	if len(want.BodyHash) != 16 {
		t.Errorf("body hash %q has not 16 digits", want.BodyHash)
	}
	tally := lastTally(rec, "payments")
	if tally.Conns != 1 || tally.Open != 1 || tally.UpBytes < 200 || tally.DownBytes < 100 || tally.UpChunks < 2 {
		t.Errorf("tally %+v", tally)
	}
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestClockAndSecrets(t *testing.T) {
	a, rec := start(t, stubConfig())
	before := rec.Now()
	req := request(t, "POST", "http://"+a.Dependency("payments").ProxyAddress()+"/x", "card 4111")
	req.Header.Set("Authorization", "Bearer secret-token")
	req.Header.Set("Cookie", "session=secret-token")
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	after := rec.Now()
	flush(t, a)
	var text strings.Builder
	for e := range rec.Entries() {
		b, err := e.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
		if e.Body.Kind() == "call" && (e.At < before.Add(-2*time.Millisecond) || e.At > after.Add(2*time.Millisecond)) {
			t.Errorf("a call made in [%v, %v] is recorded at %v", before, after, e.At)
		}
	}
	for _, secret := range []string{"secret-token", "4111"} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("the journal holds %q", secret)
		}
	}
	if !strings.Contains(text.String(), `"kind":"clock"`) {
		t.Error("no clock offset is recorded")
	}
}

func TestHangUpAndOpenCalls(t *testing.T) {
	a, rec := start(t, stubConfig(subject.Route{Name: "slow", Path: "/slow", Latency: time.Minute}))
	url := "http://" + a.Dependency("payments").ProxyAddress() + "/slow"
	req := request(t, "POST", url, "body")
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asked := make(chan error, 1)
	go func() {
		resp, err := client(t).Do(req.WithContext(ctx))
		if err == nil {
			resp.Body.Close()
		}
		asked <- err
	}()
	waitFor(t, func() bool { return lastTally(rec, "payments").UpBytes > 0 })
	timer := time.NewTimer(200 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	waitFor(t, func() bool { return len(calls(rec)) == 1 })
	took := time.Since(began)
	held := dial(t, a.Dependency("payments").ProxyAddress())
	defer held.Close()
	fmt.Fprintf(held, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, func() bool { flush(t, a); return len(calls(rec)) == 2 })
	left, open := calls(rec)[0], calls(rec)[1]
	if left.Method != "POST" || !left.HungUp || left.HungUpAfter < 20*time.Millisecond || left.HungUpAfter > took {
		t.Errorf("the hang-up was not seen within %v: %+v", took, left)
	}
	if open.Method != "GET" || !open.Open || open.Age <= 0 || open.HungUp {
		t.Errorf("the call under way is not open: %+v", open)
	}
	for _, c := range []journal.Call{left, open} {
		if c.Answered != 0 || c.Status != 0 {
			t.Errorf("nothing was answered: %+v", c)
		}
	}
}

// A call that is held until its fault is taken back is cut off: neither side
// ended it, and its age says how long it was held.
func TestCutOffCallsHaveAnAge(t *testing.T) {
	a, rec := start(t, stubConfig(subject.Route{Name: "a", Path: "/a"}))
	s, ok := a.Stub("payments")
	if !ok {
		t.Fatal("no stub")
	}
	if err := s.SetBehaviour(t.Context(), "x", faults.Behaviour{Hang: true}); err != nil {
		t.Fatal(err)
	}
	held := dial(t, s.ProxyAddress())
	defer held.Close()
	fmt.Fprintf(held, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	if err := s.ClearBehaviour(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { flush(t, a); return len(calls(rec)) == 1 })
	c := calls(rec)[0]
	if c.Age < 20*time.Millisecond || c.Age > 5*time.Second || c.Open || c.HungUp || c.Answered != 0 {
		t.Errorf("recorded as %+v", c)
	}
}

// Calls that are held until their fault is taken back may be answered then.
func TestHeldCallsAreAnswered(t *testing.T) {
	a, rec := start(t, stubConfig(subject.Route{Name: "a", Path: "/a"}))
	s, ok := a.Stub("payments")
	if !ok {
		t.Fatal("no stub")
	}
	if err := s.SetBehaviour(t.Context(), "x", faults.Behaviour{Hang: true, Status: 503}); err != nil {
		t.Fatal(err)
	}
	held := []net.Conn{dial(t, s.ProxyAddress()), dial(t, s.ProxyAddress())}
	for _, c := range held {
		defer c.Close()
		fmt.Fprintf(c, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	if err := s.ClearBehaviour(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	for _, c := range held {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.Body.Close(); res.StatusCode != 503 {
			t.Errorf("answered with %d", res.StatusCode)
		}
	}
	waitFor(t, func() bool { flush(t, a); return len(calls(rec)) == 2 })
	for _, c := range calls(rec) {
		if c.Status != 503 || c.Answered < 20*time.Millisecond || c.HungUp {
			t.Errorf("recorded as %+v", c)
		}
	}
}

// waitFor asks until it is true.
func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited 10s in vain")
		}
	}
}

func TestBehaviours(t *testing.T) {
	a, rec := start(t, stubConfig(
		subject.Route{Name: "a", Path: "/a", Body: `{"a":1}`}, subject.Route{Name: "b", Path: "/b"}))
	s, ok := a.Stub("payments")
	if !ok {
		t.Fatal("no stub")
	}
	base := "http://" + s.ProxyAddress()
	get := func(path string) (int, string, http.Header, error) {
		c := client(t)
		c.Timeout = 500 * time.Millisecond
		resp, err := c.Do(request(t, "GET", base+path, ""))
		if err != nil {
			return 0, "", nil, err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), resp.Header, err
	}
	timeout := func(err error) bool {
		var n net.Error
		return errors.As(err, &n) && n.Timeout()
	}
	tests := map[string]struct {
		b     faults.Behaviour
		check func(*testing.T)
	}{
		"status": {faults.Behaviour{Status: 503, RetryAfter: 1500 * time.Millisecond, Route: "a"}, func(t *testing.T) {
			code, body, h, err := get("/a")
			if err != nil || code != 503 || body != "" || h.Get("Retry-After") != "2" || h.Get("Content-Length") != "0" {
				t.Errorf("got %d %q %v %v", code, body, h, err)
			}
			if code, _, _, _ := get("/b"); code != 200 {
				t.Errorf("another route got %d", code)
			}
		}},
		"first": {faults.Behaviour{Status: 500, FirstN: 2}, func(t *testing.T) {
			var codes []int
			for range 4 {
				code, _, _, _ := get("/a")
				codes = append(codes, code)
			}
			if diff := cmp.Diff([]int{500, 500, 200, 200}, codes); diff != "" {
				t.Error(diff)
			}
		}},
		"ratio": {faults.Behaviour{Status: 500, Ratio: 0.5, Seed: 3}, func(t *testing.T) {
			bad := 0
			for range 40 {
				if code, _, _, _ := get("/a"); code == 500 {
					bad++
				}
			}
			if bad < 8 || bad > 32 {
				t.Errorf("%d of 40 were refused, want about 20", bad)
			}
		}},
		"delay": {faults.Behaviour{Delay: 200 * time.Millisecond}, func(t *testing.T) {
			began := time.Now()
			code, _, _, err := get("/a")
			if took := time.Since(began); code != 200 || took < 200*time.Millisecond {
				t.Errorf("got %d %v after %v", code, err, took)
			}
		}},
		"hang": {faults.Behaviour{Hang: true}, func(t *testing.T) {
			if _, _, _, err := get("/a"); !timeout(err) {
				t.Errorf("got %v", err)
			}
		}},
		"stall": {faults.Behaviour{Stall: true, StallAfter: 3, StallEvery: 50 * time.Millisecond}, func(t *testing.T) {
			code, body, _, err := get("/a")
			if code != 200 || !strings.HasPrefix(body, `{"a `) || !timeout(err) {
				t.Errorf("got %d %q %v", code, body, err)
			}
		}},
		"malformed": {faults.Behaviour{Malformed: true}, func(t *testing.T) {
			code, body, h, _ := get("/a")
			if code != 200 || !strings.HasPrefix(body, `{"seatrial"`) || h.Get("Content-Type") != "application/json" {
				t.Errorf("got %d %q %v", code, body, h)
			}
		}},
		"reset": {faults.Behaviour{Reset: true}, func(t *testing.T) {
			if _, _, _, err := get("/a"); err == nil || timeout(err) {
				t.Errorf("got %v", err)
			}
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if err := s.SetBehaviour(t.Context(), name, tt.b); err != nil {
				t.Fatal(err)
			}
			tt.check(t)
			if code, _, _, err := get(agent.PingPath); err != nil || code != 204 {
				t.Errorf("ping got %d, %v", code, err)
			}
			for range 2 {
				if err := s.ClearBehaviour(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			if code, body, _, err := get("/a"); err != nil || code != 200 || body != `{"a":1}` {
				t.Errorf("after clearing: %d %q %v", code, body, err)
			}
		})
	}
	if err := s.SetBehaviour(t.Context(), "x", faults.Behaviour{Route: "nowhere"}); err == nil {
		t.Error("a behaviour on an unknown route was taken")
	}
	flush(t, a)
	for _, c := range calls(rec) {
		want := time.Duration(0)
		if c.Fault == "" && c.Status == 503 {
			want = 2 * time.Second
		}
		if c.RetryAfter != want {
			t.Errorf("a call answered %d was told to wait %v", c.Status, c.RetryAfter)
		}
	}
}

func TestHoldConnects(t *testing.T) {
	a, _ := start(t, stubConfig())
	d := a.Dependency("payments")
	pooled := dial(t, d.ProxyAddress())
	if err := d.HoldConnects(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := pooled.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the pooled connection was not cut: %v", err)
	}
	for range 3 {
		c, err := net.DialTimeout("tcp", d.ProxyAddress(), 300*time.Millisecond)
		var n net.Error
		if err == nil || !errors.As(err, &n) || !n.Timeout() {
			t.Errorf("a connect did not hang: %v %v", c, err)
		}
	}
	for range 2 {
		if err := d.ReleaseConnects(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ping(t, d.ProxyAddress())
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func ping(t *testing.T, address string) {
	t.Helper()
	c := dial(t, address)
	defer c.Close()
	say(t, c)
}

// say makes one ping on a connection.
func say(t *testing.T, c net.Conn) {
	t.Helper()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", agent.PingPath)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, "204") {
		t.Errorf("ping through %v: %q %v", c.RemoteAddr(), line, err)
	}
}

// Toxiproxy's reset_peer ends connections that are already open cleanly; ours
// are reset too, and end cleanly again afterwards.
func TestResetReachesPooledConnections(t *testing.T) {
	a, _ := start(t, stubConfig())
	d := a.Dependency("payments")
	pooled, spared := dial(t, d.ProxyAddress()), dial(t, d.ProxyAddress())
	say(t, pooled)
	say(t, spared)
	toxic := faults.Toxic{
		Name: "r", Type: "reset_peer", Stream: "upstream", Toxicity: 1, Attributes: map[string]any{"timeout": 0},
	}
	if err := d.AddToxic(t.Context(), toxic); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(pooled, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := pooled.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the pooled connection got %v, want a reset", err)
	}
	for range 2 {
		if err := d.RemoveToxic(t.Context(), "r"); err != nil {
			t.Fatal(err)
		}
	}
	say(t, spared)
	fmt.Fprint(spared, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if _, err := io.ReadAll(spared); err != nil {
		t.Errorf("the spared connection ended with %v, want a clean end", err)
	}
}

// A client that stopped reading and a latency toxic: removing the toxic wedges
// Toxiproxy's API (it answers 503 after 25 s, and so does everything after it).
func TestWedgeReplacesTheAgent(t *testing.T) {
	dependency := pour(t)
	a, rec := start(t, agent.Config{Trial: "t1", Proxies: []agent.ProxyConfig{
		{Name: "db", Kind: "tcp", Listen: "127.0.0.1:0", Upstream: dependency},
	}})
	agent.SetWedged(a, time.Second)
	d := a.Dependency("db")
	before := a.Handshake()
	toxic := faults.Toxic{
		Name: "slow", Type: "latency", Stream: "downstream", Toxicity: 1, Attributes: map[string]any{"latency": 10},
	}
	if err := d.AddToxic(t.Context(), toxic); err != nil {
		t.Fatal(err)
	}
	reader := dial(t, d.ProxyAddress())
	waitFor(t, func() bool { // until nothing moves any more: its buffers are full
		seen := lastTally(rec, "db").DownBytes
		return seen > 1<<20 && still(t, rec, seen)
	})
	began := time.Now()
	if err := d.RemoveToxic(t.Context(), "slow"); err != nil {
		t.Fatal(err)
	}
	t.Logf("removing the toxic took %v", time.Since(began))
	var reasons []string
	for _, r := range journal.Of[journal.AgentReplaced](rec) {
		reasons = append(reasons, r.Reason)
	}
	if len(reasons) != 1 || !strings.Contains(reasons[0], "did not answer within 1s") {
		t.Errorf("replacements: %q", reasons)
	}
	after := a.Handshake()
	if after.PID == before.PID {
		t.Error("the process is the same")
	}
	if diff := cmp.Diff(before.Proxies, after.Proxies); diff != "" {
		t.Errorf("addresses: %s", diff)
	}
	reader.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, reader); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the old connection was not cut")
	}
	if _, err := dial(t, d.ProxyAddress()).Read(make([]byte, 1)); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	flush(t, a)
}

// still reports whether the tally is the same a moment later.
func still(t *testing.T, rec *journal.Memory, seen uint64) bool {
	t.Helper()
	<-time.After(300 * time.Millisecond)
	return lastTally(rec, "db").DownBytes == seen
}

// pour is a dependency that sends as much as it can on every connection.
func pour(t *testing.T) string {
	t.Helper()
	return handled(t, func(c net.Conn) {
		block := make([]byte, 64<<10)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
}

// A process that dies by itself is replaced too.
func TestDeadAgentIsReplaced(t *testing.T) {
	a, rec := start(t, stubConfig())
	before := a.Handshake()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return a.Handshake().PID != before.PID })
	ping(t, a.Dependency("payments").ProxyAddress())
	flush(t, a)
	n := 0
	for range journal.Of[journal.AgentReplaced](rec) {
		n++
	}
	if n != 1 {
		t.Errorf("%d replacements recorded, want 1", n)
	}
}

// A service may pass its ids on in other headers.
func TestStubRecordsHeadersByTheirNames(t *testing.T) {
	c := stubConfig(subject.Route{})
	c.Stubs[0].RequestID, c.Stubs[0].IdempotencyKey = "X-Correlation-Id", "X-Idem"
	a, rec := start(t, c)
	req := request(t, "POST", "http://"+a.Dependency("payments").ProxyAddress()+"/charges", "{}")
	for name, value := range map[string]string{
		"X-Request-Id": "other", "Idempotency-Key": "other", "x-correlation-id": "c1", "X-Idem": "k1",
	} {
		req.Header.Set(name, value)
	}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	flush(t, a)
	got := calls(rec)
	if len(got) != 1 || got[0].RequestID != "c1" || got[0].IdempotencyKey != "k1" {
		t.Errorf("recorded %+v", got)
	}
}
