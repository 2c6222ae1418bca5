package detect

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// unansweredInARow is how many health questions in a row may go without an
// answer before the endpoint counts as failed: Kubernetes' failure threshold.
const unansweredInARow = 3

// pollOf is one poll of a health endpoint.
type pollOf struct {
	journal.Entry
	journal.Poll
}

// pollsBySending are the polls of an endpoint in the order in which they were
// sent: they overlap, and are recorded when they end.
func pollsBySending(j journal.Journal, endpoint string) []pollOf {
	var all []pollOf
	for e, p := range journal.Of[journal.Poll](j) {
		if p.Endpoint == endpoint {
			all = append(all, pollOf{e, p})
		}
	}
	slices.SortStableFunc(all, func(a, b pollOf) int { return cmp.Compare(a.At, b.At) })
	return all
}

// questions are those that a health endpoint of all replicas was asked in a run.
type questions struct {
	polls    []pollOf // by sending
	replicas []string
	down     map[string][]journal.Window // when a replica cannot be asked to answer
}

func questionsTo(j journal.Journal, endpoint string) questions {
	return questions{pollsBySending(j, endpoint), j.Header().Replicas, downtimes(j, endpoint)}
}

// unaskedMost is the longest time without a question to a replica that is up: there
// should be twenty or more in it.
const unaskedMost = 2 * time.Second

// unasked is for how long in some windows a replica that was up was not asked, at
// the longest, and which.
func (q questions) unasked(windows []journal.Window) (gap time.Duration, replica string) {
	asked := map[string][]journal.Instant{}
	for _, p := range q.polls {
		asked[p.On] = append(asked[p.On], p.At)
	}
	for _, r := range q.replicas {
		for _, w := range windows {
			if g := longestGap(asked[r], w, q.down[r]); g > gap {
				gap, replica = g, r
			}
		}
	}
	return gap, replica
}

// longestGap is the longest time in a window without one of some instants, but
// for those gaps that something else explains. Before the first and after the last
// it is counted only where the window begins or ends there.
func longestGap(instants []journal.Instant, w journal.Window, but []journal.Window) (gap time.Duration) {
	last := w.From
	end := func(at journal.Instant) {
		explained := slices.ContainsFunc(but, func(b journal.Window) bool {
			return b.From < at && (b.To == 0 || b.To > last)
		})
		if last != 0 && !explained {
			gap = max(gap, at.Sub(last))
		}
		last = at
	}
	for _, at := range instants {
		if w.Contains(at) {
			end(at)
		}
	}
	if w.To != 0 {
		end(w.To)
	}
	return gap
}

// health is what one health endpoint of all replicas answered in some windows.
type health struct {
	polls      int
	refused    int // answered, but not with 200
	unanswered int
	row        int // most unanswered ones in a row on one replica
	took       latencies
	// firstRefused, firstUnanswered and slowest are evidence; empty without.
	firstRefused, firstUnanswered, slowest Evidence
}

// health collects the polls that were sent in the windows. Polls of a replica
// that had been told to stop, or was not yet up again, say nothing of its health
// and are left out.
func (q questions) health(windows []journal.Window) health {
	h := health{took: newLatencies()}
	rows := map[string]int{}
	for _, p := range q.polls {
		in := func(w journal.Window) bool { return w.Contains(p.At) }
		if !slices.ContainsFunc(windows, in) || slices.ContainsFunc(q.down[p.On], in) {
			continue
		}
		h.polls++
		h.count(p.Entry, p.Poll, rows)
	}
	return h
}

func (h *health) count(e journal.Entry, p journal.Poll, rows map[string]int) {
	if p.Code == 0 {
		h.unanswered++
		rows[e.On]++
		h.row = max(h.row, rows[e.On])
		if h.firstUnanswered.Kind == "" {
			h.firstUnanswered = seen(e, "%s: no answer (%s) after %v", p.Endpoint, p.Err, brief(p.Took))
		}
		return
	}
	rows[e.On] = 0
	if p.Took > h.took.at(1) {
		h.slowest = seen(e, "%s: %d after %v", p.Endpoint, p.Code, brief(p.Took))
	}
	h.took.add(p.Took)
	if p.Code != http.StatusOK {
		h.refused++
		if h.firstRefused.Kind == "" {
			h.firstRefused = seen(e, "%s: %d after %v", p.Endpoint, p.Code, brief(p.Took))
		}
	}
}

// fault says in which way the endpoint failed; empty when it did not.
func (h *health) fault() string {
	switch {
	case h.refused > 0:
		return say("%d of %d polls were answered with something else than 200", h.refused, h.polls)
	case h.row >= unansweredInARow:
		return say("%d of %d polls got no answer, %d of them in a row", h.unanswered, h.polls, h.row)
	}
	return ""
}

// downtimes are, per replica, the windows in which it cannot be asked to
// answer: from the signal that stopped it, or its exit, to its first 200 after
// it was started again.
func downtimes(j journal.Journal, endpoint string) map[string][]journal.Window {
	down := map[string][]journal.Window{}
	started := map[string]bool{} // since the last downtime began
	isOpen := func(replica string) bool {
		all := down[replica]
		return len(all) > 0 && all[len(all)-1].To == 0
	}
	begin := func(e journal.Entry) {
		if !isOpen(e.On) {
			down[e.On] = append(down[e.On], journal.Window{From: e.At})
		}
		started[e.On] = false
	}
	kinds := []string{
		journal.Signalled{}.Kind(), journal.Exited{}.Kind(), journal.Started{}.Kind(), journal.Poll{}.Kind(),
	}
	for e := range j.Entries(kinds...) {
		switch body := e.Body.(type) {
		case journal.Signalled:
			if body.Signal == "SIGCONT" {
				started[e.On] = true
				continue
			}
			begin(e)
		case journal.Exited:
			begin(e)
		case journal.Started:
			started[e.On] = true
		case journal.Poll:
			if body.Endpoint == endpoint && body.Code == http.StatusOK && started[e.On] && isOpen(e.On) {
				down[e.On][len(down[e.On])-1].To = e.At
			}
		}
	}
	return down
}
