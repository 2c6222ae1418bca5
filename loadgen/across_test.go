package loadgen

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

// Each replica reads what the other one wrote, and nothing else.
func TestReadAcross(t *testing.T) {
	var mu sync.Mutex
	wrote := map[string]string{} // id to replica
	serve := func(name string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if r.Method == http.MethodPost {
				_, _ = io.Copy(io.Discard, r.Body)
				id := fmt.Sprint(len(wrote))
				wrote[id] = name
				w.WriteHeader(http.StatusCreated)
				_, _ = fmt.Fprintf(w, `{"id":%q}`, id)
				return
			}
			if wrote[strings.TrimPrefix(r.URL.Path, "/orders/")] == name || name == "b" {
				w.WriteHeader(http.StatusInternalServerError) // b reads nothing at all
			}
		}))
	}
	a, b := serve("a"), serve("b")
	defer a.Close()
	defer b.Close()
	rec := journal.NewMemory(journal.Header{Run: "r1"})
	err := ReadAcross{
		Name: "across", RunID: "r1", Source: mustCompile(t, orders, 1), Places: []Place{{"a", a.URL}, {"b", b.URL}},
		Writes: 10, For: 10 * time.Millisecond,
	}.Run(t.Context(), rec)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, r := range journal.Of[journal.CrossRead](rec) {
		got[fmt.Sprintf("%s>%s %s %d", r.Writer, r.Reader, r.Route, r.Code)]++
	}
	if diff := cmp.Diff(map[string]int{"a>b get 500": 5, "b>a get 200": 5}, got); diff != "" {
		t.Errorf("reads (-want +got):\n%s", diff)
	}
	var end journal.Attack
	for _, end = range journal.Of[journal.Attack](rec) {
	}
	if want := "10 writes, each read at all other replicas"; end.Pacer != want || end.Began || end.Sent != 20 {
		t.Errorf("it ended as %+v, want %q and 20 requests", end, want)
	}
}

func TestReadAcrossRefuses(t *testing.T) {
	two := []Place{{"a", "http://127.0.0.1:1"}, {"b", "http://127.0.0.1:1"}}
	blind := orders
	blind.Requests = blind.Requests[:1]
	for name, r := range map[string]ReadAcross{
		"one replica": {Source: mustCompile(t, orders, 1), Places: two[:1], Writes: 1},
		"no write":    {Source: mustCompile(t, orders, 1), Places: two},
		"no read":     {Source: mustCompile(t, blind, 1), Places: two, Writes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			if err := r.Run(t.Context(), journal.NewMemory(journal.Header{})); err == nil {
				t.Error("it is not refused")
			}
		})
	}
}
