package catalogue

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/subject"
)

var update = flag.Bool("update", false, "write golden files")

func sample(t *testing.T) *subject.Subject {
	t.Helper()
	s, err := subject.Load("../subject/testdata/sample.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOrder holds the order to its three rules, and the files to their names.
func TestOrder(t *testing.T) {
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range all {
		if i > 0 && slices.Compare(rank(all[i-1]), rank(e)) > 0 {
			t.Errorf("%s comes before %s", all[i-1].Name, e.Name)
		}
		if want := "catalogue/" + e.Name + ".yaml"; e.File != want {
			t.Errorf("%s is in %s", e.Name, e.File)
		}
		if e.Description == "" || len(e.Labels) == 0 {
			t.Errorf("%s has no description or no label", e.Name)
		}
	}
	if first := all[0]; !slices.Contains(first.Labels, "quick") || !slices.Contains(first.Labels, "main") {
		t.Errorf("%s comes first and is not a quick one of the main job", first.Name)
	}
	if last := all[len(all)-1]; last.Processor != "low" {
		t.Errorf("%s comes last and does not go beside others", last.Name)
	}
}

// TestPlans plans every experiment for the sample subject. -update writes.
func TestPlans(t *testing.T) {
	for _, e := range All() {
		t.Run(e.Name, func(t *testing.T) {
			s := sample(t)
			if slices.Contains(e.Labels, "container") {
				s.Environment = "docker"
			}
			plans, err := experiments.NewPlan(e, s, 1)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, p := range plans {
				if p.NotApplicable != "" {
					t.Errorf("%s: %s", p.Name, p.NotApplicable)
				}
				b.WriteString(p.String())
			}
			golden := filepath.Join("testdata", e.Name+".txt")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("plan (-want +got), -update writes it:\n%s", diff)
			}
		})
	}
}

// TestNeedsNothing plans the catalogue for a service without dependencies,
// ledger, readiness or a second replica: nothing is an error.
func TestNeedsNothing(t *testing.T) {
	s, err := subject.Decode("least.yaml", []byte(`
version: 1
name: least
service: {command: [./least], ports: {http: 8080}}
traffic: {requests: [{name: root, path: /}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, e := range All() {
		plans, err := experiments.NewPlan(e, s, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plans {
			if p.NotApplicable == "" {
				tried++
			}
		}
	}
	if tried != 3 { // crash, slow-clients, debug-endpoints
		t.Errorf("%d experiments can be tried on it", tried)
	}
}

func TestEachHasOnePurpose(t *testing.T) {
	for _, e := range All() {
		n := 0
		for _, label := range e.Labels {
			if slices.Contains(purposes, label) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s has the labels %v; one of %v is needed", e.Name, e.Labels, purposes)
		}
	}
}

// TestBudget holds what is tried together on the sample subject to the time
// that it may take.
func TestBudget(t *testing.T) {
	for _, c := range []struct {
		labels []string
		most   time.Duration
	}{
		{[]string{"main"}, 7 * time.Minute},
		{[]string{"main", "behaviour"}, 15 * time.Minute},
		{[]string{"data"}, 8 * time.Minute},
		{[]string{"quick"}, 90 * time.Second},
	} {
		total := length(t, c.labels)
		t.Logf("%8v  %v", total, c.labels)
		if total > c.most {
			t.Errorf("experiments labelled %v take %v; %v at most", c.labels, total, c.most)
		}
	}
}

// length is how long the experiments with one of the labels take together. The
// environment's start and stop are bounded by 1.5 s and 0.5 s; of neighbours
// that use little of the processor, two go on at once.
func length(t *testing.T, labels []string) time.Duration {
	t.Helper()
	const environment = 2 * time.Second
	total, beside := time.Duration(0), time.Duration(0)
	for _, e := range All() {
		if !slices.ContainsFunc(labels, func(l string) bool { return slices.Contains(e.Labels, l) }) {
			continue
		}
		plans, err := experiments.NewPlan(e, sample(t), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plans {
			t.Logf("%8v  %s", p.Duration()+environment, p.Name)
			length := p.Duration() + environment
			total += max(length-beside, 0)
			if p.Experiment.Processor == "low" && beside == 0 {
				beside = length
			} else {
				beside = 0
			}
		}
	}
	return total
}

// TestMarshalCatalogue writes every experiment and reads it again.
func TestMarshalCatalogue(t *testing.T) {
	for _, e := range All() {
		b, err := experiments.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := experiments.Decode(e.Name+".yaml", b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		twice, err := experiments.Marshal(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(b), string(twice)); diff != "" {
			t.Errorf("%s (-once +twice):\n%s", e.Name, diff)
		}
	}
}

// TestSavedPlan writes the resolved experiment of every plan to a file, as a
// trial's folder holds it, and plans it again: the plan is the same.
func TestSavedPlan(t *testing.T) {
	for _, e := range All() {
		plans, err := experiments.NewPlan(e, sample(t), 5)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range plans {
			b, err := experiments.Marshal(p.Experiment)
			if err != nil {
				t.Fatal(err)
			}
			saved, err := experiments.Decode("saved.yaml", b)
			if err != nil {
				t.Fatal(err)
			}
			again, err := experiments.NewPlan(saved, sample(t), 5)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(p.String(), again[0].String()); diff != "" {
				t.Errorf("%s (-plan +planned again):\n%s", p.Name, diff)
			}
		}
	}
}
