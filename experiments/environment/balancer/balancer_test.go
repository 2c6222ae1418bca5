package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/tcptest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endpoints tells the journal's endpoint entries in words.
func endpoints(j *journal.Memory) []string {
	var story []string
	for e, v := range journal.Of[journal.Endpoint](j) {
		story = append(story, fmt.Sprintf("%v %s %v %s", e.At, e.On, v.In, v.Reason))
	}
	return story
}

// TestTheRule holds every change against the clock: period 500ms, two failures,
// 200ms until the balancer acts.
func TestTheRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := journal.NewMemory(journal.Header{})
		b := New(subject.Balancer{Failures: 2, Propagation: 200 * time.Millisecond}, j)
		defer b.Close()
		var healthy atomic.Bool
		b.Add(Backend{Name: "r", Probe: func(context.Context) error {
			if healthy.Load() {
				return nil
			}
			return errors.New("no")
		}})
		ctx := t.Context()
		pass := func(d time.Duration) { _ = wait(ctx, d) }
		pass(600 * time.Millisecond) // asked at 500ms: not ready
		healthy.Store(true)
		pass(1 * time.Second) // asked at 1s, in at 1.2s
		healthy.Store(false)
		pass(600 * time.Millisecond) // one failure, at 2s
		healthy.Store(true)
		pass(600 * time.Millisecond) // at 2.5s: forgiven
		healthy.Store(false)
		pass(1 * time.Second) // failures at 3s and 3.5s, out at 3.7s
		pass(200 * time.Millisecond)
		healthy.Store(true)
		if err := b.Check(ctx, "r"); err != nil { // at 4s with the turn, or just after
			t.Error(err)
		}
		if !b.In("r") {
			t.Error("checked, and not in")
		}
		began := time.Now()
		if err := b.Deregister(ctx, "r"); err != nil || time.Since(began) != 200*time.Millisecond || b.In("r") {
			t.Error("deregister:", err, time.Since(began), b.In("r"))
		}
		pass(2 * time.Second)
		if b.In("r") {
			t.Error("in again without having been registered")
		}
		if err := b.Register(ctx, "r"); err != nil || !b.In("r") {
			t.Error("register:", err, b.In("r"))
		}
		b.Remove("r")
		reasons := endpoints(j)
		want := []string{"1.2s r true ready", "3.7s r false 2 readiness failures"}
		if len(reasons) != 6 || !slices.Equal(reasons[:2], want) {
			t.Errorf("%q, want %q first", reasons, want)
		}
		for i, want := range []string{"true ready", "false drained", "true ready", "false removed"} {
			if !strings.HasSuffix(reasons[2+i], want) {
				t.Errorf("entry %d is %q, want %s", 2+i, reasons[2+i], want)
			}
		}
		for _, err := range []error{b.Check(ctx, "x"), b.Register(ctx, "x"), b.Deregister(ctx, "x")} {
			if err == nil {
				t.Error("an unknown replica is no error")
			}
		}
	})
}

func ready(context.Context) error { return nil }

// echo is a backend that says its name and then repeats what it hears until
// the other end closes its half.
func echo(t *testing.T, name string) string {
	t.Helper()
	return tcptest.Serve(t, func(_ int, c *net.TCPConn) {
		fmt.Fprintln(c, name)
		_, _ = io.Copy(c, c)
	})
}

// balance puts backends in rotation behind one listener and returns its
// address.
func balance(t *testing.T, mode string, addresses ...string) (*Balancer, string) {
	t.Helper()
	b := New(subject.Balancer{Mode: mode}, journal.NewMemory(journal.Header{}))
	t.Cleanup(b.Close)
	if err := b.Listen("http", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	for i, a := range addresses {
		name := fmt.Sprint("r", i)
		b.Add(Backend{Name: name, Addresses: map[string]string{"http": a}, Probe: ready})
		if err := b.Check(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return b, b.services[0].listener.Addr().String()
}

func open(t *testing.T, address string) (net.Conn, string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	name := make([]byte, 3)
	_, err = io.ReadFull(c, name)
	if err != nil {
		return c, err.Error()
	}
	return c, strings.TrimSpace(string(name))
}

func TestConnectionsAreBalancedAndStay(t *testing.T) {
	b, address := balance(t, TCP, echo(t, "r0"), echo(t, "r1"))
	first, a := open(t, address)
	_, c := open(t, address)
	_, d := open(t, address)
	if got := a + c + d; got != "r0r1r0" && got != "r1r0r1" {
		t.Errorf("connections went to %s", got)
	}
	if err := b.Deregister(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, name := open(t, address); name == a {
			t.Errorf("a new connection went to %s", a)
		}
	}
	fmt.Fprint(first, "still here")
	if err := first.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(first)
	if string(rest) != "still here" || err != nil {
		t.Errorf("the open connection answered %q, %v", rest, err)
	}
}

func TestADeadEndpointResets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, addresses := range map[string][]string{"refuses": {dead}, "none": nil} {
		_, address := balance(t, TCP, addresses...)
		c, err := net.Dial("tcp", address) // may see the reset already
		if err == nil {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_, err = c.Read(make([]byte, 1))
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a reset", name, err)
		}
	}
}

func TestAResetIsPassedOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, address := balance(t, TCP, l.Addr().String())
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	reset(server)
	_ = server.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

func TestCloseEndsOpenConnections(t *testing.T) {
	b, address := balance(t, TCP, echo(t, "r0"))
	c, _ := open(t, address)
	b.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	if err := b.Check(t.Context(), "r0"); err == nil {
		t.Error("a closed balancer checks")
	}
}

func TestHTTPRetriesOnceAndCounts(t *testing.T) {
	var hosts atomic.Value
	alive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts.Store(r.Host + " " + r.URL.RequestURI())
		fmt.Fprint(w, "fine")
	}))
	defer alive.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, url string) (status, retries string) {
		req, err := http.NewRequest(method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "shop.example"
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.Status[:3], resp.Header.Get(RetriesHeader)
	}
	_, address := balance(t, HTTP, alive.Listener.Addr().String(), gone.Listener.Addr().String())
	counts := map[string]int{}
	for range 4 {
		status, retries := ask(http.MethodGet, "http://"+address+"/a%2Fb?q=1")
		counts[status+" "+retries]++
	}
	// A retry takes the turn of the replica that lives.
	if counts["200 0"] == 0 || counts["200 1"] == 0 || len(counts) != 2 {
		t.Errorf("GET: %v", counts)
	}
	if got := hosts.Load(); got != "shop.example /a%2Fb?q=1" {
		t.Errorf("the replica was asked for %v", got)
	}
	counts = map[string]int{}
	for range 4 {
		status, retries := ask(http.MethodPost, "http://"+address+"/")
		counts[status+" "+retries]++
	}
	if counts["200 0"] == 0 || counts["502 0"] == 0 || len(counts) != 2 {
		t.Errorf("POST: %v", counts)
	}
	_, address = balance(t, HTTP, gone.Listener.Addr().String(), gone.Listener.Addr().String())
	if status, retries := ask(http.MethodGet, "http://"+address); status != "502" || retries != "1" {
		t.Errorf("all gone: %s %s", status, retries)
	}
	_, address = balance(t, HTTP)
	if status, retries := ask(http.MethodGet, "http://"+address); status != "503" || retries != "0" {
		t.Errorf("none: %s %s", status, retries)
	}
}

func TestListenOnATakenPort(t *testing.T) {
	b, address := balance(t, TCP)
	if err := b.Listen("admin", address); err == nil || !strings.Contains(err.Error(), "balance port admin") {
		t.Errorf("got %v", err)
	}
}
