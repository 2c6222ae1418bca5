package experiments

import (
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/experiments/yamlfile/yamlfiletest"
)

var update = flag.Bool("update", false, "write golden files")

func sampleSubject(t testing.TB) *subject.Subject {
	t.Helper()
	s, err := subject.Load("subject/testdata/sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func decoded(t testing.TB, text string) Experiment {
	t.Helper()
	e, err := Decode("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const sampleExperiment = `
version: 1
name: sample
title: More than it can take
labels: [quick]
steady_state:
  for: "${times 2 answers_within}"
load: {rate: 80, uses: http}
method:
  - name: measure
    operation: {measure_capacity: {connections: 5, uses: postgres}}
  - name: crowd
    at: "${plus answers_within 1s}"
    for: 4s
    on: replica
    operation: {attack: {capacity: 2, uses: http, timeout: "${times 0.5 answers_within}"}}
  - at: 7s
    for: 3s
    on: replica
    probe: hold_connections
recovery: 6s
expect:
  - success: {ratio: 0.9, during: crowd}
  - ledger
`

func TestDecode(t *testing.T) {
	e := decoded(t, sampleExperiment)
	if e.SteadyState.For != 10*time.Second || e.Method[1].At != 6*time.Second {
		t.Errorf("expressions on the default promises: %v, %v", e.SteadyState.For, e.Method[1].At)
	}
	a := e.Method[1].Action.(*Attack)
	if a.Capacity != 2 || a.Timeout != 2500*time.Millisecond {
		t.Errorf("attack %+v", a)
	}
	if e.Method[2].Name != "hold_connections" || e.Method[2].Action.(*HoldConnections).Idle != 20 {
		t.Errorf("bare kind: %+v", e.Method[2])
	}
	if d := e.Expect[0].Detector.(*detect.Success); d.Ratio != 0.9 || d.MinSamples != 100 {
		t.Errorf("success %+v", d)
	}
}

func TestMarshalRoundTrip(t *testing.T) {
	first, err := Marshal(decoded(t, sampleExperiment))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Decode("again.yaml", first)
	if err != nil {
		t.Fatalf("%v\n%s", err, first)
	}
	second, err := Marshal(again)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
	for _, want := range []string{"${times 2 answers_within}", "${times 0.5 answers_within}", "rate: 80"} {
		if !strings.Contains(string(first), want) {
			t.Errorf("%q is lost:\n%s", want, first)
		}
	}
	for _, plans := range [][2]Experiment{{decoded(t, sampleExperiment), again}} {
		a, b := planned(t, plans[0]), planned(t, plans[1])
		if diff := cmp.Diff(a[0].String(), b[0].String()); diff != "" {
			t.Errorf("plans (-first +again):\n%s", diff)
		}
	}
}

func planned(t testing.TB, e Experiment) []Plan {
	t.Helper()
	plans, err := NewPlan(e, sampleSubject(t), 7)
	if err != nil {
		t.Fatal(err)
	}
	return plans
}

func TestNewPlan(t *testing.T) {
	plans := planned(t, decoded(t, sampleExperiment))
	got := plans[0].String()
	if len(plans) != 1 || plans[0].Target != "payments" {
		t.Fatalf("%d plans, the first for %q", len(plans), plans[0].Target)
	}
	golden(t, "testdata/plan_sample.txt", got)
	if again := planned(t, decoded(t, sampleExperiment)); again[0].String() != got {
		t.Errorf("the same seed gave another plan:\n%s", again[0].String())
	}
	p := plans[0]
	if p.Steps[1].Target != p.Steps[2].Target || !strings.HasPrefix(p.Steps[1].Target, "orders-") {
		t.Errorf("replica is %q and %q", p.Steps[1].Target, p.Steps[2].Target)
	}
	a := p.Steps[1].Do.(*Attack)
	if a.Uses != "payments" || !slices.Equal(a.Routes, []string{"create"}) || a.Timeout != time.Second ||
		a.step != "crowd" {
		t.Errorf("attack %+v", a)
	}
	m := p.Steps[0].Do.(*MeasureCapacity)
	if m.Uses != "postgres" || !slices.Equal(m.Routes, []string{"create", "read"}) {
		t.Errorf("measure %+v", m)
	}
	h := p.Header(RunInfo{Trial: "t", Run: "r", Attempt: 1, LoadFrom: 500})
	if h.LoadFor != 20*time.Second || h.Method[1].At != journal.Instant(7*time.Second+500) || h.Target != "payments" {
		t.Errorf("header %+v", h)
	}
	if h.Routes[0].Weight < 0.33 || h.Routes[0].Weight > 0.34 || !h.Routes[0].Write {
		t.Errorf("route %+v", h.Routes[0])
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update writes it:\n%s", path, diff)
	}
}

// TestTwoKinds is planned for each dependency of the first kind, with the first
// of the second.
func TestTwoKinds(t *testing.T) {
	e := decoded(t, step("{on: http, for: 1s, fault: hang}\n  - {name: y, on: postgres, for: 1s, fault: table_lock}"))
	plans := planned(t, e)
	if len(plans) != 1 || plans[0].Name != "x/payments" || plans[0].NotApplicable != "" {
		t.Fatalf("%d plans, the first %s: %s", len(plans), plans[0].Name, plans[0].NotApplicable)
	}
	if a, b := plans[0].Steps[0].Target, plans[0].Steps[1].Target; a != "payments" || b != "postgres" {
		t.Errorf("targets %q and %q", a, b)
	}
}

func TestReplicaIsDrawnFromTheSeed(t *testing.T) {
	e := decoded(t, sampleExperiment)
	seen := map[string]bool{}
	for seed := range uint64(20) {
		plans, err := NewPlan(e, sampleSubject(t), seed)
		if err != nil {
			t.Fatal(err)
		}
		seen[plans[0].Steps[1].Target] = true
	}
	if len(seen) != 2 {
		t.Errorf("20 seeds drew %v", seen)
	}
}

func step(text string, expect ...string) string {
	if len(expect) == 0 {
		expect = []string{"success"}
	}
	return "version: 1\nname: x\ntitle: X\nmethod:\n  - " + text + "\nexpect: [" + strings.Join(expect, ", ") + "]\n"
}

// What is done on each replica has names of its own, and one name for all.
func TestStepsOnReplicasAreNumbered(t *testing.T) {
	for on, want := range map[string][]string{
		OnReplicas: {"them.1 on orders-1", "them.2 on orders-2"},
		"orders-2": {"them on orders-2"},
	} {
		s := sampleSubject(t)
		s.Service.Replicas = 2
		plans, err := NewPlan(decoded(t, step("{name: them, on: "+on+", operation: {attack: {count: 5}}}")), s, 1)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, step := range plans[0].Steps {
			got = append(got, step.Name+" on "+step.Target)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("on %s (-want +got):\n%s", on, diff)
		}
	}
}

func TestNotApplicable(t *testing.T) {
	withoutHTTP := func(s *subject.Subject) {
		s.Dependencies = slices.DeleteFunc(s.Dependencies, func(d subject.Dependency) bool { return d.Kind == subject.HTTP })
	}
	tests := map[string]struct {
		text   string
		change func(*subject.Subject)
		want   string
	}{
		"no such kind": {
			"version: 1\nname: x\ntitle: X\nload: {uses: http}\nexpect: [success]\n",
			withoutHTTP, "orders has no dependency of kind http",
		},
		"no such kind in an attack": {
			step("{for: 1s, operation: {attack: {rate: 5, uses: http}}}"),
			withoutHTTP, "orders has no dependency of kind http",
		},
		"nothing uses it": {
			"version: 1\nname: x\ntitle: X\nload: {uses: tcp}\nexpect: [success]\n",
			func(*subject.Subject) {}, "no request of the ordinary traffic uses mail",
		},
		"fixed port": {
			"version: 1\nname: x\ntitle: X\nreplicas: 3\nexpect: [success]\n",
			func(s *subject.Subject) { s.Service.Ports = map[string]int{"http": 8080} },
			"port http of the service is fixed at 8080, so there cannot be 3 replicas",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := sampleSubject(t)
			tt.change(s)
			plans, err := NewPlan(decoded(t, tt.text), s, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(plans) != 1 || plans[0].NotApplicable != tt.want {
				t.Errorf("got %d plans, %q", len(plans), plans[0].NotApplicable)
			}
		})
	}
}

func TestPlanErrors(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"unknown target": {
			step("{on: paymets, for: 1s, operation: {attack: {rate: 1}}}"), `called "paymets"; there are payments,`,
		},
		"unknown route": {
			step("{for: 1s, operation: {attack: {rate: 1, routes: [creat]}}}"),
			`no request of the traffic is called "creat"`,
		},
		"nothing to break": {step("{for: 1s, fault: outage}"), "it is not said what to break"},
		"unknown route of a detector": {
			"version: 1\nname: x\ntitle: X\nexpect: [{success: {routes: [creat]}}]\n",
			`expect success: no request of the traffic is called "creat"; there are create,`,
		},
		"unknown dependency of a detector": {
			"version: 1\nname: x\ntitle: X\nexpect: [{jitter: {on: paymets}}]\n",
			`expect jitter: the subject has no dependency called "paymets"; there are payments,`,
		},
		"unknown uses": {step("{for: 1s, operation: {attack: {rate: 1, uses: pay}}}"), `no dependency called "pay"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := NewPlan(decoded(t, tt.text), sampleSubject(t), 1)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestDecodeMistakes(t *testing.T) {
	tests := map[string]struct {
		text           string
		line, col      int
		want, expected string
	}{
		"unknown key":       {step("{nam: x, probe: hold_connections}"), 5, 6, `unknown key "nam"`, "name, "},
		"unknown operation": {step("{operation: atack}"), 5, 17, `no operation is called "atack"`, "attack, "},
		"unknown detector": {
			"version: 1\nname: x\ntitle: X\nexpect: [succes: {}]\n", 4, 10,
			`no detector is called "succes"`, "success, ",
		},
		"unknown parameter": {step("{operation: {attack: {rat: 1}}}"), 5, 27, `unknown key "rat"`, "rate, "},
		"two actions": {
			step("{probe: hold_connections, operation: rolling_restart}"), 5, 5, "a step with 2 actions", "exactly one",
		},
		"two kinds": {
			step("{operation: {attack: {rate: 1}, scale: {to: 2}}}"), 5, 17, "not one kind", "rolling_restart",
		},
		"not valid": {step("{operation: {attack: {rate: 1, count: 2}}}"), 5, 26, "exactly one of rate", ""},
		"bad expression": {
			step(`{for: "${times 2 answer_within}", operation: {attack: {rate: 1}}}`), 5, 11,
			`nothing is called "answer_within"; there are the promises answers_within`, "",
		},
		"expression in a text": {step(`{name: "${answers_within}", probe: hold_connections}`), 5, 12, "bad name", ""},
		"nothing expected":     {"version: 1\nname: x\ntitle: X\nexpect: []\n", 4, 9, "nothing is expected", ""},
		"unknown window": {
			step("{name: gone, on: http, for: 1s, fault: outage}", "success: {during: gon}"), 6, 28,
			`no window and no step is called "gon"`, "gone, ",
		},
		"unknown attack": {
			step("{name: crowd, for: 1s, operation: {attack: {rate: 1}}}", "success: {attack: crwd}"), 6, 28,
			`no attack is called "crwd"`, "crowd, ",
		},
		"no share": {"version: 1\nname: x\ntitle: X\nexpect: [{success: {ratio: 7}}]\n", 4, 20, "not between 0 and 1", ""},
		"missing":  {"version: 1\nname: x\nexpect: [success]\n", 1, 1, "missing title", ""},
		"bad shape": {
			"version: 1\nname: x\ntitle: X\nload: {shape: rampp}\nexpect: [success]\n", 4, 15,
			`unknown value "rampp"`, "ramp, ",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Decode("e.yaml", []byte(tt.text))
			var ms yamlfile.Mistakes
			if !errors.As(err, &ms) {
				t.Fatalf("got %v", err)
			}
			m := ms[0]
			if m.Line != tt.line || m.Column != tt.col || !strings.Contains(m.Problem, tt.want) ||
				!strings.Contains(m.Expected, tt.expected) {
				t.Errorf("want %d:%d, got %v", tt.line, tt.col, err)
			}
		})
	}
}

func TestEvaluate(t *testing.T) {
	p := journal.DefaultPromises()
	for text, want := range map[string]string{
		"${answers_within}":                         "5s",
		"${times 2 answers_within}":                 "10s",
		"${times answers_within 0.5}":               "2.5s",
		"${plus answers_within 1s}":                 "6s",
		"${minus answers_within 500ms}":             "4.5s",
		"${times 2 max_attempts}":                   "8",
		"${min (times 2 answers_within) 7s}":        "7s",
		"${max 1 (plus 2 success_ratio)}":           "2.995",
		"${plus 1s (times 2 (min 3s slo_latency))}": "3s",
	} {
		if got, err := evaluate(text, p); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"${}", "${times}", "${times 2}", "${times 2 3 4}", "${plus 1 1s}", "${times 1s 1s}", "${drain}", "${(1}",
		"${minus 1s 2s}",
		"${" + strings.Repeat("(", 40) + "1}",
	} {
		if got, err := evaluate(text, p); err == nil {
			t.Errorf("%s = %q", text, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(sampleExperiment))
	f.Add([]byte(step("{operation: {attack: {rate: 1, routes: [\"${x}\"]}}}")))
	f.Add([]byte("version: 1\nname: x\ntitle: X\nexpect: [&a {success: *a}]\nmethod: [null, 1, {fault: null}]"))
	s := sampleSubject(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode("fuzz.yaml", b)
		if err == nil {
			if _, err := Marshal(e); err != nil {
				t.Fatalf("read, but not written: %v", err)
			}
			_, _ = NewPlan(e, s, 1) // must not panic
			return
		}
		yamlfiletest.Placed(t, err)
	})
}

// TestNotHere plans faults that only containers know for processes and for
// containers.
func TestNotHere(t *testing.T) {
	const limited = "version: 1\nname: limited\ntitle: Limited\nexpect: [ledger]\n"
	for _, fault := range []string{
		"cpu_limit", "memory_limit", "packet_loss", "packet_delay", "packet_duplication", "packet_corruption",
	} {
		for _, on := range []string{"replica", "postgres", "redis"} {
			e := decoded(t, limited+"method: [{for: 1s, on: "+on+", fault: "+fault+"}]\n")
			for where, want := range map[string]string{"": "not supported here", "docker": ""} {
				s := sampleSubject(t)
				s.Environment = where
				plans, err := NewPlan(e, s, 1)
				if err != nil {
					t.Fatal(err)
				}
				if got := plans[0].NotApplicable; (got == "") != (want == "") || !strings.Contains(got, want) {
					t.Errorf("%s on %s in %q: not applicable is %q, want %q", fault, on, where, got, want)
				}
			}
		}
		e := decoded(t, limited+"method: [{for: 1s, on: http, fault: "+fault+"}]\n")
		if _, err := NewPlan(e, sampleSubject(t), 1); err == nil {
			t.Errorf("%s is planned on a stub", fault)
		}
	}
}

// TestAgentless plans with Toxiproxy's own server in the agent's place.
func TestAgentless(t *testing.T) {
	const without = "images.toxiproxy leaves the agent out"
	for name, c := range map[string]struct {
		step, expect string
		stub         bool
		want         string
	}{
		"latency":    {"on: postgres, fault: latency", "ledger", false, ""},
		"blackhole":  {"on: redis, fault: blackhole", "ledger", false, ""},
		"kill":       {"on: replica, fault: kill", "ledger", false, ""},
		"a stub":     {"on: postgres, fault: latency", "ledger", true, "payments: an http dependency is a stub"},
		"slicer":     {"on: postgres, fault: slicer", "ledger", false, "slicer: Toxiproxy's own toxic does not count"},
		"wire":       {"on: postgres, fault: {sql_error: {sqlstate: '40001'}}", "ledger", false, "a wire tap"},
		"statements": {"on: postgres, fault: latency", "parameterised_sql", false, "reads statements"},
		"connects":   {"on: postgres, fault: latency", "dependency_storm", false, "counted by the agent"},
	} {
		t.Run(name, func(t *testing.T) {
			s := sampleSubject(t)
			s.Environment, s.Images.Toxiproxy = "docker", "toxiproxy"
			if !c.stub {
				stub := func(d subject.Dependency) bool { return d.Kind == subject.HTTP }
				s.Dependencies = slices.DeleteFunc(s.Dependencies, stub)
			}
			const plain = "version: 1\nname: plain\ntitle: Plain\n"
			e := decoded(t, plain+"method: [{for: 1s, "+c.step+"}]\nexpect: ["+c.expect+"]\n")
			plans, err := NewPlan(e, s, 1)
			if err != nil {
				t.Fatal(err)
			}
			got := plans[0].NotApplicable
			if !strings.Contains(got, c.want) || (c.want == "") != (got == "") || got != "" && !strings.Contains(got, without) {
				t.Errorf("not applicable: %q, want %q", got, c.want)
			}
			s.Environment = "process"
			if plans, err = NewPlan(e, s, 1); err != nil || plans[0].NotApplicable != "" {
				t.Errorf("with processes it is not applicable: %q, %v", plans[0].NotApplicable, err)
			}
		})
	}
}

// TestAgentsPart holds the list of what needs the agent to what there is.
func TestAgentsPart(t *testing.T) {
	for kind := range agentsPart {
		known := slices.Contains(detect.Kinds(), kind)
		for _, class := range Classes() {
			known = known || slices.Contains(ActionKinds(class), kind)
		}
		if !known {
			t.Errorf("nothing is called %s", kind)
		}
	}
}

// What the subject says of a detector holds where the experiment says nothing
// else, and is told by the plan.
func TestPlanTakesTheSubjectsDetectors(t *testing.T) {
	e := decoded(t, "version: 1\nname: x\ntitle: x\nload: {uses: http}\nmethod:\n"+
		"  - {on: http, for: 2s, fault: outage}\nexpect:\n  - containment: {ratio: 0.3}\n  - metrics_truth\n")
	s := sampleSubject(t)
	s.Detectors = subject.Detectors{
		"containment":   &detect.Containment{Ratio: 0.4, Cap: 12},
		"metrics_truth": &detect.MetricsTruth{Counter: "calls", AtLeast: 100, Failures: 10},
	}
	plans, err := NewPlan(e, s, 1)
	if err != nil {
		t.Fatal(err)
	}
	contained := plans[0].Experiment.Expect[0].Detector.(*detect.Containment)
	truth := plans[0].Experiment.Expect[1].Detector.(*detect.MetricsTruth)
	if contained.Ratio != 0.3 || contained.Cap != 12 || truth.Counter != "calls" {
		t.Errorf("planned %+v, %+v", contained, truth)
	}
	if text := plans[0].String(); !strings.Contains(text, "cap: 12") || !strings.Contains(text, "counter: calls") {
		t.Errorf("the plan does not tell of them:\n%s", text)
	}
	if d := e.Expect[0].Detector.(*detect.Containment); d.Cap != 0 {
		t.Errorf("the experiment itself was changed: %+v", d)
	}
}
