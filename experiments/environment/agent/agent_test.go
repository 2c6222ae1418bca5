package agent_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/environment/agent/agenttest"
	"github.com/seatrial/seatrial/experiments/environment/postgres/postgrestest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
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
func start(t testing.TB, c agent.Config) (*agent.Agent, *journal.Memory) {
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

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
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
