package loadgen

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// What a strange attack sends differs from hit to hit in every way that a
// service may be tempted to label by.
func TestStrangeAttack(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]map[string]bool{}
	see := func(what, value string) {
		if seen[what] == nil {
			seen[what] = map[string]bool{}
		}
		seen[what][value] = true
	}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		see("path", r.URL.Path)
		see("method", r.Method)
		see("host", r.Host)
		see("query", r.URL.RawQuery)
		see("agent", r.UserAgent())
		_, known := journal.ParseTraceparent(r.Header.Get("Traceparent"))
		see("broken trace", map[bool]string{false: r.Header.Get("Traceparent")}[known])
	}))
	defer server.Close()
	source, err := Compile(Traffic{Requests: []Request{{
		Name: "get", Path: "/orders/7?full=1", Headers: map[string]string{"User-Agent": "ours"},
	}}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	j := journal.NewMemory(journal.Header{})
	end, err := Attack{
		Name: "odd", RunID: "r", Pacer: Count(40, 0), Source: source, BaseURL: server.URL, Strange: true, BrokenTrace: true,
	}.Run(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	if !end.Strange || !end.BrokenTrace {
		t.Errorf("recorded as %+v", end)
	}
	for what, want := range map[string]int{
		"path": 21, "method": 11, "host": 11, "query": 40, "agent": 40, "broken trace": 40,
	} {
		if got := len(seen[what]); got != want {
			t.Errorf("%d different values of %s, wanted %d", got, what, want)
		}
	}
	if !seen["path"]["/orders/7"] || seen["broken trace"][""] {
		t.Errorf("paths %v, traces %v", seen["path"], seen["broken trace"])
	}
	for q := range seen["query"] {
		if !strings.Contains(q, "full=1") {
			t.Errorf("query %q has lost what it had", q)
		}
	}
}

// Each hit begins a trace of its own in the format of the traffic, or in none.
func TestTraceFormats(t *testing.T) {
	for _, name := range journal.TraceFormats() {
		for _, broken := range []bool{false, true} {
			format, h := journal.TraceFormat(name), journal.Header{Run: "r", TraceFormat: journal.TraceFormat(name)}
			var mu sync.Mutex
			texts, traces := map[string]bool{}, map[journal.TraceContext]bool{}
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				var c journal.Call
				c.TakeTrace(r.Header.Get)
				mu.Lock()
				defer mu.Unlock()
				texts[c.TraceText(format)] = true
				if context, ok := c.TraceContext(format); ok {
					traces[context] = true
				}
				if len(r.Header.Values(format.Header())) != 1 || name != string(journal.TraceW3C) && c.Traceparent != "" {
					t.Errorf("%s is sent as %v", name, r.Header)
				}
			}))
			source, err := Compile(Traffic{Trace: name, Requests: []Request{{Name: "get", Path: "/"}}}, 1)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Attack{
				Name: "load", RunID: "r", Pacer: Count(30, 0), Source: source, BaseURL: server.URL, BrokenTrace: broken,
			}.Run(t.Context(), journal.NewMemory(h))
			server.Close()
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int{false: 30}[broken]; len(traces) != want || texts[""] {
				t.Errorf("%s, broken %v: traces %v of texts %v", name, broken, traces, texts)
			}
			if !broken && !traces[h.HitTrace("load", 7)] {
				t.Errorf("%s: the trace of a hit did not arrive", name)
			}
		}
	}
}
