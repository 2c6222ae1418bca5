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
		"clean":  func(v any) string { return Clean(fmt.Sprint(v)) },
		"class":  func(v any) string { return slug(fmt.Sprint(v)) },
		"join":   func(s []string) string { return Clean(strings.Join(s, ", ")) },
		"span":   Span,
		"called": func(v verdictView) string { return Clean(called(v.Experiment)) },
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
	Findings   []findingView // where there are several attempts
	Chart      template.HTML
	Lanes      bool
	Steps      []stepView
	Chronicle  []happening
	Log        []logLine
	LogEnd     []logLine
	LogBetween int
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
	for i, run := range e.Runs {
		v.Runs = append(v.Runs, newRunView(t, e, v.ID, i+1, run, open))
	}
	for _, f := range e.Verdict.Findings {
		v.Findings = append(v.Findings, viewFinding(f, runID(v.ID, sourceOf(e, f))))
	}
	return v
}

// runID is the HTML id of an attempt; empty for attempt 0, which there is not.
func runID(experiment string, attempt int) string {
	if attempt == 0 {
		return ""
	}
	return fmt.Sprintf("%s-run-%d", experiment, attempt)
}

func newRunView(t *folder.Trial, e folder.Experiment, id string, n int, run string, open Opener) runView {
	r := runView{Number: n, ID: runID(id, n), Folder: Clean(run)}
	var evidence []detect.Evidence
	if a := attemptOf(e, n); a != nil {
		r.Outcome, r.Reason = a.Outcome, a.Reason
		for _, f := range a.Findings {
			evidence = append(evidence, f.Evidence...)
			if len(e.Runs) > 1 {
				r.Findings = append(r.Findings, viewFinding(f, r.ID))
			}
		}
		for _, g := range a.Guards {
			evidence = append(evidence, g.Evidence...)
			r.Guards = append(r.Guards, viewFinding(g, r.ID))
		}
	}
	r.fill(filepath.Join(t.Dir, filepath.FromSlash(run)), evidence, open)
	return r
}

// viewFinding shows a finding; its evidence leads into the timeline of the run
// with that id, where there is one.
func viewFinding(f detect.Finding, run string) findingView {
	v := findingView{Finding: f, Figures: quantities(f.Quantities)}
	for _, e := range f.Evidence {
		point := evidenceView{At: e.At.String(), Kind: Clean(e.Kind), On: Clean(e.On), Excerpt: Clean(e.Excerpt)}
		if run != "" {
			point.Link = "#" + markID(run, e.At)
		}
		v.Points = append(v.Points, point)
	}
	return v
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
