package experiments

import (
	"slices"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/subject"
)

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
