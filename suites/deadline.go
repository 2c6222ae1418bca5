package suites

import (
	"flag"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/seatrial/seatrial/experiments"
)

// What a trial takes beside the time that its plans state.
const (
	preparing = 30 * time.Second // to build the service and to make the database's template
	perRun    = 5 * time.Second  // to start and stop an environment, and to judge
)

// needs is how long the chosen plans take, an attempt each, and a second one
// for a third of them. Zero when none is to be tried.
func (s *sea) needs(chosen func(*experiments.Plan) bool) time.Duration {
	total := time.Duration(0)
	for i := range s.plans {
		if p := &s.plans[i]; p.NotApplicable == "" && chosen(p) {
			total += p.Duration() + perRun
		}
	}
	if total == 0 {
		return 0
	}
	if s.options.attempts > 1 {
		total += total / 3
	}
	return preparing + total
}

// near says that a deadline is too near for what is needed, and which timeout
// is needed. Otherwise it notes until when the trial may wait for its turn.
func (s *sea) near(deadline time.Time, has bool, need time.Duration) error {
	if !has {
		return nil
	}
	if time.Until(deadline) >= need {
		s.startBy = deadline.Add(-need)
		return nil
	}
	spent := max(time.Since(processBegan), 0)
	return fmt.Errorf("the test's deadline is %v away and the trial of %s needs %v: run go test with -timeout %v or more",
		time.Until(deadline).Round(time.Second), s.subject.Name, need.Round(time.Second), minutes(spent+need))
}

// minutes rounds up to a whole number of minutes, with some to spare.
func minutes(d time.Duration) string {
	return fmt.Sprintf("%dm", int((d+90*time.Second)/time.Minute))
}

// processBegan is when this test binary was started, nearly enough.
var processBegan = time.Now()

// suiteDeadline is when Ginkgo's own timeout, or go test's, ends the suite.
func suiteDeadline() (deadline time.Time, has bool) {
	suite, _ := ginkgo.GinkgoConfiguration()
	limit := suite.Timeout
	if f := flag.Lookup("test.timeout"); f != nil {
		if g, ok := f.Value.(flag.Getter); ok {
			if d, ok := g.Get().(time.Duration); ok && d > 0 && (limit == 0 || d < limit) {
				limit = d
			}
		}
	}
	return processBegan.Add(limit), limit > 0
}

// runMatches reports whether -run lets a subtest of this full name run, as
// package testing decides it. What cannot be told is taken to run, and so is
// what -skip names.
func runMatches(pattern, name string) bool {
	parts := strings.Split(name, "/")
	for _, alternative := range splitOutside(pattern, '|') {
		matches := true
		for i, element := range splitOutside(alternative, '/') {
			if i >= len(parts) || !matches {
				break
			}
			re, err := regexp.Compile(element)
			matches = err != nil || re.MatchString(parts[i])
		}
		if matches {
			return true
		}
	}
	return false
}

// splitOutside splits at a separator that is neither in brackets nor in
// parentheses.
func splitOutside(s string, sep byte) []string {
	var parts []string
	brackets, parentheses, from := 0, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '[':
			brackets++
		case c == ']':
			brackets = max(brackets-1, 0)
		case c == '(' && brackets == 0:
			parentheses++
		case c == ')' && brackets == 0:
			parentheses--
		case c == sep && brackets == 0 && parentheses == 0:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	return append(parts, s[from:])
}

// selection is what Ginkgo's filters leave of specs within some containers.
type selection struct {
	config types.SuiteConfig
	texts  []string // of the containers around
	labels []string
}

// selectionAround takes the containers around from a spec that lies deeper by
// inner containers.
func selectionAround(spec types.SpecReport, inner int) selection {
	config, _ := ginkgo.GinkgoConfiguration()
	s := selection{config: config}
	outer := max(len(spec.ContainerHierarchyTexts)-inner, 0)
	s.texts = spec.ContainerHierarchyTexts[:outer]
	for _, labels := range spec.ContainerHierarchyLabels[:min(outer, len(spec.ContainerHierarchyLabels))] {
		s.labels = append(s.labels, labels...)
	}
	return s
}

// keeps reports whether the filters keep a spec. What cannot be told is kept.
func (s selection) keeps(labels []string, texts ...string) bool {
	if s.config.LabelFilter != "" {
		filter, err := types.ParseLabelFilter(s.config.LabelFilter)
		if err == nil && !filter(append(append([]string{}, s.labels...), labels...)) {
			return false
		}
	}
	text := strings.Join(append(append([]string{}, s.texts...), texts...), " ")
	if len(s.config.FocusStrings) > 0 && !anyMatches(s.config.FocusStrings, text, true) {
		return false
	}
	return !anyMatches(s.config.SkipStrings, text, false)
}

func anyMatches(patterns []string, text string, broken bool) bool {
	for _, pattern := range patterns {
		re, err := regexp.Compile(pattern)
		if err != nil && broken || err == nil && re.MatchString(text) {
			return true
		}
	}
	return false
}
