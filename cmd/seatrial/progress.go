package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments"
	"github.com/seatrial/seatrial/experiments/report"
	"github.com/seatrial/seatrial/experiments/runner"
	"github.com/seatrial/seatrial/experiments/trial/folder"
)

// progress shows a trial while it goes on: verdicts on out as they come, and on
// live, when that is a terminal, one line that is written over and over;
// elsewhere a line for each phase.
type progress struct {
	text report.Text
	out  io.Writer
	live io.Writer

	mu       sync.Mutex
	width    int // of the terminal; zero: no terminal
	shown    bool
	total    int
	length   time.Duration // of all plans, one after the other
	settled  int
	order    []string // experiments under way
	statuses map[string]runner.Status
	phases   map[string]string
	said     string
}

func newProgress(out, live io.Writer, plans []experiments.Plan) *progress {
	var length time.Duration
	for i := range plans {
		if plans[i].NotApplicable == "" {
			length += plans[i].Duration()
		}
	}
	return &progress{
		length: length,
		text:   newText(out), out: readably(out), live: live, width: terminalWidth(live), total: len(plans),
		statuses: map[string]runner.Status{}, phases: map[string]string{},
	}
}

// readably is how text for people is written: on a terminal broken between words.
func readably(w io.Writer) io.Writer {
	if width := terminalWidth(w); width > 0 {
		return report.Wrap(w, width)
	}
	return w
}

// terminalWidth is how many characters a line of the terminal has; zero when
// it is none.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) || os.Getenv("TERM") == "dumb" {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col < 20 {
		return 80
	}
	return int(size.Col)
}

func (p *progress) began(t *folder.Trial) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "trial of %s: %s, about %s, seed %d, into %s\n\n",
		report.Clean(t.Service), plural(p.total, "experiment"), report.Span(p.length.Round(time.Second)),
		t.Seed, report.Clean(t.Dir))
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// say tells what is being prepared.
func (p *progress) say(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if what == p.said {
		return
	}
	p.said = what
	p.draw("preparing: " + what)
}

// status takes in how far a run has come.
func (p *progress) status(s runner.Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.statuses[s.Experiment]; !known {
		p.order = append(p.order, s.Experiment)
	}
	p.statuses[s.Experiment] = s
	if p.width > 0 {
		p.draw(p.liveLine())
		return
	}
	phase := fmt.Sprintf("%s %d %v", s.Phase, s.Attempt, s.Faults)
	if s.Phase != "" && p.phases[s.Experiment] != phase {
		p.phases[s.Experiment] = phase
		p.draw(statusWords(s))
	}
}

// liveLine is about the run that will take longest, and how many others there
// are beside it.
func (p *progress) liveLine() string {
	var longest runner.Status
	for i, name := range p.order {
		if s := p.statuses[name]; i == 0 || s.Left > longest.Left {
			longest = s
		}
	}
	line := fmt.Sprintf("[%d/%d] %s", p.settled+1, p.total, statusWords(longest))
	if n := len(p.order) - 1; n > 0 {
		line += fmt.Sprintf("; %d more beside it", n)
	}
	return line
}

func statusWords(s runner.Status) string {
	words := []string{s.Phase}
	if s.Doing != "" {
		words[0] += " (" + s.Doing + ")"
	}
	if len(s.Faults) > 0 {
		words = append(words, "in force: "+strings.Join(s.Faults, ", "))
	}
	if s.Rate > 0 {
		words = append(words, fmt.Sprintf("%d/s, %d errors", s.Rate, s.Errors))
	}
	if s.Left > 0 {
		words = append(words, report.Span(s.Left.Round(time.Second))+" left")
	}
	name := s.Experiment
	if s.Attempt > 1 {
		name += fmt.Sprintf(", attempt %d", s.Attempt)
	}
	return name + ": " + strings.Join(words, "; ")
}

// verdict shows a verdict as it comes.
func (p *progress) verdict(t *folder.Trial, e folder.Experiment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled++
	delete(p.statuses, e.Name)
	kept := p.order[:0]
	for _, name := range p.order {
		if name != e.Name {
			kept = append(kept, name)
		}
	}
	p.order = kept
	p.erase()
	p.text.Verdict(p.out, t.Dir, e)
	if p.width > 0 && len(p.order) > 0 {
		p.draw(p.liveLine())
	}
}

// line shows a line that stays.
func (p *progress) line(s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	fmt.Fprintln(p.live, report.Clean(s))
}

// end takes the live line away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

func (p *progress) draw(s string) {
	s = report.Clean(s)
	if p.width == 0 {
		fmt.Fprintln(p.live, s)
		return
	}
	if r := []rune(s); len(r) >= p.width {
		s = string(r[:p.width-2]) + "…"
	}
	fmt.Fprintf(p.live, "\r\x1b[K%s", s)
	p.shown = true
}

func (p *progress) erase() {
	if p.shown {
		fmt.Fprint(p.live, "\r\x1b[K")
		p.shown = false
	}
}
