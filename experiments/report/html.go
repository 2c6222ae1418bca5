package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

//go:embed report.html.tmpl
var pageText string

//go:embed style.css
var styleText string

var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("report").Funcs(template.FuncMap{
		"clean": func(v any) string { return Clean(fmt.Sprint(v)) },
		"class": func(v any) string { return slug(fmt.Sprint(v)) },
		"join":  func(s []string) string { return Clean(strings.Join(s, ", ")) },
		"span":  Span,
	}).Parse(pageText))
})

// Opener opens the journal of a run's folder.
type Opener func(dir string) (journal.Journal, error)

// OpenSaved is the [Opener] of journals on disk.
func OpenSaved(dir string) (journal.Journal, error) {
	j, err := journal.Open(dir)
	if err != nil {
		return nil, err
	}
	return j, nil
}

// HTML writes a trial as one page that needs nothing else: no network, no
// script. A run whose journal cannot be read is shown with the reason.
func HTML(w io.Writer, t *folder.Trial, open Opener) error {
	view := newView(t, open)
	if err := page().Execute(w, view); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

type view struct {
	Trial    *folder.Trial
	Style    template.CSS
	Outcome  string
	Error    string
	Took     string
	Started  string
	Counts   []count
	Card     Scorecard
	Tiles    []stateCount
	Promises []promise
	Versions []fact
	Verdicts []verdictView
	Sentence string
}

type stateCount struct {
	State State
	N     int
}

type fact struct{ Name, Value string }

type verdictView struct {
	folder.Experiment
	ID       string
	Open     bool
	Findings []findingView
	Runs     []runView
}

type findingView struct {
	detect.Finding
	Figures []quantity
	Points  []evidenceView
}

type evidenceView struct {
	At, Kind, On, Excerpt string
	Link                  string
}

type runView struct {
	Number     int
	ID         string
	Folder     string
	Error      string // why there is no timeline
	Outcome    experiments.Outcome
	Reason     string
	Guards     []findingView
	Findings   []findingView // of attempts that did not decide
	Chart      template.HTML
	Lanes      bool
	Steps      []stepView
	Chronicle  []happening
	Log        []logLine
	LogEnd     []logLine
	LogBetween int
	Deciding   bool
}

type stepView struct {
	Label, Class, From, To, Error string
}

func newView(t *folder.Trial, open Opener) view {
	card := NewScorecard(t)
	v := view{
		Trial: t, Style: template.CSS(styleText), //nolint:gosec // our own file
		Outcome: string(t.Outcome), Counts: tally(t), Card: card, Sentence: card.Sentence(),
		Promises: promises(t.Promises, t.Defaults), Error: Clean(t.Error),
		Started: t.Started.UTC().Format("2 January 2006, 15:04:05 MST"),
	}
	if v.Outcome == "" {
		v.Outcome = "unfinished"
	}
	if d := trialTook(t); d > 0 {
		v.Took = Span(d)
	}
	for _, s := range States() {
		v.Tiles = append(v.Tiles, stateCount{s, card.Count(s)})
	}
	for _, name := range slices.Sorted(maps.Keys(t.Versions)) {
		v.Versions = append(v.Versions, fact{Clean(name), Clean(t.Versions[name])})
	}
	for i := range t.Experiments {
		v.Verdicts = append(v.Verdicts, newVerdictView(t, i, open))
	}
	return v
}

func newVerdictView(t *folder.Trial, i int, open Opener) verdictView {
	e := t.Experiments[i]
	v := verdictView{Experiment: e, ID: fmt.Sprintf("%s-%d", slug(e.Name), i+1)}
	o := e.Verdict.Outcome
	v.Open = o != experiments.Passed && o != experiments.NotTried
	deciding := decidingAttempt(e)
	decidingID := ""
	for i, run := range e.Runs {
		r := runView{Number: i + 1, ID: fmt.Sprintf("%s-%d", v.ID, i+1), Folder: Clean(filepath.ToSlash(run))}
		attempt := attemptOf(e, i+1)
		if attempt != nil {
			r.Outcome, r.Reason = attempt.Outcome, attempt.Reason
			r.Deciding = attempt == deciding
			r.Guards = viewFindings(attempt.Guards, r.ID)
			if !r.Deciding {
				r.Findings = viewFindings(attempt.Findings, r.ID)
			}
		}
		if r.Deciding {
			decidingID = r.ID
		}
		r.fill(filepath.Join(t.Dir, run), evidenceOf(e, attempt, r.Deciding), open)
		v.Runs = append(v.Runs, r)
	}
	v.Findings = viewFindings(e.Verdict.Findings, decidingID)
	return v
}

func attemptOf(e folder.Experiment, number int) *experiments.Attempt {
	for i := range e.Verdict.Attempts {
		if e.Verdict.Attempts[i].Number == number {
			return &e.Verdict.Attempts[i]
		}
	}
	return nil
}

// evidenceOf is all evidence that points into one attempt's journal.
func evidenceOf(e folder.Experiment, a *experiments.Attempt, deciding bool) []detect.Evidence {
	var out []detect.Evidence
	collect := func(fs []detect.Finding) {
		for _, f := range fs {
			out = append(out, f.Evidence...)
		}
	}
	if a != nil {
		collect(a.Guards)
		collect(a.Findings)
	}
	if deciding {
		collect(e.Verdict.Findings)
	}
	return out
}

func viewFindings(fs []detect.Finding, runID string) []findingView {
	out := make([]findingView, 0, len(fs))
	for _, f := range fs {
		v := findingView{Finding: f, Figures: quantities(f.Quantities)}
		for _, e := range f.Evidence {
			point := evidenceView{At: e.At.String(), Kind: Clean(e.Kind), On: Clean(e.On), Excerpt: Clean(e.Excerpt)}
			if runID != "" {
				point.Link = "#" + markID(runID, e.At)
			}
			v.Points = append(v.Points, point)
		}
		out = append(out, v)
	}
	return out
}

func markID(run string, at journal.Instant) string {
	return fmt.Sprintf("%s-at-%d", run, at.Duration().Milliseconds())
}

// fill reads the run's journal and draws it.
func (r *runView) fill(dir string, evidence []detect.Evidence, open Opener) {
	j, err := open(dir)
	if err != nil {
		r.Error = Clean(err.Error())
		return
	}
	length := runLength(j)
	if length == 0 {
		r.Error = "nothing was recorded"
		return
	}
	t := newTimeline(j, length)
	t.addMarks(r.ID, evidence)
	r.Lanes = len(t.lanes) > 0
	r.Chart = t.SVG()
	r.Chronicle = chronicle(j)
	r.Log, r.LogEnd, r.LogBetween = logLines(j)
	for _, s := range j.Steps() {
		r.Steps = append(r.Steps, viewStep(s))
	}
}

func newTimeline(j journal.Journal, length time.Duration) timeline {
	b := newBuckets(length)
	t := timeline{end: length.Seconds(), lanes: replicaLanes(j, length.Seconds())}
	for _, s := range j.Steps() {
		w, ok := s.Window()
		if !ok {
			continue
		}
		to := t.end
		if w.To != 0 {
			to = w.To.Duration().Seconds()
		}
		t.spans = append(t.spans, span{w.From.Duration().Seconds(), to, stepLabel(s)})
	}
	for _, panels := range [][]panel{
		loadPanels(j, b), callPanels(j, b), backendPanels(j), poolPanel(j, b), processPanels(j),
	} {
		t.panels = append(t.panels, panels...)
	}
	return t
}

func (t *timeline) addMarks(runID string, evidence []detect.Evidence) {
	seen := map[string]bool{}
	for _, e := range evidence {
		id := markID(runID, e.At)
		if seen[id] {
			continue
		}
		seen[id] = true
		t.marks = append(t.marks, mark{e.At.Duration().Seconds(), id, evidenceLine(e)})
	}
}

func viewStep(s journal.Step) stepView {
	v := stepView{Label: stepLabel(s), Class: Clean(s.Class), Error: Clean(s.Error)}
	if w, ok := s.Window(); ok {
		v.From = w.From.String()
		if w.To != 0 {
			v.To = w.To.String()
		}
	}
	return v
}

// slug makes a name usable as an HTML id and class.
func slug(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, s)
}
