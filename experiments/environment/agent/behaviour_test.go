package agent_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/environment/agent"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

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
