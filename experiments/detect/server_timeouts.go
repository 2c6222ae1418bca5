package detect

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ServerTimeouts judges whether a server bounds what a caller may take of it
// (detectors.md D04): a connection on which nothing comes, a head or a body that
// comes a piece at a time, one that is kept without a request, and an answer
// that is not read. All but the last are closed in time; of the last the service
// keeps what its and the system's buffers do not hold.
//
// It judges what a hold_connections probe saw. Without a request that is said to
// be large, slow readers are not tried, and a remark says so.
type ServerTimeouts struct {
	// Slack is what is borne beyond the promises reads_head_within,
	// reads_within, idles_within and writes_within (10 ms were measured). Default
	// 1s.
	Slack time.Duration `yaml:"slack" json:"slack,omitempty"`
	// AtLeast is how many connections of each manner must have been seen to be
	// closed. Default 3.
	AtLeast int `yaml:"at_least" json:"at_least,omitempty"`
	// LargeBytes is what an answer must have at the least to be more than buffers
	// hold: Linux' own for sending grow to 4 MiB. Default 8 MiB.
	LargeBytes int64 `yaml:"large_bytes" json:"large_bytes,omitempty"`
}

var _ = register(Info{
	Kind: "server_timeouts", ID: "D04", Checklist: []string{"3.1"}, Class: Timing,
	Summary: "a caller who sends, reads or asks nothing, or too slowly, is not waited for without a bound",
}, func() Detector { return &ServerTimeouts{Slack: time.Second, AtLeast: 3, LargeBytes: 8 << 20} })

// patience is what is promised of one manner of connections.
type patience struct {
	manner, name string
	what, remedy string
	within       func(journal.Promises) time.Duration
}

var patiences = []patience{
	{
		journal.Silent, "silent_open", "on which nothing is sent", "ReadHeaderTimeout",
		func(p journal.Promises) time.Duration { return p.ReadsHeadWithin },
	},
	{
		journal.SlowHead, "slow_head_open", "whose request's head comes a line at a time", "ReadHeaderTimeout",
		func(p journal.Promises) time.Duration { return p.ReadsHeadWithin },
	},
	{
		journal.SlowBody, "slow_body_open", "whose request's body comes a byte at a time", "ReadTimeout",
		func(p journal.Promises) time.Duration { return p.ReadsWithin },
	},
	{
		journal.Idle, "idle_open", "on which no further request comes", "IdleTimeout",
		func(p journal.Promises) time.Duration { return p.IdlesWithin },
	},
}

// Detect judges every manner that was tried.
func (p *ServerTimeouts) Detect(j journal.Journal) Finding {
	d := open("server_timeouts")
	q := ServerTimeouts{
		Slack: orDefault(p.Slack, time.Second), AtLeast: max(p.AtLeast, 1), LargeBytes: orDefault(p.LargeBytes, 8<<20),
	}
	tried, cut := map[string][]journal.Entry{}, tally{}
	ends := endsOf(j)
	for e, c := range journal.Of[journal.Connection](j) {
		tried[c.Manner] = append(tried[c.Manner], e)
		cut[e.On] += one(c.Closed && ends.before(e.On, e.At.Add(c.After)))
	}
	for _, replica := range slices.Sorted(maps.Keys(cut)) {
		if cut[replica] > 0 {
			d.doubt("%d connections ended with %s, which says nothing of how long it waits", cut[replica], replica)
		}
	}
	promises := j.Header().Promises
	seen := 0
	for _, a := range patiences {
		if all := tried[a.manner]; len(all) > 0 {
			seen += len(all)
			q.closes(d, a, a.within(promises), all)
		}
	}
	readers := tried[journal.SlowReader]
	if seen += len(readers); seen == 0 {
		return d.unknown("no connection was held open to see what becomes of it: a hold_connections probe does that")
	}
	if len(tried[journal.SlowBody]) == 0 {
		d.note("slow bodies were not tried: no request of the traffic has a body")
	}
	q.reads(d, j, readers)
	return d.close("promised: who sends or reads too slowly, or nothing, is not waited for (head %v, request %v, "+
		"idle %v, answer %v); seen: none of %d connections was open for longer", promises.ReadsHeadWithin,
		promises.ReadsWithin, promises.IdlesWithin, promises.WritesWithin, seen)
}

// replicaEnds are when replicas first ended, or were told to.
type replicaEnds map[string]journal.Instant

func endsOf(j journal.Journal) replicaEnds {
	ends := replicaEnds{}
	for e := range j.Entries(journal.Signalled{}.Kind(), journal.Exited{}.Kind()) {
		if _, known := ends[e.On]; !known {
			ends[e.On] = e.At
		}
	}
	return ends
}

// before says that a replica had ended by an instant, or was about to.
func (r replicaEnds) before(replica string, at journal.Instant) bool {
	end, ok := r[replica]
	return ok && at.Add(cutWithin) >= end
}

// closes asks that connections of one manner were closed in time. Those that the
// probe itself ended before then say nothing.
func (p *ServerTimeouts) closes(d *docket, a patience, within time.Duration, all []journal.Entry) {
	limit := within + p.Slack
	var good, late, open int
	var longest time.Duration
	var worst Evidence
	for _, e := range all {
		c := e.Body.(journal.Connection)
		switch {
		case c.After > limit && c.Closed:
			late++
		case c.After > limit:
			open++
		case c.Closed:
			good++
		}
		if c.After > longest {
			longest, worst = c.After, connectionEvidence(e, c)
		}
	}
	d.add(boundedTime(a.name, longest, limit, len(all)))
	d.point(worst)
	switch {
	case late+open > 0:
		d.against("promised: a connection %s is closed within %v; seen: of %d, %s: set %s of http.Server", a.what, within,
			len(all), lateOrOpen(late, open, longest), a.remedy)
	case good < p.AtLeast:
		d.doubt("of %d connections %s, %d were seen to be closed, and %d are needed; the others were watched for %s at "+
			"most, and %v are promised: give the probe more time", len(all), a.what, good, p.AtLeast, brief(longest), within)
	}
}

// lateOrOpen says what became of connections that were not closed in time.
func lateOrOpen(late, open int, longest time.Duration) string {
	switch {
	case open == 0:
		return say("%d were closed later, after %s at the most", late, brief(longest))
	case late == 0:
		return say("%d were still open after %s", open, brief(longest))
	}
	return say("%d were closed later, and %d were still open after %s", late, open, brief(longest))
}

// reads asks that an answer which nobody reads is given up.
func (p *ServerTimeouts) reads(d *docket, j journal.Journal, all []journal.Entry) {
	if len(all) == 0 {
		why := "the traffic names a request as large, but it was not asked for"
		if !slices.ContainsFunc(j.Header().Routes, func(r journal.Route) bool { return r.Large }) {
			why = "no request of the traffic says that its answer is large (8 MiB or more)"
		}
		d.note("slow readers were not tried: %s", why)
		return
	}
	within := j.Header().Promises.WritesWithin
	given, kept := 0, 0
	var most int64
	var worst Evidence
	why := ""
	for _, e := range all {
		c := e.Body.(journal.Connection)
		doubt := p.told(c, within)
		switch {
		case doubt != "":
			why = doubt
		case c.Whole || !c.Closed:
			given++
		default:
			kept++
		}
		if c.Received >= most {
			most, worst = c.Received, connectionEvidence(e, c)
		}
	}
	d.add(measured("slow_reader_received", float64(most), "B", len(all)),
		bounded("slow_reader_given", float64(given), "1", "<=", 0, len(all)))
	d.point(worst)
	switch {
	case given > 0:
		d.against("promised: an answer that is not read within %v is given up; seen: %d of %d readers who paused for "+
			"longer were still given all of it (%s): set WriteTimeout of http.Server", within, given, len(all),
			megabytes(most))
	case kept < p.AtLeast:
		d.doubt("of %d slow readers %d were cut off, and %d are needed; %s", len(all), kept, p.AtLeast, why)
	}
}

// told says why a slow reader's end shows nothing; empty when it shows something.
func (p *ServerTimeouts) told(c journal.Connection, within time.Duration) string {
	switch {
	case c.Paused < within+p.Slack:
		return fmt.Sprintf("others paused for %s only, and %v are promised: give the probe a longer pause and more time",
			brief(c.Paused), within)
	case c.Status != 0 && c.Status/100 != 2:
		return fmt.Sprintf("others were answered with %d", c.Status)
	case (c.Whole || !c.Closed) && c.Received < p.LargeBytes:
		return fmt.Sprintf("others got %s, which buffers hold: name a request as large whose answer has %s or more",
			megabytes(c.Received), megabytes(p.LargeBytes))
	}
	return ""
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// connectionEvidence points at a connection.
func connectionEvidence(e journal.Entry, c journal.Connection) Evidence {
	end := "still open"
	switch {
	case c.Whole:
		end = "given the whole answer"
	case c.Reset:
		end = "reset"
	case c.Closed:
		end = "closed"
	}
	text := fmt.Sprintf("%s connection: %s after %s", c.Manner, end, brief(c.After))
	if c.Status != 0 {
		text += say(", answered %d with %d bytes", c.Status, c.Received)
	}
	return seen(e, "%s", text)
}
