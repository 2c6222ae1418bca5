package detect

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// DependencyStorm asks whether the database can bear that all replicas are
// started at once (D49): the service never has more backends than all its
// replicas are promised together, nor more than Share of what the database
// allows; in no second are more connections opened than that; and none is
// refused for want of room (SQLSTATE 53300).
//
// It needs a step that starts all replicas (restart_all) and load after it, so
// that pools fill. Backends are the service's in pg_stat_activity, sampled every
// 50 to 100 ms; more than promised in three samples in a row count, since a
// driver may open a connection before the server has let go of the last.
// Connections are those that the proxy took, without our own. A refusal is
// known by its SQLSTATE or its words in the logs of the database or of the
// service. Sources: detectors.md D49.
type DependencyStorm struct {
	// On is the database. Empty: the run's target, or the first there is.
	On string `json:"on,omitempty" yaml:"on"`
	// Start is the kind of step that starts the replicas. Default restart_all.
	Start string `json:"start,omitempty" yaml:"start"`
	// MaxOpen bounds one replica's connections. Zero: the promise
	// max_open_connections, or else what the service's own metrics say.
	MaxOpen int `json:"max_open,omitempty" yaml:"max_open"`
	// Share of the database's max_connections that the service may use, 0 to 1.
	// Default 0.8.
	Share float64 `json:"share,omitempty" yaml:"share"`
}

var _ = register(Info{
	Kind: "dependency_storm", ID: "D49", Checklist: []string{"10.3", "4.2"}, Class: Timing,
	Summary: "replicas that are all started at once do not take the database by storm",
}, func() Detector { return &DependencyStorm{Start: "restart_all", Share: 0.8} })

// fewestSamples is how many samples of pg_stat_activity show what there was at
// the most.
const fewestSamples = 10

// refusals are what a log says when a database has no room for a connection.
var refusals = []string{
	"53300", "too many clients already", "too many connections", "remaining connection slots are reserved",
}

// Detect judges the time from the first start to the end of the load.
func (p *DependencyStorm) Detect(j journal.Journal) Finding {
	d := open("dependency_storm")
	on, err := p.database(j.Header())
	if err != nil {
		return d.notApplicable("%v", err)
	}
	starts, err := stepsOf(j, orDefault(p.Start, "restart_all"))
	if err != nil {
		return d.unknown("%v", err)
	}
	for _, s := range starts {
		from, replicas := replicasStarted(j, s.window)
		if replicas == 0 {
			d.doubt("no replica was started in step %q", s.Name)
			continue
		}
		if all := len(j.Header().Replicas); replicas < all {
			d.doubt("only %d of %d replicas were started in step %q", replicas, all, s.Name)
		}
		w := journal.Window{From: from, To: afterwards(j, s.Step).To}
		bound := p.bound(d, j, w, replicas)
		p.backends(d, j, on, w, bound)
		p.connects(d, j, on, w, bound)
		p.refused(d, j, on, w)
	}
	return d.close("all replicas were started at once, and %s had at most %s backends of them, and at most %s new "+
		"connections in a second; none was refused", on, valueOf(d.Quantities, "backends_max"),
		valueOf(d.Quantities, "connects_in_a_second"))
}

func (p *DependencyStorm) database(h journal.Header) (string, error) {
	var all []string
	for _, dep := range h.Dependencies {
		if dep.Kind == "postgres" && (p.On == "" || p.On == dep.Name) {
			all = append(all, dep.Name)
		}
	}
	switch {
	case len(all) == 0:
		return "", fmt.Errorf("the service has no database of kind postgres whose backends could be counted")
	case slices.Contains(all, h.Target):
		return h.Target, nil
	}
	return all[0], nil
}

// replicasStarted is the first start in a window, and how many replicas were.
func replicasStarted(j journal.Journal, w journal.Window) (from journal.Instant, replicas int) {
	names := map[string]bool{}
	for e := range journal.Of[journal.Started](j) {
		if !w.Contains(e.At) || !slices.Contains(j.Header().Replicas, e.On) {
			continue
		}
		if from == 0 {
			from = e.At
		}
		names[e.On] = true
	}
	return from, len(names)
}

// bound is how many connections the replicas may have together; zero when
// nobody says.
func (p *DependencyStorm) bound(d *docket, j journal.Journal, w journal.Window, replicas int) int {
	each := orDefault(p.MaxOpen, j.Header().Promises.MaxOpenConnections)
	for _, replica := range j.Header().Replicas {
		for m := range journal.Scrapes(j, replica) {
			if !w.Contains(m.At) {
				continue
			}
			for s := range m.All() {
				switch {
				case !poolMax(s):
				case s.Value == 0 && s.Name == "go_sql_max_open_connections":
					d.against("%s of %s is 0: the pool is unlimited; call SetMaxOpenConns", s.Name, replica)
					return each * replicas
				case each == 0:
					each = int(s.Value)
					d.note("the pool's size of %d was taken from %s, because max_open_connections is not promised", each, s.Name)
				}
			}
			break
		}
	}
	if each == 0 {
		d.note("neither the promise max_open_connections nor a metric says how large a replica's pool is, so only what the " +
			"database allows was held against it")
	}
	return each * replicas
}

// backends counts what the database shows.
func (p *DependencyStorm) backends(d *docket, j journal.Journal, on string, w journal.Window, bound int) {
	samples, most, allowed, row, rows := 0, 0, 0, 0, 0
	var worst Evidence
	for e, a := range activities(j, on, w) {
		if a.Err != "" {
			continue
		}
		samples++
		allowed = max(allowed, a.MaxConnections)
		if n := len(a.Backends); n > most || worst.Kind == "" {
			most, worst = n, seen(e, "%d backends of the service", n)
		}
		row++
		if bound == 0 || len(a.Backends) <= bound {
			row = 0
		}
		rows = max(rows, row)
	}
	share := int(orDefault(p.Share, 0.8) * float64(allowed))
	if allowed == 0 {
		share = math.MaxInt
		d.note("the max_connections of %s is not known, so that it was not held against it", on)
	}
	held := share
	if bound > 0 {
		held = min(bound, share)
	}
	d.add(bounded("backends_max", float64(most), "1", "<=", float64(held), samples))
	if bound > share {
		d.note("all replicas together are promised %d connections, and %d are %s of what %s allows: check its "+
			"max_connections where the service runs", bound, share, pct(orDefault(p.Share, 0.8)), on)
	}
	switch {
	case samples < fewestSamples || most == 0:
		d.doubt("%d samples of pg_stat_activity of %s after the start show %d backends of the service, so nothing is known "+
			"of the most; %d samples are needed", samples, on, most, fewestSamples)
	case allowed == 0 && bound == 0:
		d.doubt("there is nothing to hold the %d backends of the service against: promise max_open_connections", most)
	case most > share:
		d.against("%s had %d backends of the service after all replicas were started, of %d that it allows (at most %s): "+
			"bound the pools, so that all replicas together fit", on, most, allowed, pct(orDefault(p.Share, 0.8)))
		d.point(worst)
	case rows >= overInARow:
		d.against("promised at most %d backends of all replicas together; after all were started %s had up to %d, in %d "+
			"samples in a row: bound the pool, warm-up included", bound, on, most, rows)
		d.point(worst)
	}
}

// connects counts the connections that the proxy took in any one second.
func (p *DependencyStorm) connects(d *docket, j journal.Journal, on string, w journal.Window, bound int) {
	type count struct {
		at    journal.Instant
		conns uint64
	}
	var ours []journal.Instant
	for e, r := range journal.Of[journal.RoundTrip](j) {
		if e.On == on && !r.Pooled && r.Err != journal.ErrRefused {
			ours = append(ours, e.At)
		}
	}
	var tallies []count
	most := 0
	var worst Evidence
	for e, t := range journal.Of[journal.Tally](j) {
		if e.On != on || w.To != 0 && e.At >= w.To {
			continue
		}
		tallies = append(tallies, count{e.At, t.Conns})
		for len(tallies) > 1 && (e.At <= w.From || e.At.Sub(tallies[0].at) > time.Second) {
			tallies = tallies[1:] // one from before the start is kept to count from
		}
		since := tallies[0]
		n := int(t.Conns - since.conns)
		for _, at := range ours {
			n -= one(at > since.at && at <= e.At)
		}
		if n > most {
			most, worst = n, seen(e, "%d new connections since %v", n, since.at)
		}
	}
	if bound == 0 {
		d.add(measured("connects_in_a_second", float64(most), "1", len(tallies)))
		return
	}
	d.add(bounded("connects_in_a_second", float64(most), "1", "<=", float64(bound), len(tallies)))
	switch {
	case len(tallies) < 2:
		d.doubt("the proxy of %s did not say how many connections it took", on)
	case most > bound:
		d.against("%s was asked for %d connections in a second after all replicas were started, and they are promised %d "+
			"together: open connections as they are needed, and wait between attempts", on, most, bound)
		d.point(worst)
	}
}

// refused looks for connections that the database had no room for.
func (p *DependencyStorm) refused(d *docket, j journal.Journal, on string, w journal.Window) {
	n := 0
	for e, line := range journal.Of[journal.LogLine](j) {
		if !w.Contains(e.At) || e.On != on && !slices.Contains(j.Header().Replicas, e.On) {
			continue
		}
		if slices.ContainsFunc(refusals, func(words string) bool { return strings.Contains(line.Text, words) }) {
			n++
			if n == 1 {
				d.point(seen(e, "%.160s", line.Text))
			}
		}
	}
	d.add(bounded("connections_refused", float64(n), "1", "==", 0, 1))
	if n > 0 {
		d.against("the log tells in %d lines of connections that %s had no room for (SQLSTATE 53300) after all replicas "+
			"were started: bound the pools, so that all replicas together fit", n, on)
	}
}
