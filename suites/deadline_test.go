package suites

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

func TestRunMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "TestSea/http-slow/payments", true},
		{"TestSea", "TestSea/http-slow/payments", true},
		{"TestSea/http-slow", "TestSea/http-slow/payments", true},
		{"TestSea/http-slow/payments/success", "TestSea/http-slow/payments", true},
		{"TestSea/http-down", "TestSea/http-slow/payments", false},
		{"TestSea/http-slow/fees", "TestSea/http-slow/payments", false},
		{"TestSea/(http-down|http-slow)", "TestSea/http-slow/payments", true},
		{"TestOther|TestSea/crash", "TestSea/crash", true},
		{"TestOther|TestSea/crash", "TestSea/http-slow/payments", false},
		{"TestSea/[a/]rash", "TestSea/crash", false},
		{"TestSea/[c/]rash", "TestSea/crash", true},
		{`TestSea/http\-slow`, "TestSea/http-slow/payments", true},
		{"TestSea/(", "TestSea/crash", true},
	} {
		if got := runMatches(c.pattern, c.name); got != c.want {
			t.Errorf("-run %s lets %s run: %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}

func TestSelectionKeeps(t *testing.T) {
	around := types.SpecReport{
		ContainerHierarchyTexts:  []string{"ours", "orders", "http-slow"},
		ContainerHierarchyLabels: [][]string{{"nightly"}, {}, {"quick"}},
	}
	for _, c := range []struct {
		config types.SuiteConfig
		want   bool
	}{
		{types.SuiteConfig{}, true},
		{types.SuiteConfig{LabelFilter: "quick"}, true},
		{types.SuiteConfig{LabelFilter: "quick && nightly && 3.6"}, true},
		{types.SuiteConfig{LabelFilter: "!quick"}, false},
		{types.SuiteConfig{LabelFilter: "((("}, true},
		{types.SuiteConfig{FocusStrings: []string{"nothing", "ours orders http-slow.*recovery"}}, true},
		{types.SuiteConfig{FocusStrings: []string{"crash"}}, false},
		{types.SuiteConfig{FocusStrings: []string{"("}}, true},
		{types.SuiteConfig{SkipStrings: []string{"http-"}}, false},
		{types.SuiteConfig{SkipStrings: []string{"crash"}}, true},
	} {
		s := selectionAround(around, containers)
		s.config = c.config
		if got := s.keeps([]string{"quick", "3.6"}, "orders", "http-slow", "recovery: soon"); got != c.want {
			t.Errorf("labels %q, focus %q, skip %q keep it: %v, want %v",
				c.config.LabelFilter, c.config.FocusStrings, c.config.SkipStrings, got, c.want)
		}
	}
}

func TestNeeds(t *testing.T) {
	s := &sea{
		subject: &subject.Subject{Name: "prices"}, options: options{attempts: 3},
		plans: []experiments.Plan{
			{Name: "a", MethodFor: 10 * time.Second},
			{Name: "b", MethodFor: 70 * time.Second},
			{Name: "c", MethodFor: time.Hour, NotApplicable: "no database"},
		},
	}
	a := s.needs(func(p *experiments.Plan) bool { return p.Name == "a" })
	if want := preparing + 20*time.Second; a != want {
		t.Errorf("a needs %v, want %v", a, want)
	}
	if got := s.needs(func(p *experiments.Plan) bool { return p.Name == "c" }); got != 0 {
		t.Errorf("what is not applicable needs %v", got)
	}
	all := s.needs(func(*experiments.Plan) bool { return true })
	if err := s.near(time.Now().Add(all+time.Second), true, all); err != nil {
		t.Error(err)
	}
	if err := s.near(time.Time{}, false, all); err != nil {
		t.Error(err)
	}
	err := s.near(time.Now().Add(time.Minute), true, all)
	if err == nil || !strings.Contains(err.Error(), "needs 2m30s: run go test with -timeout 4m or more") {
		t.Errorf("a minute is answered with: %v", err)
	}
}

// TestUndecided writes out what a service that could not be started has printed.
func TestUndecided(t *testing.T) {
	s := &sea{subject: &subject.Subject{File: "/srv/seatrial.yaml"}, options: options{seed: 7}}
	got := s.undecided(folder.Experiment{Name: "crash", Verdict: experiments.Verdict{
		Outcome: experiments.Error, Reason: "it printed last: \x1b[31mred\nand more",
	}})
	want := "crash error: it printed last: \\x1b[31mred\nand more\n" +
		"seed: 7; the same again: seatrial run crash -f /srv/seatrial.yaml --seed 7\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	for n, bad := range map[int]bool{0: true, 1: false, 3: false, 4: true} {
		_, err := newSea("no-such.yaml", []Option{Attempts(n)})
		if errors.Is(err, fs.ErrNotExist) == bad || bad && !strings.Contains(err.Error(), "it must be 1 to 3") {
			t.Errorf("%d is answered with: %v", n, err)
		}
	}
}

func TestWithin(t *testing.T) {
	root := filepath.Join("/", "module")
	for dir, want := range map[string]bool{
		"/module": true, "/module/runs": true, "/module/..runs": true, "/modules": false, "/": false, "/tmp": false,
	} {
		if got := within(root, filepath.FromSlash(dir)); got != want {
			t.Errorf("%s is within %s: %v, want %v", dir, root, got, want)
		}
	}
}
