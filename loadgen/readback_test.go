package loadgen

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	difftool "github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

// readable is the tests' traffic with a route to read writes from.
func readable(r ReadRoute) Traffic {
	t := orders
	t.Ledger = &Ledger{Read: &r}
	return t
}

func TestReadBack(t *testing.T) {
	var busy atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hunter2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch r.URL.Path + r.URL.RawQuery {
		case "/orders/1", "/bare/1":
			_, _ = w.Write([]byte(`{"id":"1","who":"Ada"}`))
		case "/orders/2":
			if busy.Add(1) == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte(`{"id":"3","who":"Bob"}`))
		case "/orderskey=k1":
			_, _ = w.Write([]byte(`{"orders":[{"id":"1"},{"id":"9"}]}`))
		case "/orderskey=k2", "/orderskey=k4":
			_, _ = w.Write([]byte(`{"orders":[]}`))
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	writes := []journal.Write{{Key: "k1", ID: "1"}, {Key: "k2", ID: "2"}, {Key: "k3", ID: "3"}, {Key: "k4"}}
	for name, tt := range map[string]struct {
		route ReadRoute
		want  []journal.Stored
	}{
		"by id": {ReadRoute{Path: "/orders/{{.id}}", ID: "$.id", Value: "$.who"}, []journal.Stored{
			{Key: "k1", Count: 1, ID: "1", Value: journal.Digest("Ada")},
			{Key: "k2", Count: 1, ID: "3", Value: journal.Digest("Bob")},
			{Key: "k3"},
		}},
		"by key": {ReadRoute{Path: "/orders?key={{.key}}", Items: "$.orders[*]", ID: "$.id"}, []journal.Stored{
			{Key: "k1", Count: 2, ID: "1"}, {Key: "k2"}, {Key: "k3"}, {Key: "k4"},
		}},
		"is there": {ReadRoute{Path: "/bare/{{.id}}"}, []journal.Stored{{Key: "k1", Count: 1}, {Key: "k2"}, {Key: "k3"}}},
	} {
		t.Run(name, func(t *testing.T) {
			busy.Store(0)
			got, err := mustCompile(t, readable(tt.route), 1).ReadBack(t.Context(), server.URL, "r1", writes)
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(got, func(a, b journal.Stored) int { return cmp.Compare(a.Key, b.Key) })
			if diff := difftool.Diff(tt.want, got); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadBackCannotTell(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer server.Close()
	s := mustCompile(t, readable(ReadRoute{Path: "/orders/{{.id}}"}), 1)
	_, err := s.ReadBack(t.Context(), server.URL, "r1", []journal.Write{{Key: "k1", ID: "1"}})
	if err == nil || !strings.Contains(err.Error(), "read write k1: GET /orders/1 answered 500") {
		t.Errorf("error is %v", err)
	}
	if _, err := mustCompile(t, orders, 1).ReadBack(t.Context(), server.URL, "r1", nil); err == nil {
		t.Error("traffic without a route reads")
	}
}

func TestReadRouteMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		route ReadRoute
		says  string
	}{
		"a path":  {ReadRoute{Path: "/{{.who}}"}, "who"},
		"items":   {ReadRoute{Path: "/{{.id}}", Items: "$["}, "items"},
		"an id":   {ReadRoute{Path: "/{{.id}}", ID: "$["}, "id"},
		"a value": {ReadRoute{Path: "/{{.id}}", Value: "$["}, "value"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(readable(tt.route), 1)
			if err == nil || !strings.Contains(err.Error(), "ledger: read: ") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v", err)
			}
		})
	}
}
