package subject

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/experiments/yamlfile/yamlfiletest"
)

func TestLoad(t *testing.T) {
	s, err := Load("testdata/sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range s.Dependencies {
		names = append(names, d.Name+":"+d.Kind)
	}
	if diff := cmp.Diff([]string{"postgres:postgres", "redis:redis", "payments:http", "mail:tcp"}, names); diff != "" {
		t.Errorf("dependencies, in the file's order (-want +got):\n%s", diff)
	}
	got := map[string]any{
		"replicas": s.Service.Replicas, "start within": s.Service.StartWithin, "signal": s.Service.Stop.Signal,
		"grace": s.Service.Stop.Grace, "timeout": s.Traffic.Timeout, "price": s.Traffic.Requests[2].Weight,
		"method": s.Traffic.Requests[1].Method, "retryable": *s.Traffic.Requests[0].Retryable,
		"reads retryable": *s.Traffic.Requests[1].Retryable, "route": s.Dependencies[2].Routes[0].Name,
		"database": s.Dependencies[0].Database, "setting": s.Dependencies[0].Settings["max_connections"],
		"success": s.Traffic.Requests[0].Success[0], "slo": s.Promises.SLOLatency, "answers": s.Promises.AnswersWithin,
		"environment": s.Environment, "balancer": s.Service.Balancer.Mode, "before": s.Service.Before[0].Within,
	}
	want := map[string]any{
		"replicas": 2, "start within": 30 * time.Second, "signal": "SIGTERM",
		"grace": 30 * time.Second, "timeout": 3 * time.Second, "price": 1.0,
		"method": "GET", "retryable": false, "reads retryable": true, "route": "POST /charges",
		"database": "app", "setting": "100", "success": "201", "slo": time.Second, "answers": 2 * time.Second,
		"environment": "process", "balancer": "tcp", "before": time.Minute,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	stated := []string{"answers_within", "max_attempts", "drains_within", "drain"}
	for _, name := range stated {
		if slices.Contains(s.Defaults, name) {
			t.Errorf("%s is stated, but counted as a default", name)
		}
	}
	if !slices.Contains(s.Defaults, "slo_latency") || !filepath.IsAbs(s.Dir) {
		t.Errorf("defaults %v, dir %q", s.Defaults, s.Dir)
	}
}

// sample returns the sample file with one piece replaced.
func sample(t *testing.T, old, new string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("the sample does not hold %q", old)
	}
	return []byte(strings.Replace(string(b), old, new, 1))
}

func TestMistakes(t *testing.T) {
	tests := map[string]struct {
		old, new   string
		line, col  int
		want       string // in the problem
		expected   string // in what was expected
		wantSource string
	}{
		"unknown key": {
			"  rate: 100", "  rat: 100", 30, 3,
			`unknown key "rat"`, "rate, port", "  rat: 100",
		},
		"wrong type": {
			"ports: {http: 0, admin: 0}", "ports: [http]", 15, 10, "found a list", "a mapping", "  ports: [http]",
		},
		"missing": {"      path: /orders\n", "", 32, 7, "missing path in traffic.requests[0]", "a key path", ""},
		"bad duration": {
			"answers_within: 2s", "answers_within: 2", 60, 19,
			`bad duration "2"`, "250ms", "  answers_within: 2",
		},
		"negative duration": {"answers_within: 2s", "answers_within: -2s", 60, 19, "below zero", "", ""},
		"unknown dependency": {
			"uses: [postgres]", "uses: [postgrse]", 46, 14,
			`no dependency is called "postgrse"`, "postgres, ", "",
		},
		"fixed port": {
			"ports: {http: 0,", "replicas: 2\n  ports: {http: 8080,", 16, 17, "2 replicas cannot share", "replicas: 1",
			"",
		},
		"no time to start": {
			"ports: {http: 0, admin: 0}", "start_within: 0s\n  ports: {http: 0, admin: 0}", 15, 17,
			"no time to start", "30s", "",
		},
		"too many replicas": {
			"ports: {http: 0, admin: 0}", "replicas: 5000\n  ports: {http: 0, admin: 0}", 15, 13, "5000 replicas", "1 to 50", "",
		},
		"too high a rate": {"rate: 100", "rate: 1e12", 30, 9, "a rate of 1e+12", "up to 100000", ""},
		"weights":         {"weight: 3", "weight: -3", 44, 15, "a weight of -3", "0 or more", ""},
		"duplicate name": {
			"name: read", "name: create", 43, 13, `"create" is also the name of traffic.requests[0]`, "", "",
		},
		"routes of redis": {
			"redis: {kind: redis, soft: true}", "redis: {kind: redis, routes: []}", 23, 32, "routes is for kind http",
			"", "",
		},
		"unknown kind": {"kind: tcp", "kind: udp", 28, 16, `unknown value "udp"`, "tcp", ""},
		"reference": {
			"${postgres.url}", "${postgres.ur}", 7, 19, "nothing is called ${postgres.ur}", "${postgres.url}, ", "",
		},
		"replica in run": {
			`"${postgres.owner_url}"`, `"${port.http}"`, 14, 27, "nothing is called ${port.http}", "", "",
		},
		"open reference": {"${postgres.url}", "${postgres.url", 7, 19, "is not closed", "$$", ""},
		"no ledger": {
			"  ledger:\n    dependency: postgres\n    query: SELECT key, id FROM orders\n", "", 42, 14, "no ledger",
			"traffic.ledger", "",
		},
		"ledger kind": {
			"dependency: postgres\n", "dependency: redis\n", 50, 17, "redis is of kind redis", "postgres", "",
		},
		"ledger without a way to read": {
			"    dependency: postgres\n    query: SELECT key, id FROM orders\n", "    within: 5s\n", 49, 3,
			"does not say how stored writes are read", "read: {path: …}", "",
		},
		"ledger read twice": {
			"    query: SELECT key, id FROM orders\n", "    query: SELECT 1\n    read: {path: '/orders/{{.id}}'}\n", 52, 11,
			"both a query and a route", "one of them", "",
		},
		"ledger reads one thing": {
			"    dependency: postgres\n    query: SELECT key, id FROM orders\n", "    read: {path: /orders}\n", 50, 18,
			"finds the same for every write", "a template with .key or .id", "",
		},
		"success":       {"success: [201, 2xx]", "success: [201, 2x]", 39, 22, `bad status "2x"`, "2xx", ""},
		"empty traffic": {"  requests:\n", "  requests: []\n  setup:\n", 31, 13, "the traffic is empty", "", ""},
		"duplicate key": {"  rate: 100", "  rate: 100\n  rate: 50", 31, 3, `duplicate key "rate"`, "", ""},
		"environment name": {
			"PRICE: $$5", "PRICE: ${env.SEATRIAL_NOT_SET}", 11, 12, "SEATRIAL_NOT_SET is not set", "", "",
		},
		"version": {"version: 1", "version: 7", 1, 10, "version 7", "1", "version: 7"},
		"port": {
			"{port: admin, path: /readyz}", "{port: admni, path: /readyz}", 16, 21, `no port called "admni"`, "admin",
			"",
		},
		"zero promise": {"max_attempts: 3", "max_attempts: 0", 61, 17, "a promise of 0", "more than zero", ""},
		"one caller": {
			"[first-caller, second-caller]", "[first-caller]", 54, 13, "1 callers", "two values at least", "",
		},
		"caller twice": {
			"[first-caller, second-caller]", "[first-caller, first-caller]", 54, 28, "or one twice", "a value for each", "",
		},
		"header of callers": {"header: X-Api-Key", "header: X Api Key", 53, 13, `bad header "X Api Key"`, "X-Api-Key", ""},
		"method of a register": {
			"write: {path: \"/items", "write: {method: \"P T\", path: \"/items", 57, 21, `bad method "P T"`, "PUT", "",
		},
		"path of a register": {
			"read: {path: \"/items", "read: {path: \"items", 58, 18, "bad path", "begins with /", "",
		},
		"success of a register": {
			"{{.value}}\"}'}", "{{.value}}\"}', success: [ok]}", 57, 80, `bad status "ok"`, "2xx", "",
		},
		"header": {
			"headers: {Idempotency-Key:", "headers: {Idempotency Key:", 37, 34,
			`bad header "Idempotency Key"`, "Content-Type", "",
		},
		"unknown function": {`/orders/{{pick "id"}}`, "/orders/{{pickk}}", 45, 13, `function "pickk" not defined`, "", ""},
		"pick": {
			`/orders/{{pick "id"}}`, `/orders/{{pick "ids"}}`, 45, 13,
			`no request captures "ids"; captured are: id`, "", "",
		},
		"open action":    {`/orders/{{pick "id"}}`, `'/orders/{{pick "id"'`, 45, 13, "unclosed action", "", ""},
		"register":       {`value: $.price`, `value: "$..["`, 58, 44, "no JSONPath", "", ""},
		"unset variable": {`sku":"{{.key}}`, `sku":"{{.kay}}`, 32, 7, "kay", "", ""},
		"capture":        {"capture: {id: $.id}", "capture: {id: '$..['}", 40, 21, "no JSONPath", "", ""},
		"stub's body":    {"{{uuid}}\"}'", "{{guid}}\"}'", 27, 59, `function "guid" not defined`, "uuid", ""},
		"stub's path":    {"path: /charges,", "path: '/charges/{id',", 27, 30, "bad pattern", "/charges/{id}", ""},
		"syntax":         {"version: 1", "version: [1", 2, 1, "not YAML", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Decode("s.yaml", sample(t, tt.old, tt.new))
			var ms yamlfile.Mistakes
			if !errors.As(err, &ms) {
				t.Fatalf("got %v", err)
			}
			m := ms[0]
			if !strings.Contains(m.Problem, tt.want) || !strings.Contains(m.Expected, tt.expected) {
				t.Errorf("got %v", err)
			}
			if tt.wantSource != "" && m.Source != tt.wantSource {
				t.Errorf("source %q", m.Source)
			}
			if m.Line != tt.line || m.Column != tt.col {
				t.Errorf("place %d:%d, want %d:%d\n%v", m.Line, m.Column, tt.line, tt.col, err)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	_, err := Decode("bad.yaml", []byte(`version: 1
name: Orders
service:
  comand: [x]
  replicas: two
  readiness: {path: readyz}
traffic:
  requests:
    - {name: a, path: /, uses: [db]}
    - {name: a, path: /}
`))
	const want = `bad.yaml:2:7: bad name "Orders"; expected a name of small letters, digits, - and _ that begins with a ` +
		`letter, 40 at most
    2 | name: Orders
      |       ^
bad.yaml:3:1: the service has neither build nor command; expected build: {package: ./cmd/…} or command: […]
    3 | service:
      | ^
bad.yaml:4:3: unknown key "comand"; expected command, build, container, env, ports, ` +
		`args, balancer, before, dir, files, stop, liveness, metrics, startup, readiness, replicas or start_within
    4 |   comand: [x]
      |   ^
bad.yaml:5:13: found "two"; expected a whole number
    5 |   replicas: two
      |             ^
bad.yaml:6:21: bad path "readyz"; expected a path that begins with /
    6 |   readiness: {path: readyz}
      |                     ^
bad.yaml:9:33: no dependency is called "db"; expected nothing here
    9 |     - {name: a, path: /, uses: [db]}
      |                                 ^
bad.yaml:10:14: "a" is also the name of traffic.requests[0]; expected a name of its own
   10 |     - {name: a, path: /}
      |              ^`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSecrets(t *testing.T) {
	t.Setenv("SEATRIAL_TEST_TOKEN", "hunter2hunter2")
	b := sample(t, "  rate: 100", "  rate: 100\n  headers: {Authorization: \"Bearer ${env.SEATRIAL_TEST_TOKEN}\"}")
	b = []byte(strings.Replace(string(b), "PRICE: $$5", "SESSION_SECRET: abcdefgh", 1))
	b = []byte(strings.Replace(string(b), "first-caller,", "\"${env.SEATRIAL_TEST_TOKEN}\",", 1))
	s, err := Decode("testdata/s.yaml", b)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Traffic.Headers["Authorization"]; got != "Bearer hunter2hunter2" {
		t.Errorf("header %q", got)
	}
	if got := s.Traffic.Callers.Values[0]; got != "hunter2hunter2" {
		t.Errorf("caller %q", got)
	}
	want := []string{"Bearer hunter2hunter2", "hunter2hunter2", "second-caller", "abcdefgh"}
	if diff := cmp.Diff(want, s.Secrets()); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestExpand(t *testing.T) {
	lookup := func(name string) (string, error) {
		if name == "a" {
			return "A$", nil
		}
		return "", errors.New("no " + name)
	}
	for text, want := range map[string]string{
		"": "", "x": "x", "${a}": "A$", "$${a}": "${a}", "$": "$", "5$ ${a}${a}": "5$ A$A$", "$$$${a}": "$${a}",
	} {
		if got, err := Expand(text, lookup); err != nil || got != want {
			t.Errorf("Expand(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"${b}", "${a", "${"} {
		if _, err := Expand(text, lookup); err == nil {
			t.Errorf("Expand(%q) succeeded", text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	b, err := os.ReadFile("testdata/sample.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, s := range []string{
		"", "version: 1", "a: &a [*a]", "<<: {version: 1}\nname: x", "- 1", "? [a]: b", "traffic: {requests: [1, null, {}]}",
		"dependencies: {a: null, b: {kind: http, routes: [null]}}", "service: {ports: {x: 99999999999999999999}}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := Decode("fuzz.yaml", b)
		if err == nil {
			return
		}
		yamlfiletest.Placed(t, err)
	})
}

// TestAsNext holds the container of the next version to what it differs by.
func TestAsNext(t *testing.T) {
	s := &Subject{
		Service: Service{
			Env: map[string]string{"A": "1", "B": "1"},
			Container: Container{
				Dockerfile: "Dockerfile", Context: "..", Args: map[string]string{"GO": "1", "TAGS": ""}, CPUs: 1,
			},
		},
		Next: &Next{Env: map[string]string{"B": "2"}, Container: Container{Args: map[string]string{"TAGS": "next"}, CPUs: 2}},
	}
	want := Service{
		Env: map[string]string{"A": "1", "B": "2"},
		Container: Container{
			Dockerfile: "Dockerfile", Context: "..", Args: map[string]string{"GO": "1", "TAGS": "next"}, CPUs: 2,
		},
	}
	if diff := cmp.Diff(want, s.AsNext().Service); diff != "" {
		t.Error(diff)
	}
	s.Next.Container = Container{Image: "next:1"}
	if got := s.AsNext().Service.Container; got.Image != "next:1" || got.Dockerfile != "" {
		t.Errorf("an image beside a Dockerfile: %+v", got)
	}
	if s.Service.Container.Args["TAGS"] != "" || s.Service.Env["B"] != "1" {
		t.Error("the present version is another one now")
	}
}

func TestNamesOfHeaders(t *testing.T) {
	for name, tt := range map[string]struct{ old, new, sent, passedOn, key string }{
		"usual": {"  rate: 100", "  rate: 100", "X-Request-Id", "X-Request-Id", "Idempotency-Key"},
		"sent and passed on": {
			"  rate: 100", "  rate: 100\n  request_id: X-Correlation-Id",
			"X-Correlation-Id", "X-Correlation-Id", "Idempotency-Key",
		},
		"another one there": {
			"    kind: http\n", "    kind: http\n    request_id: X-Trace\n    idempotency_key: X-Idem\n",
			"X-Request-Id", "X-Trace", "X-Idem",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Decode("s.yaml", sample(t, tt.old, tt.new))
			if err != nil {
				t.Fatal(err)
			}
			d, _ := s.Dependency("payments")
			got := [3]string{s.Traffic.RequestID, d.RequestID, d.IdempotencyKey}
			if want := [3]string{tt.sent, tt.passedOn, tt.key}; got != want {
				t.Errorf("headers %q, want %q", got, want)
			}
		})
	}
	s, err := Decode("s.yaml", sample(t, "  rate: 100", "  rate: 100\n  trace: b3multi"))
	if err != nil || s.Traffic.Trace != string(journal.TraceB3Multi) {
		t.Errorf("traces are sent as %q, %v", s.Traffic.Trace, err)
	}
	for _, bad := range [][2]string{
		{"  rate: 100", "  rate: 100\n  request_id: X Id"},
		{"  rate: 100", "  rate: 100\n  trace: zipkin"},
		{"  rate: 100", "  rate: 100\n  trace: ''"},
		{"    kind: http\n", "    kind: http\n    idempotency_key: X Idem\n"},
		{"redis: {kind: redis,", "redis: {kind: redis, request_id: X-Id,"},
	} {
		if _, err := Decode("s.yaml", sample(t, bad[0], bad[1])); err == nil {
			t.Errorf("%q is taken", bad[1])
		}
	}
}

func TestDetectors(t *testing.T) {
	with := func(text string) []byte { return sample(t, "promises:\n", "detectors:\n"+text+"promises:\n") }
	s, err := Decode("s.yaml", with("  containment: {cap: 12, ratio: 0.4}\n  metrics_truth: {counter: calls}\n"))
	if err != nil {
		t.Fatal(err)
	}
	adjusted := func(d detect.Containment) detect.Containment {
		s.Detectors.Adjust("containment", &d)
		return d
	}
	if got := adjusted(detect.Containment{Ratio: 0.5}); got.Cap != 12 || got.Ratio != 0.4 {
		t.Errorf("with its defaults: %+v", got)
	}
	if got := adjusted(detect.Containment{Ratio: 0.2, Cap: 3}); got.Cap != 3 || got.Ratio != 0.2 {
		t.Errorf("with parameters of its own: %+v", got)
	}
	schema := yamlfiletest.Compile(t, Schema())
	for text, says := range map[string]string{
		"  contaiment: {cap: 12}\n":    "containment",
		"  containment: {capp: 12}\n":  `unknown key "capp"`,
		"  success: {during: fault}\n": "belongs to an experiment",
		"  [containment]\n":            "no mapping",
	} {
		_, err := Decode("s.yaml", with(text))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
		if err := schema.Validate(t, with(text)); err == nil && !strings.Contains(text, "during") {
			t.Errorf("the schema takes %s", text)
		}
	}
}
