package experiments

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
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
		"none":     {HoldConnections{}, "nor all of them 0", "hold  connections open"},
		"negative": {HoldConnections{Idle: -1, Silent: 3}, "must not be negative", "hold 3 silent connections open"},
	} {
		t.Run(name, func(t *testing.T) {
			errorIs(t, tt.hold.Validate(), tt.err)
			if got := tt.hold.String(); got != tt.text {
				t.Errorf("it is %q, wanted %q", got, tt.text)
			}
		})
	}
}

// heldBy starts a server that answers GET, and then ends each connection with
// what end does, if anything.
func heldBy(t *testing.T, end func(*net.TCPConn)) (base string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				buf := make([]byte, 4096)
				n, _ := conn.Read(buf) // none from a silent connection, until we end it
				if strings.HasPrefix(string(buf[:n]), "GET /readyz ") {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
				if end != nil {
					end(conn.(*net.TCPConn))
					return
				}
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

// TestHoldConnections looks at what is said of connections that the service
// leaves open, closes or resets.
func TestHoldConnections(t *testing.T) {
	closes := func(*net.TCPConn) {}
	resets := func(c *net.TCPConn) { _ = c.SetLinger(0) }
	all := HoldConnections{Idle: 2, Silent: 1, Unfinished: 1}
	for name, tt := range map[string]struct {
		hold HoldConnections
		end  func(*net.TCPConn)
		want map[string]float64
	}{
		"left open": {all, nil, map[string]float64{
			"idle_held": 2, "idle_closed": 0, "idle_reset": 0, "silent_held": 1, "silent_closed": 0, "silent_reset": 0,
			"unfinished_held": 1, "unfinished_closed": 0, "unfinished_reset": 0,
		}},
		"idle closed": {HoldConnections{Idle: 3}, closes, map[string]float64{
			"idle_held": 3, "idle_closed": 3, "idle_reset": 0,
		}},
		"unfinished reset": {HoldConnections{Idle: 1, Unfinished: 2}, resets, map[string]float64{
			"idle_held": 1, "idle_closed": 1, "idle_reset": 1,
			"unfinished_held": 2, "unfinished_closed": 2, "unfinished_reset": 2,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			x, _, load, m := fakes()
			x.Plan.Subject.Service.Readiness.Path = "/readyz"
			load.body = loadgen.Target{
				Route: "create", Method: http.MethodPost, Path: "/orders", Header: http.Header{}, Body: "0123456789",
			}
			base, err := url.Parse(heldBy(t, tt.end))
			if err != nil {
				t.Fatal(err)
			}
			held := &holding{execution: x, base: base}
			if err := tt.hold.open(t.Context(), held); err != nil {
				t.Fatal(err)
			}
			if tt.end != nil {
				held.watchers.Wait() // all have seen the service's end
			}
			held.close()
			got := map[string]float64{}
			for _, q := range held.quantities() {
				got[q.Name] = q.Value
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("quantities (-want +got):\n%s", diff)
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

// TestHoldConnectionsRecords goes the whole way of a step.
func TestHoldConnectionsRecords(t *testing.T) {
	x, env, _, m := fakes()
	env.replicas[0].(*fakeReplica).url = heldBy(t, nil)
	x.Target = "orders-1"
	hold := &HoldConnections{Silent: 2}
	errorIs(t, hold.Witness(m, "", journal.Window{}), "no connection was held")
	errorIs(t, carryOut(t, hold, x), "")
	want := map[string]float64{"it silent_held": 2, "it silent_closed": 0, "it silent_reset": 0}
	if diff := cmp.Diff(want, quantitiesIn(m)); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	errorIs(t, hold.Witness(m, "", journal.Window{}), "")
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
