package detect

import (
	"math"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/seatrial/seatrial/experiments/journal"
)

// What detectors say of recorded journals is fit to be read and compared: it has
// a figure beside its bound, a place in the journal, and a sentence in words.
func TestFindingsAreWhole(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(recorded, "*", "*-*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no recorded journals in %s: %v", recorded, err)
	}
	for _, dir := range dirs {
		kind := filepath.Base(filepath.Dir(dir))
		t.Run(kind+"/"+filepath.Base(dir), func(t *testing.T) {
			d, err := New(kind)
			if err != nil {
				t.Fatal(err)
			}
			j, err := journal.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, what := range lacks(Ask(d, j)) {
				t.Error(what)
			}
		})
	}
}

// lacks lists what a finding must have and has not.
func lacks(f Finding) []string {
	var all []string
	bounds, named := 0, map[string]bool{}
	for _, q := range f.Quantities {
		if named[q.Name] {
			all = append(all, "two quantities are called "+q.Name)
		}
		named[q.Name] = true
		bounds += one(q.Bound != nil)
		switch {
		case math.IsNaN(q.Value) || math.IsInf(q.Value, 0):
			all = append(all, "quantity "+q.Name+" is no number")
		case q.Bound == nil != (q.Op == ""):
			all = append(all, "quantity "+q.Name+" has a bound or an operator, but not both")
		case q.Unit == "" || !quantityName.MatchString(q.Name):
			all = append(all, "quantity "+q.Name+" has no unit, or no name in snake_case")
		}
	}
	if f.Outcome == Held || f.Outcome == Violated {
		if bounds == 0 {
			all = append(all, "no quantity has a bound")
		}
		if len(f.Evidence) == 0 {
			all = append(all, "there is no evidence")
		}
	}
	all = append(all, unreadable("reason", f.Reason, 20)...)
	if f.Remark != "" {
		all = append(all, unreadable("remark", f.Remark, 10)...)
	}
	for _, e := range f.Evidence {
		all = append(all, unreadable("evidence", e.Excerpt, 1)...)
		if e.Kind == "" {
			all = append(all, "evidence of no kind: "+e.Excerpt)
		}
	}
	return all
}

// quantityName allows the names of requests, replicas and dependencies at the end.
var quantityName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[A-Za-z0-9+.-]+)*$`)

// raw is how Go prints what nobody made into words.
var raw = regexp.MustCompile(`%!|\bNaN\b|<nil>|map\[|0xc0|&\{|\{\{|[{ ]\w+:\{|\(\*|\[\]string|struct \{`)

func unreadable(what, text string, least int) []string {
	var all []string
	if utf8.RuneCountInString(strings.TrimSpace(text)) < least {
		all = append(all, what+" says nothing: "+text)
	}
	if found := raw.FindString(text); found != "" {
		all = append(all, what+" has "+found+" in it: "+text)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
		all = append(all, what+" has control characters in it: "+text)
	}
	return all
}

// The test can fail.
func TestLacks(t *testing.T) {
	bare := finding("latency").held("%s", "promised: "+"%!d(string=much)")
	got := strings.Join(lacks(bare), "; ")
	for _, want := range []string{"no quantity has a bound", "no evidence", "has %! in it"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among: %s", want, got)
		}
	}
	for _, text := range []string{
		"seen NaN of many requests", "the cause was <nil>, of all causes", "red \x1b[31m letters all over",
	} {
		if len(unreadable("reason", text, 1)) == 0 {
			t.Errorf("%q passes", text)
		}
	}
}
