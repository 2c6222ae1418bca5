package experiments

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/yamlfile"
	"github.com/seatrial/seatrial/experiments/yamlfile/yamlfiletest"
)

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

func step(text string, expect ...string) string {
	if len(expect) == 0 {
		expect = []string{"success"}
	}
	return "version: 1\nname: x\ntitle: X\nmethod:\n  - " + text + "\nexpect: [" + strings.Join(expect, ", ") + "]\n"
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
