package loadgen

import (
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

var plantable = Traffic{
	Headers: map[string]string{"Authorization": "Bearer secret", "X-Client": "trial"},
	Setup: []Request{{
		Name: "seed", Method: "POST", Path: "/things", Body: `{}`, Capture: map[string]string{"id": "$.id"},
	}},
	Requests: []Request{
		{
			Name: "get", Weight: 1, Path: `/things/{{pick "id"}}?sort=name&limit=5`,
			Headers: map[string]string{"X-Tenant": "acme", "Accept": "text/plain", "X-Api-Key": "k"},
		},
		{Name: "list", Weight: 1, Path: "/things?limit=5"},
		{
			Name: "put", Weight: 1, Method: "POST", Path: "/things",
			Body: `{"name":"{{seq}}","n":12345678901234567890,"tags":["a","b"],"of":{"x":"y"}}`,
		},
		{Name: "form", Weight: 1, Method: "POST", Path: "/f", Headers: map[string]string{
			"Content-Type": "application/x-www-form-urlencoded",
		}, Body: "b=2&a=1"},
		{Name: "never", Path: "/never?x=1"},
	},
}

func TestPlanting(t *testing.T) {
	word := journal.Canary("r1")
	var mu sync.Mutex
	raw := map[string]string{} // what came with the word, by request id
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		for _, v := range []string{r.URL.Path + "?" + r.URL.RawQuery, r.Header.Get("X-Tenant"), string(body)} {
			if strings.Contains(v, word) {
				raw[r.Header.Get("X-Request-Id")] += v
			}
		}
		_, _ = io.WriteString(w, `{"id":"t1"}`)
	}))
	defer server.Close()
	source := mustCompile(t, plantable, 1)
	if err := source.Setup(t.Context(), server.URL); err != nil {
		t.Fatal(err)
	}
	rec := journal.NewMemory(journal.Header{Run: "r1"})
	planting := Planting{Name: "payloads", RunID: "r1", Source: source, BaseURL: server.URL}
	if err := planting.Run(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	fields := map[string]int{}
	for _, p := range journal.Of[journal.Planted](rec) {
		fields[p.Route+": "+p.Field]++
		came := raw[journal.RequestID("r1", "payloads", p.Seq)]
		if (came == "") != (p.Form == journal.PlantedControl) {
			t.Errorf("%s of %s as %s came as %q", p.Field, p.Route, p.Form, came)
		}
		if p.Route == "put" && came != "" && !strings.Contains(came, "12345678901234567890") {
			t.Errorf("a number has changed: %q", came)
		}
	}
	n := len(plantedForms)
	want := map[string]int{
		"get: path segment 2": n, "get: query limit": n, "get: query sort": n, "get: header X-Tenant": n,
		"list: query limit": n, "put: body $.name": n, "put: body $.of.x": n, "put: body $.tags[0]": n,
		"form: body a": n, "form: body b": n,
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// TestPlantingRepeatsWhatTakesLong has a service that sleeps for one payload.
func TestPlantingRepeatsWhatTakesLong(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Query().Get("limit"), "(SELECT") {
			select {
			case <-time.After(PlantedDelay + 200*time.Millisecond):
			case <-r.Context().Done():
			}
		}
	}))
	defer server.Close()
	source, err := mustCompile(t, plantable, 1).Only("list")
	if err != nil {
		t.Fatal(err)
	}
	rec := journal.NewMemory(journal.Header{Run: "r1"})
	if err := (Planting{Name: "p", RunID: "r1", Source: source, BaseURL: server.URL}).Run(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	forms := map[string]int{}
	for _, p := range journal.Of[journal.Planted](rec) {
		forms[p.Form]++
	}
	if forms[journal.PlantedExpression] != 3 || forms[journal.PlantedSleep] != 1 {
		t.Errorf("sent %v", forms)
	}
}
