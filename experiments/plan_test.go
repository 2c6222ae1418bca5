package experiments

import (
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
	p.Subject.Traffic.Trace = string(journal.TraceB3)
	if h := p.Header(RunInfo{}); h.TraceFormat != journal.TraceB3 {
		t.Errorf("traces are known as %q", h.TraceFormat)
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
		"a step without end": {step("{for: 2000000h, operation: {attack: {rate: 1}}}"), "a plan takes 24h0m0s at most"},
		"a wait without end": {
			step("{at: 2500000h, for: 2500000h, operation: {attack: {rate: 1}}}"), "a plan takes 24h0m0s at most",
		},
		"a recovery without end": {
			"version: 1\nname: x\ntitle: X\nrecovery: 30h\nexpect: [success]\n", "it would take 30h0m4s",
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

// What the subject says of a detector holds where the experiment says nothing
// else than the default, and is told by the plan.
func TestPlanTakesTheSubjectsDetectors(t *testing.T) {
	e := decoded(t, "version: 1\nname: x\ntitle: x\nload: {uses: http}\nmethod:\n"+
		"  - {on: http, for: 2s, fault: outage}\nexpect:\n  - containment: {ratio: 0.3}\n  - metrics_truth\n"+
		"  - containment: {ratio: 0.5}\n")
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
	if stated := plans[0].Experiment.Expect[2].Detector.(*detect.Containment); stated.Ratio != 0.4 || stated.Cap != 12 {
		t.Errorf("with the default stated: %+v", stated)
	}
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
