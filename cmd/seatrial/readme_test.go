package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial"
)

// What the README and docs/uses.md show can be copied: their files are valid, and
// their experiments find something to break in the README's subject.
func TestReadme(t *testing.T) {
	var subjects []*subject.Subject
	var own []experiments.Experiment
	for _, page := range []string{"../../README.md", "../../docs/uses.md"} {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)\n```").FindAllStringSubmatch(string(b), -1) {
			switch {
			case !strings.HasPrefix(block[1], "version:"): // a piece of a file, or one of another program
			case strings.Contains(block[1], "\nservice:"):
				s, err := subject.Decode("seatrial.yaml", []byte(block[1]))
				if err != nil {
					t.Fatal(err)
				}
				subjects = append(subjects, s)
			default:
				e, err := experiments.Decode("experiment.yaml", []byte(block[1]))
				if err != nil {
					t.Fatal(err)
				}
				own = append(own, e)
			}
		}
	}
	if len(subjects) != 1 || len(own) != 3 {
		t.Fatalf("there are %d subjects and %d experiments, want 1 and 3", len(subjects), len(own))
	}
	plans, err := trial.Plans(own, subjects[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plans {
		if p.NotApplicable != "" {
			t.Errorf("%s: %s", p.Name, p.NotApplicable)
		}
	}
}
