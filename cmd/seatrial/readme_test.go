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

// What the README shows can be copied: its files are valid, and its experiment
// finds something to break in its subject.
func TestReadme(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var subjects []*subject.Subject
	var own []experiments.Experiment
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		if strings.Contains(block[1], "\nservice:") {
			s, err := subject.Decode("seatrial.yaml", []byte(block[1]))
			if err != nil {
				t.Fatal(err)
			}
			subjects = append(subjects, s)
			continue
		}
		e, err := experiments.Decode("experiment.yaml", []byte(block[1]))
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, e)
	}
	if len(subjects) != 1 || len(own) != 1 {
		t.Fatalf("the README shows %d subjects and %d experiments", len(subjects), len(own))
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
