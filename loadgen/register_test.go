package loadgen

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

// withRegister is the tests' traffic with a register.
func withRegister(edit func(*Register)) Traffic {
	t := orders
	t.Register = &Register{
		Key:   "item-{{seq}}",
		Write: RegisterWrite{Path: "/items/{{.key}}", Body: `{"price":"{{.value}}"}`},
		Read:  RegisterRead{Path: "/items/{{.key}}", Value: "$.price"},
	}
	if edit != nil {
		edit(t.Register)
	}
	return t
}

// prices keeps the last price of each item. Every tenth write is stored and
// answered 500.
type prices struct {
	mu     sync.Mutex
	stored map[string]string
	writes int
}

func (p *prices) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != "Bearer hunter2":
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodPut:
		var body struct{ Price string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		p.stored[r.URL.Path] = body.Price
		if p.writes++; p.writes%10 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	case p.stored[r.URL.Path] == "":
		w.WriteHeader(http.StatusNotFound)
	default:
		_ = json.NewEncoder(w).Encode(map[string]string{"price": p.stored[r.URL.Path]})
	}
}

func TestRegisters(t *testing.T) {
	shared := &prices{stored: map[string]string{}}
	var places []Place
	for _, name := range []string{"a", "b"} {
		server := httptest.NewServer(shared)
		defer server.Close()
		places = append(places, Place{name, server.URL})
	}
	rec := journal.NewMemory(journal.Header{Run: "r1"})
	g := Registers{
		Name: "use", RunID: "r1", Source: mustCompile(t, withRegister(nil), 1), Places: places, Keys: 2, Callers: 4,
		Pause: time.Millisecond, For: 300 * time.Millisecond,
	}
	if err := g.Run(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	keys, at, written := map[string]bool{}, map[string]bool{}, map[string]bool{}
	outcomes := map[string]int{}
	ended := map[int]journal.Instant{}
	for e, op := range journal.Of[journal.RegisterOp](rec) {
		keys[op.Key], at[op.Replica] = true, true
		if op.Write {
			outcomes[op.Outcome]++
			if written[op.Value] || op.Value == "" {
				t.Errorf("value %q was written twice", op.Value)
			}
			written[op.Value] = true
		} else if op.Outcome != journal.Acknowledged || op.Value == "" && op.Code != http.StatusNotFound {
			t.Errorf("a read is %+v", op)
		}
		if op.Sent < ended[op.Caller] || e.At < op.Sent {
			t.Errorf("caller %d sent at %v, answered at %v, and its last was answered at %v",
				op.Caller, op.Sent, e.At, ended[op.Caller])
		}
		ended[op.Caller] = e.At
	}
	want := map[string]bool{"item-0": true, "item-1": true}
	if diff := cmp.Diff(want, keys); diff != "" || len(at) != 2 || len(ended) != 4 {
		t.Errorf("at %v by %d callers (-want +got):\n%s", at, len(ended), diff)
	}
	if outcomes[journal.Acknowledged] < 9 || outcomes[journal.UnknownOutcome] == 0 {
		t.Errorf("writes: %v", outcomes)
	}
	requests := 0
	for r := range rec.Requests(journal.Window{}) {
		if requests++; r.Route != registerRead && r.Route != registerWrite || r.Attack != "use" {
			t.Errorf("recorded %+v", r)
		}
	}
	if all := len(written) + outcomes[""]; requests <= all {
		t.Errorf("%d requests were recorded, and %d writes", requests, all)
	}
}

func TestRegistersRefuse(t *testing.T) {
	place := []Place{{"a", "http://127.0.0.1:1"}}
	source := mustCompile(t, withRegister(nil), 1)
	for name, g := range map[string]Registers{
		"no register": {Source: mustCompile(t, orders, 1), Places: place, Keys: 1, Callers: 2},
		"no replica":  {Source: source, Keys: 1, Callers: 2},
		"one caller":  {Source: source, Places: place, Keys: 1, Callers: 1},
		"no key":      {Source: source, Places: place, Callers: 2},
	} {
		t.Run(name, func(t *testing.T) {
			if err := g.Run(t.Context(), journal.NewMemory(journal.Header{})); err == nil {
				t.Error("it is not refused")
			}
		})
	}
}

func TestRegisterMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*Register)
		says string
	}{
		"one key":            {func(r *Register) { r.Key = "item" }, `key: "item" names one register alone`},
		"nothing captured":   {func(r *Register) { r.Key = `{{pick "id"}}` }, "the setup does not capture"},
		"one value":          {func(r *Register) { r.Value = "5" }, "each time"},
		"value not sent":     {func(r *Register) { r.Write.Body = "{}" }, "neither its path nor its body"},
		"key not read":       {func(r *Register) { r.Read.Path = "/items" }, "does not have the {{.key}}"},
		"no path of a value": {func(r *Register) { r.Read.Value = "" }, "read: value"},
		"unknown variable":   {func(r *Register) { r.Write.Path = "/{{.who}}" }, "write: path"},
		"success":            {func(r *Register) { r.Write.Success = []string{"good"} }, "write: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(withRegister(tt.edit), 1)
			if err == nil || !strings.HasPrefix(err.Error(), "traffic: register: ") || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v", err)
			}
		})
	}
}
