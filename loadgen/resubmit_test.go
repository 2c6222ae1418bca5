package loadgen

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

// shelf keeps the first body that came under a key.
type shelf struct {
	mu     sync.Mutex
	bodies map[string]string
	asked  map[string]int // by request id
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[r.Header.Get("X-Request-Id")]++
	if first, known := s.bodies[key]; known && first != string(body) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	s.bodies[key] = string(body)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]string{"id": "order of " + key})
}

func TestResubmit(t *testing.T) {
	shared := &shelf{bodies: map[string]string{}, asked: map[string]int{}}
	var places []Place
	for _, name := range []string{"a", "b"} {
		server := httptest.NewServer(shared)
		defer server.Close()
		places = append(places, Place{name, server.URL})
	}
	source, err := mustCompile(t, orders, 1).Writing()
	if err != nil {
		t.Fatal(err)
	}
	rec := journal.NewMemory(journal.Header{Run: "r1"})
	first := Resubmission{
		Name: "submits", RunID: "r1", Source: source, Places: places, Keys: 10, AtOnce: 5, For: 50 * time.Millisecond,
	}
	if err := first.Run(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	again := first
	again.Name, again.Of = "later", "submits"
	if err := again.Run(t.Context(), rec); err != nil {
		t.Fatal(err)
	}

	forms, codes, at, keys := map[string]int{}, map[int]int{}, map[string]int{}, map[string]bool{}
	for _, s := range journal.Of[journal.Submission](rec) {
		forms[s.Form]++
		codes[s.Code]++
		at[s.Replica]++
		keys[s.Key] = true
		if s.Code == http.StatusCreated && s.ID != "order of "+s.Key {
			t.Errorf("the answer to %s is called %q", s.Key, s.ID)
		}
	}
	wantForms := map[string]int{
		journal.SubmittedFirst: 10, journal.SubmittedAgain: 10 + 10 + 20, journal.SubmittedAtOnce: 50,
		journal.SubmittedOther: 10,
	}
	if diff := cmp.Diff(wantForms, forms); diff != "" {
		t.Errorf("forms (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[int]int{201: 100, 422: 10}, codes); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	if len(keys) != 20 || len(shared.bodies) != 20 || at["a"] == 0 || at["b"] == 0 {
		t.Errorf("%d keys, %d stored, sent to %v", len(keys), len(shared.bodies), at)
	}
	for id := range maps.Keys(shared.asked) {
		if shared.asked[id] != 1 || !strings.HasPrefix(id, "r1-") {
			t.Errorf("request id %q was sent %d times", id, shared.asked[id])
		}
	}
	writes := 0
	for range journal.Of[journal.Write](rec) {
		writes++
	}
	if writes != 110 {
		t.Errorf("%d writes were recorded", writes)
	}
}

// Neighbouring submissions of a key go to different replicas.
func TestResubmitTakesTurns(t *testing.T) {
	var places []Place
	server := httptest.NewServer(&shelf{bodies: map[string]string{}, asked: map[string]int{}})
	defer server.Close()
	for _, name := range []string{"a", "b"} {
		places = append(places, Place{name, server.URL})
	}
	source, err := mustCompile(t, orders, 1).Writing()
	if err != nil {
		t.Fatal(err)
	}
	rec := journal.NewMemory(journal.Header{})
	r := Resubmission{Name: "s", Source: source, Places: places, Keys: 6, AtOnce: 3, For: time.Millisecond}
	if err := r.Run(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	by := map[string]map[string]bool{}
	for _, s := range journal.Of[journal.Submission](rec) {
		if by[s.Key] == nil {
			by[s.Key] = map[string]bool{}
		}
		by[s.Key][s.Replica] = true
	}
	for key, replicas := range by {
		if len(replicas) != 2 {
			t.Errorf("all submissions of %s went to %v", key, replicas)
		}
	}
}

func TestResubmitRefuses(t *testing.T) {
	place := []Place{{"a", "http://127.0.0.1:1"}}
	all := mustCompile(t, orders, 1)
	writing, err := all.Writing()
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Resubmission{
		"no replica": {Source: writing, Keys: 1, AtOnce: 2},
		"one alone":  {Source: writing, Keys: 1, AtOnce: 1, Places: place},
		"no keys":    {Source: writing, AtOnce: 2, Places: place},
		"no traffic": {Keys: 1, AtOnce: 2, Places: place},
	} {
		t.Run(name, func(t *testing.T) {
			if err := r.Run(t.Context(), journal.NewMemory(journal.Header{})); err == nil {
				t.Error("it is not refused")
			}
		})
	}
	if _, err := mustCompile(t, Traffic{Requests: []Request{{Name: "read", Path: "/"}}}, 1).Writing(); err == nil {
		t.Error("traffic without a write has writes")
	}
	untied := orders
	untied.Requests = []Request{{
		Name: "create", Method: "POST", Path: "/", Body: `{"n":{{seq}}}`, Write: &WriteRule{Key: "{{uuid}}"},
	}}
	source, err := mustCompile(t, untied, 1).Writing()
	if err != nil {
		t.Fatal(err)
	}
	like, err := source.Target("s", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.otherBody("s", 1, like); err == nil || !strings.Contains(err.Error(), "a variable of vars") {
		t.Errorf("a key that is no variable: %v", err)
	}
}
