package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// happening is one line of a run's chronicle.
type happening struct {
	At   journal.Instant
	On   string
	What string
	Bad  bool
}

// chronicle lists what happened in a run, without what was measured: steps,
// phases, starts and ends, the balancer's changes, the runner's own questions.
func chronicle(j journal.Journal) []happening {
	steps := j.Steps()
	lastReady := map[string]int{}
	var out []happening
	for e := range j.Entries() {
		h := happening{At: e.At, On: Clean(e.On)}
		switch b := e.Body.(type) {
		case journal.StepEvent:
			h.What, h.Bad = stepWords(steps, b), b.Phase == journal.PhaseFailed
			if b.Step >= 0 && b.Step < len(steps) {
				h.On = Clean(steps[b.Step].Target)
			}
		case journal.Poll:
			before, known := lastReady[e.On]
			if b.Endpoint != journal.Readiness || known && before == b.Code {
				continue
			}
			lastReady[e.On] = b.Code
			h.What, h.Bad = readyWords(b), b.Code != 200
		default:
			h.What, h.Bad = words(e.Body)
		}
		if h.What != "" {
			out = append(out, h)
		}
	}
	slices.SortStableFunc(out, func(a, b happening) int { return int(min(max(a.At-b.At, -1), 1)) })
	return out
}

func words(body journal.Body) (what string, bad bool) {
	switch b := body.(type) {
	case journal.Phase:
		return "phase: " + Clean(b.Name), false
	case journal.Started:
		return fmt.Sprintf("started, process %d", b.PID), false
	case journal.Exited:
		return exitWords(b), b.Asked == ""
	case journal.Signalled:
		return "was sent " + Clean(b.Signal), false
	case journal.Endpoint:
		if b.In {
			return "gets new connections: " + Clean(b.Reason), false
		}
		return "gets no new connections: " + Clean(b.Reason), false
	case journal.AgentReplaced:
		return "the agent was replaced: " + Clean(b.Reason), true
	case journal.Aborted:
		return fmt.Sprintf("aborted by %s: %s", Clean(b.By), Clean(b.Reason)), true
	case journal.Assessment:
		return fmt.Sprintf("%s asked %s: %s, %s", Clean(b.Purpose), Clean(b.Detector),
			Clean(b.Outcome), Clean(b.Reason)), b.Outcome != "held"
	case journal.Measured:
		return "measured " + quantities([]journal.Quantity{b.Quantity})[0].String(), false
	case journal.Note:
		return Clean(b.Text), false
	}
	return "", false
}

func stepWords(steps []journal.Step, e journal.StepEvent) string {
	name := fmt.Sprintf("step %d", e.Step+1)
	if e.Step >= 0 && e.Step < len(steps) {
		name = stepLabel(steps[e.Step])
	}
	switch e.Phase {
	case journal.PhaseBegin:
		return name + " is asked for"
	case journal.PhaseInForce:
		return name + " is in force"
	case journal.PhaseRevert:
		return name + " is being taken back"
	case journal.PhaseReverted:
		return name + " has been taken back"
	}
	return name + " went wrong: " + Clean(e.Error)
}

// stepLabel names a step for people: its detail, and its target.
func stepLabel(s journal.Step) string {
	label := s.Detail
	if label == "" {
		label = s.Action
	}
	if s.Target != "" && !strings.Contains(label, s.Target) {
		label += " on " + s.Target
	}
	return Clean(label)
}

func readyWords(p journal.Poll) string {
	switch {
	case p.Code == 200:
		return "says that it is ready"
	case p.Code != 0:
		return fmt.Sprintf("says that it is not ready (%d)", p.Code)
	}
	return "does not answer the readiness poll (" + Clean(p.Err) + ")"
}

func exitWords(e journal.Exited) string {
	switch {
	case e.Signal != "":
		return "ended by signal: " + Clean(e.Signal)
	default:
		return fmt.Sprintf("exit %d", e.Code)
	}
}

// logLine is one line that the service or a dependency printed.
type logLine struct {
	At       journal.Instant
	On, Text string
}

// maxLogLines is how many lines a report shows of each end of a run's log.
const maxLogLines = 60

// logLines are the first and the last lines that were printed, and how many
// there were in between.
func logLines(j journal.Journal) (first, last []logLine, between int) {
	n := 0
	for e, l := range journal.Of[journal.LogLine](j) {
		text := Clean(l.Text)
		if l.Cut {
			text += " …"
		}
		n += 1 + l.Lost
		line := logLine{e.At, Clean(e.On), text}
		if len(first) < maxLogLines {
			first = append(first, line)
			continue
		}
		if len(last) == maxLogLines {
			last = last[1:]
		}
		last = append(last, line)
	}
	return first, last, n - len(first) - len(last)
}
