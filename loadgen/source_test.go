package loadgen

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seatrial/seatrial/experiments/journal"
)

var orders = Traffic{
	Headers: map[string]string{"authorization": "Bearer hunter2"},
	Requests: []Request{
		{Name: "list", Path: "/orders", Weight: 3},
		{Name: "get", Path: `/orders/{{pick "id"}}`, Weight: 1},
		{
			Name: "create", Method: "post", Path: "/orders", Weight: 2, Uses: []string{"db", "payments"},
			Vars:    map[string]string{"key": "{{uuid}}"},
			Headers: map[string]string{"Idempotency-Key": "{{.key}}"},
			Body:    `{"key":"{{.key}}","n":{{seq}},"who":"{{firstName}} {{LastName}}","amount":{{number 1 100}}}`,
			Capture: map[string]string{"id": "$.id"},
			Success: []string{"201"},
			Write:   &WriteRule{Key: "{{.key}}", ID: "$.id"},
		},
	},
}

func mustCompile(t testing.TB, traffic Traffic, seed uint64) *Source {
	t.Helper()
	s, err := Compile(traffic, seed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func targets(t *testing.T, s *Source, attack string, n int) []Target {
	t.Helper()
	all := make([]Target, n)
	for i := range all {
		var err error
		if all[i], err = s.Target(attack, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

var sameTarget = cmpopts.IgnoreUnexported(Target{})

func TestTargetsDependOnTheSeedAlone(t *testing.T) {
	first := targets(t, mustCompile(t, orders, 1), "load", 300)

	again := mustCompile(t, orders, 1)
	concurrent := make([]Target, 300)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := len(concurrent) - 1 - worker; i >= 0; i -= 4 {
				concurrent[i], _ = again.Target("load", uint64(i))
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(first, concurrent, sameTarget); diff != "" {
		t.Errorf("the same seed gave other targets:\n%s", diff)
	}
	for name, other := range map[string][]Target{
		"seed":   targets(t, mustCompile(t, orders, 2), "load", 300),
		"attack": targets(t, mustCompile(t, orders, 1), "step", 300),
	} {
		if cmp.Equal(first, other, sameTarget) {
			t.Errorf("another %s gave the same targets", name)
		}
	}
}

func TestTargetIsFilledIn(t *testing.T) {
	s := mustCompile(t, orders, 3)
	create, err := s.Only("create")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	body := regexp.MustCompile(`^\{"key":"([^"]+)","n":(\d+),"who":"\w+ [\w']+","amount":\d+\}$`)
	for seq, target := range targets(t, create, "load", 50) {
		m := body.FindStringSubmatch(target.Body)
		if m == nil || m[1] != target.Key || m[2] != fmt.Sprint(seq) {
			t.Fatalf("body %q with key %q", target.Body, target.Key)
		}
		want := http.Header{
			"Authorization": {"Bearer hunter2"}, "Content-Type": {"application/json"}, "Idempotency-Key": {target.Key},
		}
		if diff := cmp.Diff(want, target.Header); diff != "" || target.Method != "POST" || target.Route != "create" {
			t.Errorf("%s %s:\n%s", target.Method, target.Route, diff)
		}
		if !uuid.MatchString(target.Key) {
			t.Errorf("key %q is no UUID", target.Key)
		}
		keys[target.Key] = true
	}
	if len(keys) != 50 {
		t.Errorf("%d keys of 50 hits", len(keys))
	}
}

func TestTemplatesMayNestCalls(t *testing.T) {
	s := mustCompile(t, Traffic{
		Requests: []Request{
			{Name: "a", Path: `/{{if eq seq 0}}{{print (pick "id" | printf "%s-%s" "x") (len uuid)}}` +
				`{{else}}{{(Person).FirstName | len}}{{end}}`},
			{Name: "free", Path: "/", Capture: map[string]string{"id": "$.id"}},
		},
	}, 1)
	s.store.add("id", "7")
	a, err := s.Only("a")
	if err != nil {
		t.Fatal(err)
	}
	for seq, want := range map[uint64]string{0: `^/x-.*7.*36$`, 1: `^/\d+$`} {
		target, err := a.Target("load", seq)
		if err != nil || !regexp.MustCompile(want).MatchString(target.Path) {
			t.Errorf("hit %d: path %q, %v", seq, target.Path, err)
		}
	}
}

func TestWeightsAndReplacement(t *testing.T) {
	share := func(s *Source) map[string]int {
		n := map[string]int{}
		for _, target := range targets(t, s, "load", 6000) {
			n[target.Route]++
		}
		return n
	}
	near := func(got, want int) bool { return got > want-200 && got < want+200 }
	s := mustCompile(t, orders, 4)
	if n := share(s); n["get"] != 0 || !near(n["list"], 3600) || !near(n["create"], 2400) {
		t.Errorf("with nothing captured: %v", n)
	}
	s.store.add("id", "42")
	if n := share(s); !near(n["get"], 1000) || !near(n["list"], 3000) || !near(n["create"], 2000) {
		t.Errorf("with something captured: %v", n)
	}
	get, err := s.Only("get")
	if err != nil {
		t.Fatal(err)
	}
	if target, err := get.Target("load", 0); err != nil || target.Path != "/orders/42" {
		t.Errorf("the captured id gave %q, %v", target.Path, err)
	}
	other, _ := mustCompile(t, orders, 4).Only("get")
	if target, err := other.Target("load", 0); err != nil || target.Route == "get" {
		t.Errorf("a request without its capture was not replaced: %v, %v", target.Route, err)
	}
}

// TestWeightOfZero leaves a request out of the load, and not out of an attack
// that names it.
func TestWeightOfZero(t *testing.T) {
	s := mustCompile(t, Traffic{Requests: []Request{
		{Name: "export", Path: "/export"}, {Name: "list", Path: "/orders", Weight: 2}, {Name: "report", Path: "/report"},
	}}, 4)
	for _, target := range targets(t, s, "load", 1000) {
		if target.Route != "list" {
			t.Fatalf("%s has a weight of 0 and was sent", target.Route)
		}
	}
	seldom, err := s.Only("export", "report")
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, target := range targets(t, seldom, "load", 1000) {
		n[target.Route]++
	}
	if n["export"] < 400 || n["report"] < 400 {
		t.Errorf("of two without a weight: %v", n)
	}
}

func TestSelection(t *testing.T) {
	s := mustCompile(t, orders, 5)
	check := func(got *Source, err error, want ...string) {
		t.Helper()
		if err != nil {
			t.Error(err)
		} else if diff := cmp.Diff(want, got.Routes()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	}
	only, err := s.Only("create", "list", "create")
	check(only, err, "create", "list")
	only, err = s.Only()
	check(only, err, "list", "get", "create")
	only, err = s.Using("payments")
	check(only, err, "create")
	only, err = s.Using()
	check(only, err, "list", "get", "create")
	if _, err = s.Only("delete"); err == nil || !strings.Contains(err.Error(), `"delete"`) {
		t.Errorf("an unknown request: %v", err)
	}
	if _, err = s.Using("redis"); err == nil || !strings.Contains(err.Error(), `"redis"`) {
		t.Errorf("an unused dependency: %v", err)
	}
	silent := mustCompile(t, Traffic{Requests: []Request{{Name: "a", Path: "/"}}}, 5)
	only, err = silent.Using("redis")
	check(only, err, "a")
}

func TestCompileErrorsNameTheRequest(t *testing.T) {
	one := func(r Request) Traffic {
		r.Name = "create"
		if r.Path == "" {
			r.Path = "/"
		}
		return Traffic{Requests: []Request{r}}
	}
	tests := []struct {
		traffic Traffic
		want    string
	}{
		{Traffic{}, "there are no requests"},
		{Traffic{Requests: []Request{{Path: "/"}}}, "has no name"},
		{Traffic{Requests: []Request{{Name: "a", Path: "/"}, {Name: "a", Path: "/"}}}, `"a": there are two`},
		{one(Request{Weight: -1}), `"create": its weight is -1`},
		{one(Request{Method: "GE T"}), `method: "GE T"`},
		{one(Request{Path: "orders"}), `path: "orders" does not begin with a slash`},
		{one(Request{Path: "/%zz"}), `path: "/%zz" is no path`},
		{one(Request{Path: "/{{nonsense}}"}), `path: function "nonsense" not defined`},
		{one(Request{Path: "/{{"}), `path: unclosed action`},
		{one(Request{Body: "{{.key}}"}), `body: <.key>: map has no entry for key "key"`},
		{one(Request{Vars: map[string]string{"k": "{{number 1}}"}}), `vars k: `},
		{one(Request{Path: `/{{pick "id"}}`}), `path: no request captures "id"`},
		{one(Request{Headers: map[string]string{"x": `{{if true}}{{pick (print "id")}}{{end}}`}}), `headers X: pick needs`},
		{one(Request{Capture: map[string]string{"id": "$["}}), `capture id: "$["`},
		{one(Request{Success: []string{"2x"}}), `success: "2x"`},
		{one(Request{Success: []string{"600"}}), `success: "600"`},
		{one(Request{Write: &WriteRule{Key: "same"}}), `write.key: "same" is the same for every hit`},
		{one(Request{Write: &WriteRule{Key: "{{uuid}}", ID: "$["}}), `write.id: "$["`},
		{
			one(Request{Path: `/{{pick "id"}}`, Capture: map[string]string{"id": "$.id"}}),
			`"create" and all others pick from captures (["id"])`,
		},
		{
			Traffic{
				Setup:    []Request{{Name: "seed", Path: `/{{pick "id"}}`}},
				Requests: []Request{{Name: "a", Path: "/", Capture: map[string]string{"id": "$.id"}}},
			},
			`setup request "seed": it picks from ["id"]`,
		},
		{
			Traffic{
				Setup:    []Request{{Name: "seed", Path: "/", Write: &WriteRule{Key: "{{uuid}}"}}},
				Requests: []Request{{Name: "a", Path: "/"}},
			},
			`setup request "seed": write:`,
		},
	}
	for _, tt := range tests {
		_, err := Compile(tt.traffic, 1)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q, got: %v", tt.want, err)
		}
	}
}

func TestSetupCapturesForTheLoad(t *testing.T) {
	var got []string
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		switch r.URL.Path {
		case "/login":
			_, _ = io.WriteString(w, `{"token":"t0"}`)
		case "/items":
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"item":{"id":17}}`)
		}
	})
	s := mustCompile(t, Traffic{
		Headers: map[string]string{"Authorization": `Bearer {{pick "token"}}`},
		Setup: []Request{
			{Name: "login", Method: "POST", Path: "/login", Capture: map[string]string{"token": "$.token"}},
			{Name: "seed", Method: "POST", Path: "/items", Capture: map[string]string{"item": "$.item.id"}},
		},
		Requests: []Request{{Name: "get", Path: `/items/{{pick "item"}}`}},
	}, 1)
	if err := s.Setup(t.Context(), url+"/"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"POST /login ", "POST /items Bearer t0"}, got); diff != "" {
		t.Errorf("requests of the setup (-want +got):\n%s", diff)
	}
	target, err := s.Target("load", 0)
	if err != nil || target.Path != "/items/17" || target.Header.Get("Authorization") != "Bearer t0" {
		t.Errorf("after the setup: %+v, %v", target, err)
	}
	if diff := cmp.Diff([]string{"t0"}, s.Secrets()); diff != "" {
		t.Errorf("secrets after the setup (-want +got):\n%s", diff)
	}
}

func TestSetupErrors(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/500" {
			w.WriteHeader(500)
		}
		_, _ = io.WriteString(w, strings.Repeat("no luck ", 100))
	})
	tests := []struct {
		request Request
		base    string
		want    string
	}{
		{Request{Path: "/500"}, url, `request "seed": GET /500 answered 500, which is no success here: "no luck `},
		{Request{Path: "/", Success: []string{"201"}}, url, "answered 200, which is no success"},
		{Request{Path: "/", Capture: map[string]string{"id": "$.id"}}, url, "no JSON to capture from"},
		{Request{Path: "/"}, "http://127.0.0.1:1", `request "seed": no answer after`},
	}
	for _, tt := range tests {
		tt.request.Name = "seed"
		s := mustCompile(t, Traffic{Setup: []Request{tt.request}, Requests: []Request{{Name: "a", Path: "/"}}}, 1)
		err := s.Setup(t.Context(), tt.base)
		if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 400 {
			t.Errorf("want %q, got %v", tt.want, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	s := mustCompile(t, Traffic{
		Headers: map[string]string{"Authorization": "Bearer hunter2", "Accept": "text/plain"},
		Requests: []Request{{
			Name: "a", Path: "/",
			Headers: map[string]string{"X-Api-Key": "s3cret", "Idempotency-Key": "k", "Cookie": "{{uuid}}"},
		}},
	}, 1)
	if diff := cmp.Diff([]string{"Bearer hunter2", "hunter2", "s3cret"}, s.Secrets()); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestLedgerFollowsWrites(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/slow":
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		code := 0
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, `{"id":12}`)
	})
	tests := []struct {
		path, outcome, id string
		code              int
	}{
		{"/201", journal.Acknowledged, "12", 201},
		{"/200", journal.UnknownOutcome, "", 200}, // no success as this request defines it
		{"/400", journal.Refused, "", 400},
		{"/429", journal.Refused, "", 429},
		{"/503", journal.Refused, "", 503},
		{"/500", journal.UnknownOutcome, "", 500},
		{"/504", journal.UnknownOutcome, "", 504},
		{"/cut", journal.UnknownOutcome, "", 0},
		{"/slow", journal.UnknownOutcome, "", 0},
	}
	for _, tt := range tests {
		source := compiled(t, Request{
			Name: "create", Method: "POST", Path: tt.path, Body: "{}", Success: []string{"201"},
			Vars: map[string]string{"key": "{{uuid}}"}, Write: &WriteRule{Key: "{{.key}}", ID: "$.id"},
		})
		want, _ := source.Target("load", 0)
		_, _, m := run(t, Attack{
			Name: "load", Pacer: Count(1, 0), Source: source, BaseURL: url, Timeout: 300 * time.Millisecond,
		})
		var got []journal.Write
		for e, w := range journal.Of[journal.Write](m) {
			if e.On != "create" {
				t.Errorf("the write is recorded as of %q", e.On)
			}
			got = append(got, w)
		}
		expect := []journal.Write{{Attack: "load", Key: want.Key, Outcome: tt.outcome, Code: tt.code, ID: tt.id}}
		if diff := cmp.Diff(expect, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.path, diff)
		}
	}
}

func TestLoadCapturesForItself(t *testing.T) {
	var paths sync.Map
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		paths.Store(r.URL.Path, true)
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"o1"}`)
	})
	_, hits, _ := run(t, Attack{
		Name: "load", Pacer: Count(50, 200*time.Millisecond), Source: mustCompile(t, orders, 1), BaseURL: url,
	})
	if _, ok := paths.Load("/orders/o1"); !ok {
		t.Error("no request used the captured id")
	}
	if first := slices.IndexFunc(hits, func(r journal.Request) bool { return r.Route == "get" }); first < 1 {
		t.Errorf("the first request that needs an id was hit %d", first)
	}
}

func TestStoreKeepsTheLatest(t *testing.T) {
	s := &store{values: map[string]*latest{}}
	for i := range remembered + 10 {
		s.add("id", fmt.Sprint(i))
	}
	for draw := range uint64(remembered) {
		value, _ := s.pick("id", draw)
		if len(value) < 2 {
			t.Fatalf("value %s should have been forgotten", value)
		}
	}
	if got, _ := s.pick("id", 0); got != fmt.Sprint(remembered) {
		t.Errorf("the oldest was replaced by %s", got)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(`/orders/{{pick "id"}}`, `{"key":"{{.key}}"}`, "{{uuid}}", "$.id")
	f.Add("/{{if}}", "{{range}}", "{{with .}}{{end}}", "$[")
	f.Fuzz(func(t *testing.T, path, body, variable, capture string) {
		if len(path)+len(body)+len(variable) > 200 || strings.Contains(path+body+variable, "range") {
			return // a loop may be as long as its author likes
		}
		s, err := Compile(Traffic{Requests: []Request{
			{Name: "free", Path: "/"},
			{
				Name: "x", Path: path, Body: body,
				Vars: map[string]string{"key": variable}, Capture: map[string]string{"id": capture},
			},
		}}, 1)
		if err != nil {
			return
		}
		if target, err := s.Target("load", 1); err == nil && !strings.HasPrefix(target.Path, "/") && path == target.Path {
			t.Errorf("path %q was let through", target.Path)
		}
	})
}
