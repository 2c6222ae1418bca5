package report

import (
	"bytes"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/jstemmer/go-junit-report/v2/junit"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); -update writes it:\n%s", path, diff)
	}
}

func TestSummaryGolden(t *testing.T) {
	var b bytes.Buffer
	Text{}.Write(&b, sampleTrial())
	golden(t, "summary.golden", b.Bytes())
}

func TestColorOnlyAddsEscapes(t *testing.T) {
	var plain, colored bytes.Buffer
	Text{}.Write(&plain, sampleTrial())
	Text{Color: true}.Write(&colored, sampleTrial())
	stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored.String(), "")
	if diff := cmp.Diff(plain.String(), stripped); diff != "" {
		t.Errorf("colour changes the text (-plain +coloured):\n%s", diff)
	}
	if !strings.Contains(colored.String(), "\x1b[31m✗") {
		t.Error("a failure is not red")
	}
}

func TestJUnitGolden(t *testing.T) {
	var b bytes.Buffer
	if err := JUnit(&b, sampleTrial()); err != nil {
		t.Fatal(err)
	}
	golden(t, "junit.golden.xml", b.Bytes())
	var read junit.Testsuites
	if err := xml.Unmarshal(b.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{"tests": read.Tests, "failures": read.Failures, "errors": read.Errors, "skipped": read.Skipped}
	want := map[string]int{"tests": 7, "failures": 1, "errors": 1, "skipped": 3}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestJUnitSaysWhatStoppedATrial(t *testing.T) {
	untried := []folder.Experiment{{Name: "crash", Title: "Two deaths"}}
	killed := &folder.Trial{Experiments: []folder.Experiment{{Name: "crash", Runs: []string{"crash/1"}}}}
	var killedText bytes.Buffer
	Text{}.Write(&killedText, killed)
	if !strings.Contains(killedText.String(), "! unfinished     crash") {
		t.Errorf("what was not finished is not told:\n%s", &killedText)
	}
	for want, trial := range map[string]*folder.Trial{
		"no Go files":  {Error: "build service: ./cmd/orders: no Go files", Experiments: untried},
		"did not come": {Experiments: untried},
	} {
		var b, text bytes.Buffer
		if err := JUnit(&b, trial); err != nil {
			t.Fatal(err)
		}
		var read junit.Testsuites
		if err := xml.Unmarshal(b.Bytes(), &read); err != nil {
			t.Fatal(err)
		}
		if read.Errors != 1 || read.Skipped != 1 ||
			!strings.Contains(read.Suites[1].Testcases[0].Error.Message, want) {
			t.Errorf("the error %q is not in it: %+v", want, read)
		}
		Text{}.Write(&text, trial)
		if !strings.Contains(text.String(), "- not run        crash") {
			t.Errorf("what was not run is not told:\n%s", &text)
		}
		if strings.Contains(text.String(), "checklist") {
			t.Errorf("the checklist is told of where nothing was run:\n%s", &text)
		}
	}
}

func renderSample(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, sampleTrial(), openSample); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHTML(t *testing.T) {
	html := renderSample(t)
	if out := os.Getenv("SEATRIAL_REPORT_OUT"); out != "" {
		if err := os.WriteFile(out, []byte(html), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"Sea trial of orders", "http-hangs/payments", "There is no timeline: open journal: there is none",
		"nothing was recorded", "hang every call on payments", "Calls that payments received",
		"of them repeated attempts", "idle in a transaction", "The service&#39;s own view of its pool",
		"Resident memory", "exit 0", "answer_max <b>8.02s</b> · bound ≤ 5.5s · 240 samples",
		"Every outbound HTTP call has a timeout",
	} {
		if !strings.Contains(html, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, evil := range []string{"<script", "\x1b", "<b>listen", "http://", "https://", "#0102"} {
		body := strings.ReplaceAll(html, "http://www.w3.org/", "")
		if strings.Contains(body, evil) {
			t.Errorf("the report contains %q", evil)
		}
	}
}

func TestEveryEvidenceLinkLeadsToAMark(t *testing.T) {
	html := renderSample(t)
	links := regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(html, -1)
	ids := map[string]int{}
	for _, id := range regexp.MustCompile(`\bid="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		ids[id[1]]++
	}
	toMarks := 0
	for _, l := range links {
		if ids[l[1]] != 1 {
			t.Errorf("%d elements have the id %q, want 1", ids[l[1]], l[1])
		}
		if strings.Contains(l[1], "-at-") {
			toMarks++
		}
	}
	if toMarks != 6 { // two pieces of evidence in the verdict, and again in both attempts
		t.Errorf("%d links lead to marks, want 6", toMarks)
	}
}

func TestScorecard(t *testing.T) {
	card := NewScorecard(sampleTrial())
	if card.Total() != 75 || len(card.Gate) != 6 {
		t.Fatalf("%d items and a gate of %d, want 75 and 6", card.Total(), len(card.Gate))
	}
	got := map[string]State{}
	for _, c := range card.Chapters {
		for _, r := range c.Rows {
			if r.State != NotShown {
				got[r.ID] = r.State
			}
		}
	}
	want := map[string]State{
		"3.2": ShownViolated, "3.3": ShownUnknown, "3.5": ShownUnknown, "3.6": ShownPartly, "8.4": ShownUnknown,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

func TestScorecardHeldInPart(t *testing.T) {
	trial := &folder.Trial{Experiments: []folder.Experiment{{Verdict: experiments.Verdict{
		Outcome: experiments.Passed,
		Findings: []detect.Finding{
			{Checklist: []string{"3.3"}, Outcome: detect.Held}, {Checklist: []string{"3.3"}, Outcome: detect.Unknown},
		},
	}}}}
	if card := NewScorecard(trial); card.Count(ShownPartly) != 1 || card.Count(ShownHeld) != 0 {
		t.Errorf("held beside unknown is %d partly, %d held; want 1 and 0", card.Count(ShownPartly), card.Count(ShownHeld))
	}
}

func TestCleanLines(t *testing.T) {
	got := CleanLines("seatrial.yaml:3:\n\tname: \x1b[2J\n")
	if want := "seatrial.yaml:3:\n    name: \\x1b[2J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain → ü 日本":      "plain → ü 日本",
		"\x1b[2Jgone":       `\x1b[2Jgone`,
		"a\u202eb":          `a\u202eb`,
		"one\ntwo\tthree":   "one two three",
		"\xff\x9b31m":       `\xff\x9b31m`,
		"\u009b31m":         `\x9b31m`,
		"zero\u200bwidth":   `zero\u200bwidth`,
		"\U000e0041 \x00":   `\ue0041 \x00`,
		"nbsp\u00a0remains": "nbsp\u00a0remains",
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFigure(t *testing.T) {
	for _, c := range []struct {
		name  string
		value float64
		unit  string
		want  string
	}{
		{"p99", 1.2345, "s", "1.23s"},
		{"p99", 0.0123456, "s", "12.3ms"},
		{"p99", 0.00000012, "s", "0s"},
		{"took", 192.4, "s", "3m12s"},
		{"ratio", 0.9987, "1", "99.87%"},
		{"attempts_max", 4, "1", "4"},
		{"goodput", 48.12345, "1/s", "48.12/s"},
		{"rss", 12 << 20, "bytes", "12.0 MiB"},
		{"heat", 3, "K\x1b", `3 K\x1b`},
	} {
		if got := Figure(c.name, c.value, c.unit); got != c.want {
			t.Errorf("Figure(%s, %v, %q) = %q, want %q", c.name, c.value, c.unit, got, c.want)
		}
	}
}

// FuzzNothingEscapes puts what a service might print into every field that can
// carry it, and looks for a way out in each report.
func FuzzNothingEscapes(f *testing.F) {
	for _, s := range []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "\x1b[2J\x1b]0;owned\a", "]]></failure>",
		"\u202egnp.exe", "javascript:alert(1)", "</style><script>", "{{.}}", "\xff\xfe", "'-->", "\u2028",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		trial := hostileTrial(s)
		open := func(string) (journal.Journal, error) { return hostileJournal(s), nil }
		var text, html, xmlText bytes.Buffer
		Text{Verbose: true}.Write(&text, trial)
		for _, r := range text.String() {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Fatalf("the terminal gets %U from %q", r, s)
			}
		}
		if err := JUnit(&xmlText, trial); err != nil {
			t.Fatal(err)
		}
		var read junit.Testsuites
		if err := xml.Unmarshal(xmlText.Bytes(), &read); err != nil {
			t.Fatalf("%q breaks junit.xml: %v", s, err)
		}
		if read.Tests != 2 {
			t.Fatalf("%q makes %d test cases of 2", s, read.Tests)
		}
		if err := HTML(&html, trial, open); err != nil {
			t.Fatal(err)
		}
		sameSkeleton(t, s, html.String())
	})
}

var (
	tagOf  = regexp.MustCompile(`<[^>]*>`)
	nameOf = regexp.MustCompile(`^</?[a-zA-Z!]+`)
)

// sameSkeleton fails when the page's elements differ from those of a page with
// harmless text, or when an attribute has grown out of its quotes.
func sameSkeleton(t *testing.T, s, html string) {
	t.Helper()
	for _, tag := range tagOf.FindAllString(html, -1) {
		name := strings.ToLower(strings.Trim(nameOf.FindString(tag), "</"))
		switch name {
		case "script", "img", "iframe", "object", "embed", "link", "base", "form", "foreignobject":
			t.Fatalf("%q brings the element %s into the page", s, tag)
		}
		bare := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(tag, "")
		if regexp.MustCompile(`(?i)\son[a-z]+\s*=`).MatchString(bare) {
			t.Fatalf("%q brings a handler into the page: %s", s, tag)
		}
	}
	if strings.Contains(html, "javascript:") && regexp.MustCompile(`(?i)(href|src)="?\s*javascript:`).MatchString(html) {
		t.Fatalf("%q becomes a link", s)
	}
	for _, r := range html {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			t.Fatalf("%q brings %U into the page", s, r)
		}
	}
}

func hostileTrial(s string) *folder.Trial {
	found := []detect.Finding{{
		Detector: s, Checklist: []string{s}, Outcome: detect.Violated, Reason: s, Remark: s,
		Quantities: []journal.Quantity{{Name: s, Value: 1, Unit: s, Bound: bound(0), Op: s}},
		Evidence:   []detect.Evidence{{At: 1, Kind: s, On: s, Excerpt: s}},
	}}
	return &folder.Trial{
		ID: s, Service: s, SubjectFile: "x/" + s, Environment: s, Error: "an error: " + s, Versions: map[string]string{s: s},
		Dir:      "d",
		Promises: journal.Promises{Drain: s}, Defaults: []string{"drain"},
		Experiments: []folder.Experiment{{
			Name: s, Title: s, Description: s, Target: s, Runs: []string{"r/1"},
			Verdict: experiments.Verdict{
				Outcome: experiments.Failed, Reason: s, Findings: found,
				Attempts: []experiments.Attempt{{
					Number: 1, Outcome: experiments.Failed, Reason: s, Findings: found, Guards: found,
				}},
			},
		}},
	}
}

func hostileJournal(s string) journal.Journal {
	m := journal.NewMemory(journal.Header{
		Replicas: []string{s}, Method: []journal.PlannedStep{{Name: s, Action: s, Class: s, Detail: s, Target: s}},
	})
	for i, b := range []journal.Body{
		journal.StepEvent{Phase: journal.PhaseInForce},
		journal.StepEvent{Phase: journal.PhaseFailed, Error: s},
		journal.LogLine{Text: s},
		journal.Note{Text: s},
		journal.Exited{Signal: s},
		journal.Signalled{Signal: s},
		journal.Call{Path: s, RequestID: s},
		journal.Activity{},
		journal.ProcessSample{RSSBytes: 1},
		journal.Phase{Name: s},
		journal.Poll{Endpoint: journal.Readiness, Err: s},
		journal.Endpoint{Reason: s},
		journal.Aborted{By: s, Reason: s},
		journal.Assessment{Purpose: s, Detector: s, Outcome: s, Reason: s},
		journal.Measured{Quantity: journal.Quantity{Name: s, Unit: s}},
		journal.AgentReplaced{Reason: s},
	} {
		m.Record(journal.Entry{At: journal.Instant(i+1) * second, On: s, Body: b})
	}
	return m
}
