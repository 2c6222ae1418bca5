package detect

import (
	"strings"

	"github.com/seatrial/seatrial/experiments/journal"
)

// brokenTraces are the attacks whose trace headers were not valid, with their
// windows.
type brokenTraces map[string]journal.Window

func brokenAttacks(j journal.Journal) brokenTraces {
	b := brokenTraces{}
	for e, a := range journal.Of[journal.Attack](j) {
		if a.BrokenTrace {
			b[e.On] = journal.Window{From: a.From, To: max(e.At, a.From.Add(a.For).Add(a.Timeout))}
		}
	}
	return b
}

// split parts the calls made for requests of these attacks from the others.
func (b brokenTraces) split(h journal.Header, calls []arrival) (theirs, others []arrival) {
	for _, a := range calls {
		if b.has(h, a) {
			theirs = append(theirs, a)
		} else {
			others = append(others, a)
		}
	}
	return theirs, others
}

// has says that a call was made for one of these attacks: by its request id, or
// where it has none of ours, by its time, unless there is other load.
func (b brokenTraces) has(h journal.Header, a arrival) bool {
	if id := byRequestID.mark(h.Run, a.call); id != "" {
		attack := strings.TrimPrefix(id, h.Run+"-")
		_, ok := b[attack[:max(strings.LastIndexByte(attack, '-'), 0)]]
		return ok
	}
	for _, w := range b {
		if h.Rate <= 0 && w.Contains(a.at) {
			return true
		}
	}
	return false
}

// begunAnew asks that calls for requests with a broken trace header belong to
// traces of their own.
func (p *TracePropagation) begunAnew(d *docket, j journal.Journal, name string, b brokenTraces, calls []arrival) {
	h := j.Header()
	format, header := h.TraceFormat, h.TraceFormat.Header()
	sent := map[[16]byte]bool{}
	for r := range j.Requests(journal.Window{}) {
		if _, ok := b[r.Attack]; ok {
			sent[h.HitTrace(r.Attack, r.Seq).Trace] = true
		}
	}
	owner := map[[16]byte]string{}
	var invalid, goneOn, shared int
	var example Evidence
	for _, a := range calls {
		c, ok := a.call.TraceContext(format)
		id := byRequestID.mark(h.Run, a.call)
		switch {
		case !ok:
			invalid++
		case sent[c.Trace]:
			goneOn++
		case owner[c.Trace] != "" && owner[c.Trace] != id:
			shared++
		default:
			if id != "" {
				owner[c.Trace] = id
			}
			continue
		}
		if example.Kind == "" {
			example = a.evidence("%s %q", header, a.call.TraceText(format))
		}
	}
	d.add(bounded("traces_not_new", float64(invalid+goneOn+shared), "1", "==", 0, len(calls)))
	d.point(example)
	if len(calls) < max(p.AtLeast, 1) {
		d.doubt("%s got %d calls for requests with a %s that is not valid, and %d are needed", name, len(calls),
			header, p.AtLeast)
		return
	}
	const advice = "read the header as its format says, and begin a new trace where it is not valid"
	for _, wrong := range []struct {
		n    int
		what string
	}{
		{invalid, "carry none that is valid themselves"},
		{goneOn, "go on with the trace id in it"},
		{shared, "share a trace with another request"},
	} {
		if wrong.n > 0 {
			d.against("of %d calls to %s for requests whose %s was not valid, %d %s: %s", len(calls), name, header,
				wrong.n, wrong.what, advice)
		}
	}
}
