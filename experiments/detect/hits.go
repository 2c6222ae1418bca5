package detect

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// anyAttack selects the hits of all attacks.
const anyAttack = "any"

// dropsBearable is the share of hits that may be dropped before a run's load
// has fallen short of its plan (achieved rate ≥ 98 %, detectors.md section 1).
const dropsBearable = 0.02

// evidenceMost bounds how many entries a finding points at.
const evidenceMost = 5

// hits yields the requests of a span that a detector judges: those of the named
// attack (empty: the ordinary load, or all attacks where the experiment has no
// load of its own) and routes (empty: all), without those that we ourselves
// hung up on.
func hits(j journal.Journal, s span, attack string, routes []string) iter.Seq[journal.Request] {
	if attack == "" {
		attack = loadAttack
		if j.Header().Rate <= 0 {
			attack = anyAttack
		}
	}
	return func(yield func(journal.Request) bool) {
		for r := range s.requests(j) {
			switch {
			case r.Canceled,
				attack != anyAttack && r.Attack != attack,
				len(routes) > 0 && !slices.Contains(routes, r.Route):
				continue
			}
			if !yield(r) {
				return
			}
		}
	}
}

// sentTo says whether a request is known to have gone to a replica: there is no
// other, or it belongs to a step on it.
func sentTo(h journal.Header, r journal.Request, replica string) bool {
	return len(h.Replicas) == 1 || attackedBy(h, r.Attack) == replica
}

// attackedBy is the replica that an attack was sent to; empty where it went through
// the balancer.
func attackedBy(h journal.Header, attack string) string {
	for _, s := range h.Method {
		if s.Name == attack && slices.Contains(h.Replicas, s.Target) {
			return s.Target
		}
	}
	return ""
}

// requestsSent counts the requests of all attacks that were sent in a window, and
// those of them that use a dependency.
func requestsSent(j journal.Journal, w journal.Window, on string) (n, using int) {
	for r := range j.Requests(w) {
		n += one(!r.Dropped)
		using += one(!r.Dropped && mayUse(j.Header(), r.Route, on))
	}
	return n, using
}

// waitedOn says that somebody was there to work on a request: it was answered, or
// its caller left.
func waitedOn(r journal.Request) bool {
	return r.Code != 0 || r.Err == journal.ErrTimeout || r.Canceled
}

// answer is how a request ended, in a word: a status, or why there was none.
func answer(r journal.Request) string {
	switch {
	case r.Dropped:
		return "dropped"
	case r.Code != 0:
		return strconv.Itoa(r.Code)
	}
	return cmp.Or(r.Err, "no answer")
}

// requestEvidence points at a request.
func requestEvidence(run string, r journal.Request) Evidence {
	return Evidence{
		At: r.Due, Kind: "request", On: r.ID(run),
		Excerpt: fmt.Sprintf("%s: %s after %v", cmp.Or(r.Route, r.Attack), answer(r), brief(r.Latency())),
	}
}

// tally counts words.
type tally map[string]int

// String lists the words, the most frequent first: "40 × 503, 3 × timeout".
func (t tally) String() string {
	words := slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		return cmp.Or(cmp.Compare(t[b], t[a]), cmp.Compare(a, b))
	})
	for i, w := range words {
		words[i] = fmt.Sprintf("%d × %s", t[w], w)
	}
	return strings.Join(words, ", ")
}

// pct prints a ratio for a reason: "99.5 %".
func pct(ratio float64) string {
	return strconv.FormatFloat(ratio*100, 'f', -1, 32) + " %"
}

// pctSeen prints a measured ratio, never rounded up to the bound it missed.
func pctSeen(ratio float64) string {
	return strconv.FormatFloat(float64(int(ratio*100_000+1e-6))/1000, 'f', -1, 64) + " %"
}

// brief prints a duration with three digits or so.
func brief(d time.Duration) string {
	switch {
	case d >= 10*time.Second || d <= -10*time.Second:
		d = d.Round(100 * time.Millisecond)
	case d >= time.Second || d <= -time.Second:
		d = d.Round(10 * time.Millisecond)
	case d >= 10*time.Millisecond:
		d = d.Round(time.Millisecond)
	default:
		d = d.Round(10 * time.Microsecond)
	}
	return d.String()
}

// briefSeconds prints seconds as [brief] does.
func briefSeconds(s float64) string { return brief(time.Duration(s * float64(time.Second))) }
