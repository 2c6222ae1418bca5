package experiments

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seatrial/seatrial/experiments/environment/tcptest"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/loadgen"
)

func TestHoldConnectionsValidates(t *testing.T) {
	for name, tt := range map[string]struct {
		hold HoldConnections
		err  string
		text string
	}{
		"defaults": {HoldConnections{Idle: 20, Silent: 1}, "", "hold 20 idle and 1 silent connections open"},
		"one kind": {HoldConnections{Unfinished: 2}, "", "hold 2 unfinished connections open"},
		"none":     {HoldConnections{}, "no connection is to be held", "hold  connections open"},
		"negative": {HoldConnections{Idle: -1, Silent: 3}, "may be negative", "hold 3 silent connections open"},
		"attack": {
			HoldConnections{SlowHeads: 200, Every: time.Second, Reopen: true},
			"",
			"hold 200 slow-head connections open, and open closed ones anew",
		},
		"no beat":  {HoldConnections{SlowBodies: 1}, "need every", "hold 1 slow-body connections open"},
		"no pause": {HoldConnections{SlowReaders: 1}, "need a pause", "hold 1 slow-reader connections open"},
	} {
		t.Run(name, func(t *testing.T) {
			errorIs(t, tt.hold.Validate(), tt.err)
			if got := tt.hold.String(); got != tt.text {
				t.Errorf("it is %q, wanted %q", got, tt.text)
			}
		})
	}
}

// TestHoldConnectionsSupports leaves out what the traffic has no request for.
func TestHoldConnectionsSupports(t *testing.T) {
	get, post := loadgen.Request{Name: "list", Path: "/"}, loadgen.Request{Name: "create", Path: "/", Body: "{}"}
	slow := &HoldConnections{SlowBodies: 1, SlowReaders: 1, Every: time.Second, Pause: time.Second}
	for name, tt := range map[string]struct {
		hold     *HoldConnections
		requests []loadgen.Request
		err      string
		possible int
	}{
		"neither":    {slow, []loadgen.Request{get}, "none says that its answer is large", 0},
		"bodies":     {slow, []loadgen.Request{get, post}, "", 1},
		"both":       {slow, []loadgen.Request{post, {Name: "export", Path: "/", Large: true}}, "", 2},
		"unfinished": {&HoldConnections{Unfinished: 1}, []loadgen.Request{get}, "could be left unfinished", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &subject.Subject{Name: "orders", Traffic: loadgen.Traffic{Requests: tt.requests}}
			s.Service.Replicas = 1
			errorIs(t, tt.hold.Supports(s, "orders-1"), tt.err)
			if got := len(tt.hold.possible(s.Traffic)); got != tt.possible {
				t.Errorf("%d manners are possible, wanted %d", got, tt.possible)
			}
		})
	}
}

// heldBy starts a server that answers GET, and then ends each connection with
// what end does, if anything.
func heldBy(t *testing.T, end func(*net.TCPConn)) (base string) {
	t.Helper()
	return "http://" + tcptest.Serve(t, func(_ int, conn *net.TCPConn) {
		buf := make([]byte, 4096)
		n, _ := conn.Read(buf) // none from a silent connection, until we end it
		if strings.HasPrefix(string(buf[:n]), "GET /readyz ") {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		if end != nil {
			end(conn)
			return
		}
		_, _ = io.Copy(io.Discard, conn)
	})
}

// holdOn carries the probe out as step "it", with traffic that has a body and a
// large answer, and waits for want ends before it is taken back; zero for none.
func holdOn(t *testing.T, hold HoldConnections, base string, want int) ([]journal.Connection, *journal.Memory) {
	t.Helper()
	x, env, load, m := fakes()
	env.replicas[0].(*fakeReplica).url = base
	x.Target = "orders-1"
	x.Plan.Subject.Service.Readiness.Path = "/readyz"
	x.Plan.Subject.Traffic.Requests = []loadgen.Request{
		{Name: "create", Path: "/orders", Body: "0123456789"}, {Name: "export", Path: "/export", Large: true},
	}
	load.targets = map[string]loadgen.Target{
		"create": {Route: "create", Method: http.MethodPost, Path: "/orders", Header: http.Header{}, Body: "0123456789"},
		"export": {Route: "export", Method: http.MethodGet, Path: "/export", Header: http.Header{}},
	}
	hold.bind("it", 10*time.Second)
	stop, err := hold.Start(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	connections := func() (all []journal.Connection) {
		for e, c := range journal.Of[journal.Connection](m) {
			if e.On != "orders-1" || c.Step != "it" || c.After < 0 {
				t.Errorf("recorded of %s: %+v", e.On, c)
			}
			all = append(all, c)
		}
		return all
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for len(connections()) < want {
		<-ticker.C
	}
	if err := stop(t.Context()); err != nil {
		t.Error(err)
	}
	errorIs(t, hold.Witness(m, "", journal.Window{}), "")
	return connections(), m
}

// TestHoldConnections looks at what is said of connections that the service
// leaves open, closes or resets.
func TestHoldConnections(t *testing.T) {
	closes := func(*net.TCPConn) {}
	resets := func(c *net.TCPConn) { _ = c.SetLinger(0) }
	refuses := func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}
	all := HoldConnections{Idle: 2, Silent: 1, Unfinished: 1, SlowHeads: 1, SlowBodies: 1, Every: 5 * time.Millisecond}
	for name, tt := range map[string]struct {
		hold HoldConnections
		end  func(*net.TCPConn)
		want map[string]int
	}{
		"left open": {all, nil, map[string]int{
			"idle": 2, "silent": 1, "unfinished": 1, "slow-head": 1, "slow-body": 1,
		}},
		"idle closed": {HoldConnections{Idle: 3}, closes, map[string]int{"idle closed": 3}},
		"unfinished reset": {
			HoldConnections{Idle: 1, Unfinished: 2},
			resets,
			map[string]int{"idle closed reset": 1, "unfinished closed reset": 2},
		},
		"body refused": {
			HoldConnections{SlowBodies: 2, Every: time.Hour}, refuses, map[string]int{"slow-body closed 408": 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			wait := 0
			if tt.end != nil {
				for _, n := range tt.want {
					wait += n
				}
			}
			connections, m := holdOn(t, tt.hold, heldBy(t, tt.end), wait)
			got := map[string]int{}
			for _, c := range connections {
				got[inWords(c)]++
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("connections (-want +got):\n%s", diff)
			}
			recorded := 0
			for r := range m.Requests(journal.Window{}) {
				if recorded++; !r.Canceled || r.Route != "create" || r.Attack != "it" || r.Done < r.Sent {
					t.Errorf("an unfinished request is recorded as %+v", r)
				}
			}
			if recorded != tt.hold.Unfinished {
				t.Errorf("%d requests recorded, wanted the %d unfinished ones", recorded, tt.hold.Unfinished)
			}
		})
	}
}

func inWords(c journal.Connection) string {
	text := c.Manner
	for _, flag := range []struct {
		on   bool
		word string
	}{{c.Closed, " closed"}, {c.Reset, " reset"}, {c.Whole, " whole"}} {
		if flag.on {
			text += flag.word
		}
	}
	if c.Status != 0 {
		text += fmt.Sprintf(" %d", c.Status)
	}
	return text
}

// TestHoldConnectionsReopens replaces what the service has closed.
func TestHoldConnectionsReopens(t *testing.T) {
	hold := HoldConnections{SlowHeads: 2, Every: time.Millisecond, Reopen: true}
	connections, _ := holdOn(t, hold, heldBy(t, func(*net.TCPConn) {}), 10)
	if len(connections) < 10 {
		t.Errorf("%d connections for two that are always closed", len(connections))
	}
}

// TestSlowReader reads late: the whole of it, less of it, and nothing.
func TestSlowReader(t *testing.T) {
	const size = 100_000
	serve := func(cut bool, status int) string {
		return heldBy(t, func(c *net.TCPConn) {
			_, _ = fmt.Fprintf(c, "HTTP/1.1 %d Status\r\nContent-Length: %d\r\n\r\n", status, size)
			n := size
			if cut {
				n /= 2
			}
			_, _ = io.WriteString(c, strings.Repeat("x", n))
		})
	}
	for name, tt := range map[string]struct {
		base     string
		pause    time.Duration
		wait     int
		want     string
		received int64
	}{
		"whole":    {serve(false, 200), 20 * time.Millisecond, 1, "slow-reader whole 200", size},
		"cut":      {serve(true, 200), 20 * time.Millisecond, 1, "slow-reader closed 200", size / 2},
		"refused":  {serve(false, 503), 20 * time.Millisecond, 1, "slow-reader whole 503", size},
		"not read": {serve(false, 200), time.Hour, 0, "slow-reader", 0},
	} {
		t.Run(name, func(t *testing.T) {
			connections, _ := holdOn(t, HoldConnections{SlowReaders: 1, Pause: tt.pause}, tt.base, tt.wait)
			if len(connections) != 1 || inWords(connections[0]) != tt.want || connections[0].Received != tt.received {
				t.Errorf("got %+v, want %s with %d bytes", connections, tt.want, tt.received)
			}
		})
	}
}

// TestSlowSenders looks at what they send: lines of a head that has no end, and
// a body followed by blanks.
func TestSlowSenders(t *testing.T) {
	for manner, want := range map[string][]string{
		journal.SlowHead: {"GET / HTTP/1.1", "Host: ", "X-Slow-0: 0", "X-Slow-1: 1", "X-Slow-2: 2"},
		journal.SlowBody: {"POST /orders HTTP/1.1", "Host: ", "Content-Length: 4012", "", "0123456789     "},
	} {
		t.Run(manner, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			lines := make(chan []string, 1)
			go func() {
				var got []string
				defer func() { lines <- got }()
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				r := bufio.NewReader(c)
				for len(got) < len(want)-1 {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					got = append(got, strings.TrimRight(line, "\r\n"))
				}
				rest := make([]byte, len(want[len(want)-1]))
				_, _ = io.ReadFull(r, rest)
				got = append(got, string(rest))
			}()
			hold := HoldConnections{Every: 5 * time.Millisecond}
			if manner == journal.SlowHead {
				hold.SlowHeads = 1
			} else {
				hold.SlowBodies = 1
			}
			holdOn(t, hold, "http://"+l.Addr().String(), 1)
			got := <-lines
			prefixes := cmp.Comparer(func(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) })
			if diff := cmp.Diff(want, got, prefixes, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHoldConnectionsToNobody(t *testing.T) {
	x, env, _, m := fakes()
	env.replicas[0].(*fakeReplica).url = "http://127.0.0.1:1"
	x.Target = "orders-1"
	hold := &HoldConnections{Idle: 1}
	_, err := hold.Start(t.Context(), x)
	errorIs(t, err, "hold connections to orders-1: dial tcp 127.0.0.1:1")
	errorIs(t, hold.Witness(m, "", journal.Window{}), "no connection was held")
}
