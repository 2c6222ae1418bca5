package detect

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// ConnectionLeaks asks whether every connection comes back to the pool from
// requests that fail (D41): a census before and after, down whatever faults,
// and attacks on handlers that panic, lie between two table locks. A lock on
// every table, under more requests than the pool has connections, makes every
// free connection wait; a connection that is lost to the pool, for rows that
// nobody closed or a transaction that nobody ended, does not come, and looks
// idle in pg_stat_activity, so that nothing else shows it. Beside that no
// backend may be idle in a transaction for more than a second in the quiet
// before the second census, and the pool's own gauge of connections in use
// must come down to none there.
//
// Each of these between needs MinSamples requests, and of those MinFailed that were
// refused, cut or hung up on: at a leak in one of twenty, 30 miss it in 21 % of
// the runs, 100 in 0.6 % and 300 in 2 of ten million (formula).
type ConnectionLeaks struct {
	// Census is the kind of step that is a census. Default table_lock.
	Census string `json:"census,omitempty" yaml:"census"`
	// MinSamples is how many requests must be sent while each fault is in force.
	// Default 300.
	MinSamples int `json:"min_samples,omitempty" yaml:"min_samples"`
	// MinFailed is how many of them must fail. Default 30.
	MinFailed int `json:"min_failed,omitempty" yaml:"min_failed"`
	// IdleWithin bounds the time idle in a transaction. Default 1s.
	IdleWithin time.Duration `json:"idle_within,omitempty" yaml:"idle_within"`
}

var _ = register(Info{
	Kind: "connection_leaks", ID: "D41", Checklist: []string{"4.4"}, Class: Timing,
	Summary: "no database connection is lost to the pool by requests that fail",
}, func() Detector { return new((&ConnectionLeaks{}).resolved()) })

func (l *ConnectionLeaks) resolved() ConnectionLeaks {
	return ConnectionLeaks{
		Census:     orDefault(l.Census, "table_lock"),
		MinSamples: orDefault(l.MinSamples, 300),
		MinFailed:  orDefault(l.MinFailed, 30),
		IdleWithin: orDefault(l.IdleWithin, time.Second),
	}
}

// Detect compares the first census with the last.
func (l *ConnectionLeaks) Detect(j journal.Journal) Finding {
	d := open("connection_leaks")
	p := l.resolved()
	locks, err := stepsOf(j, p.Census)
	if err != nil {
		return d.unknown("%v", err)
	}
	locks = slices.DeleteFunc(locks, func(s faultStep) bool { return s.Target != locks[0].Target })
	if len(locks) < 2 {
		return d.unknown("there is one census (%s), and one before and one after are needed", p.Census)
	}
	first, last := locks[0], locks[len(locks)-1]
	p.paths(d, j, first, last)
	p.compare(d, j, first, last)
	quiet, ok := quietBefore(j, last)
	if !ok {
		d.doubt("there is no quiet time before the last census at %v", last.window.From)
	} else {
		p.idle(d, j, last.Target, quiet)
		p.inUse(d, j, quiet)
	}
	return d.close("after %s requests that failed the pool had as many connections as before: %s", valueOf(d.Quantities,
		"requests_failed"), valueOf(d.Quantities, "connections_after"))
}

// paths asks of every way to fail between the two, which is a fault or an attack
// on handlers that panic, whether enough went wrong in it.
func (l *ConnectionLeaks) paths(d *docket, j journal.Journal, first, last faultStep) {
	ways, failed := 0, 0
	for _, s := range j.Steps() {
		w, ok := carriedOut(s)
		if s.Action == l.Census || !ok || w.From < first.window.To || w.To > last.window.From {
			continue
		}
		sent, bad, panics := failures(j, w, s.Name)
		if s.Class != "fault" && !panics {
			continue
		}
		ways++
		failed += bad
		if sent < l.MinSamples || bad < l.MinFailed {
			d.doubt("only %d requests were sent and %d failed during %s, and %d and %d are needed to see a leak",
				sent, bad, s.Name, l.MinSamples, l.MinFailed)
		}
	}
	d.add(measured("requests_failed", float64(failed), "1", failed))
	if ways == 0 {
		d.doubt("there is no fault between the first census at %v and the last at %v", first.window.From, last.window.From)
	}
}

// failures counts the requests of a step's window and those that failed, and
// says whether the step itself attacked handlers that panic on purpose.
func failures(j journal.Journal, w journal.Window, step string) (sent, bad int, panics bool) {
	onPurpose := map[string]bool{}
	for _, r := range j.Header().Routes {
		onPurpose[r.Name] = r.Panics
	}
	for r := range j.Requests(w) { // those that hung up, too: they are a way to fail
		if r.Dropped {
			continue
		}
		sent++
		bad += one(!r.OK)
		panics = panics || r.Attack == step && onPurpose[r.Route]
	}
	return sent, bad, panics
}

// compare holds the second census against the first.
func (l *ConnectionLeaks) compare(d *docket, j journal.Journal, first, last faultStep) {
	h := j.Header()
	before := takeCensus(j, first.Target, first.window, h.Replicas)
	after := takeCensus(j, last.Target, last.window, h.Replicas)
	if before.samples == 0 || after.samples == 0 {
		d.doubt("pg_stat_activity of %s could not be sampled in both censuses%s%s", first.Target, before.trouble(),
			after.trouble())
		return
	}
	if before.share != after.share {
		d.doubt("the replicas can be told apart in one census, and not in the other: set application_name to the instance")
		return
	}
	sizes, now := before.sizes(), after.sizes()
	asked, _ := requestsSent(j, first.window, first.Target)
	again, _ := requestsSent(j, last.window, last.Target)
	if len(sizes) < max(1, len(h.Replicas)/before.share) {
		d.doubt("in the first census the connections of only %d replicas came to wait: send more concurrent requests",
			len(sizes))
	}
	for _, who := range slices.Sorted(maps.Keys(sizes)) {
		was, is := sizes[who], now[who]
		d.add(measured("connections_before", float64(was), "1", before.samples),
			bounded("connections_after", float64(is), "1", ">=", float64(was), after.samples))
		reach := h.Promises.MaxOpenConnections
		if h.Promises.MaxConcurrent > 0 {
			reach = min(reach, h.Promises.MaxConcurrent)
		}
		if was < max(reach, 1) {
			d.doubt("in the first census only %d connections of %s came to wait, and %d are there: send more concurrent "+
				"requests", was, who, max(reach, 1))
		}
		switch {
		case is < was && again < asked && again < was:
			d.doubt("only %d requests met the census at %v, too few for %d connections", again, last.window.From, was)
		case is < was:
			d.point(after.worst)
			d.against("promised to give every connection back; in the census at %v, %d connections of %s came to wait, and %d "+
				"after all that had failed: %d are lost to the pool; close rows and end transactions on every way out",
				first.window.From, was, who, is, was-is)
		}
	}
}

// sizes is the largest number of each group that waited in one sample.
func (c census) sizes() map[string]int {
	most := map[string]int{}
	for who, counts := range c.groups {
		most[who] = slices.Max(counts)
	}
	return most
}

// quietBefore is the time from a second after everything else had ended to a
// step's beginning.
func quietBefore(j journal.Journal, step faultStep) (journal.Window, bool) {
	var end journal.Instant
	for _, s := range j.Steps() {
		if s.Has[journal.PhaseReverted] && s.Reverted < step.Begun {
			end = max(end, s.Reverted)
		}
	}
	w := journal.Window{From: end.Add(time.Second), To: step.Begun}
	return w, w.To > w.From
}

func (l *ConnectionLeaks) idle(d *docket, j journal.Journal, database string, quiet journal.Window) {
	t := transactionsIn(j, database, quiet)
	d.add(boundedTime("idle_in_transaction_max", t.idle, l.IdleWithin, len(t.samples)))
	switch {
	case t.idle > l.IdleWithin:
		d.point(t.worst)
		d.against("promised to end every transaction; in the quiet from %v to %v one was idle for %v", quiet.From, quiet.To,
			brief(t.idle))
	case len(t.samples) == 0:
		d.doubt("pg_stat_activity of %s was not sampled in the quiet from %v to %v", database, quiet.From, quiet.To)
	}
}

// inUse asks the pool's gauges of connections in use to have come down to none.
func (l *ConnectionLeaks) inUse(d *docket, j journal.Journal, quiet journal.Window) {
	known := false
	for _, replica := range j.Header().Replicas {
		for _, line := range linesOf(j, replica, poolInUse) {
			least, looks := leastIn(line.readings(), quiet)
			if looks == 0 {
				continue
			}
			known = true
			d.add(bounded("connections_in_use", least.value, "1", "<=", 0, looks))
			if least.value > 0 {
				d.point(least.evidence(replica, line.name))
				d.against("promised to give every connection back; %s of %s never was less than %.0f in the quiet from %v to %v",
					line.name, replica, least.value, quiet.From, quiet.To)
			}
		}
	}
	if !known {
		d.note("no gauge of connections in use was scraped (go_sql_in_use_connections, pgxpool_acquired_conns)")
	}
}

// poolInUse reports whether a gauge tells how many connections of a database
// pool are handed out.
func poolInUse(s journal.Sample) bool {
	if s.Type != "gauge" && s.Type != "untyped" || words(s.Name, "redis", "http") {
		return false
	}
	return words(s.Name, "sql", "pool", "db", "pg") && words(s.Name, "in_use", "acquired_con", "inuse") &&
		!strings.HasSuffix(s.Name, "_total")
}
