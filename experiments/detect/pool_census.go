package detect

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// census holds the number of backends that wait on a lock against the pool's
// promised size, and reports whether every replica's pool was exhausted.
func (p *PoolBound) census(d *docket, j journal.Journal, lock faultStep) bool {
	h := j.Header()
	c := takeCensus(j, lock.Target, lock.window, h.Replicas)
	if c.samples == 0 {
		d.doubt("pg_stat_activity of %s could not be sampled between %v and %v%s",
			lock.Target, lock.window.From, lock.window.To, c.trouble())
		return false
	}
	if c.gap > activityGap {
		d.doubt("pg_stat_activity of %s was not sampled for %s until %v, while its table was locked%s; who waited then is "+
			"not known", lock.Target, brief(c.gap), c.gapEnd, c.trouble())
	}
	if p.MaxOpen == 0 {
		d.add(measured("backends_waiting_max", float64(c.most), "1", c.samples))
		d.doubt("the owner has not said how many connections a replica may open, nor do its metrics: promise "+
			"max_open_connections; %d backends waited at once", c.most)
		return false
	}
	bound := p.MaxOpen * c.share
	d.add(bounded("backends_waiting_max", float64(c.most), "1", "<=", float64(bound), c.samples))
	d.point(c.worst)
	if c.share > 1 {
		d.note("the replicas cannot be told apart in pg_stat_activity, so their sum was held against %d × %d; set "+
			"application_name to the instance", c.share, p.MaxOpen)
	}
	reach := p.MaxOpen
	if h.Promises.MaxConcurrent > 0 {
		reach = min(reach, h.Promises.MaxConcurrent)
	}
	// Of several replicas that cannot be told apart one at least has reached
	// the number when their sum is above share × (reach − 1).
	reach = c.share*(reach-1) + 1
	least, who := c.least(h.Replicas)
	switch over := c.longestOver(bound); {
	case over >= overInARow:
		d.against("promised at most %d connections per replica; %d backends of %s waited on the locked table at once, and "+
			"more than %d did in %d samples in a row", p.MaxOpen, c.most, c.who, bound, over)
	case over > 0:
		d.note("%d backends waited at once in %d samples: a driver reconnects before the server has processed a cancel",
			c.most, over)
	}
	if least < reach && c.longestOver(bound) < overInARow {
		d.doubt("at most %d backends of %s waited on the locked table, and %d are needed to have exhausted the pool: send "+
			"more concurrent requests that use the table", least, who, reach)
	}
	return c.share == 1 && least >= reach
}

// least is the group whose largest number is the smallest, and that number.
func (c census) least(replicas []string) (n int, who string) {
	sizes := c.sizes()
	if len(sizes) < max(1, len(replicas)/c.share) {
		for _, r := range replicas {
			if _, ok := sizes[r]; !ok {
				return 0, r
			}
		}
	}
	for i, g := range slices.Sorted(maps.Keys(sizes)) {
		if i == 0 || sizes[g] < n {
			n, who = sizes[g], g
		}
	}
	return n, who
}

// activityGap is the longest time without a sample that is borne; there should
// be twenty or more in it, and the catalogue locks the table for 5 s at least.
const activityGap = 2 * time.Second

// census is how many backends of the service waited on a lock, sample by
// sample.
type census struct {
	samples int
	groups  map[string][]int // per replica, or one group of all
	share   int              // how many replicas a group stands for
	most    int
	who     string // the group of the most
	worst   Evidence
	err     string
	gap     time.Duration // the longest within the window without a sample
	gapEnd  journal.Instant
}

func (c census) trouble() string {
	if c.err == "" {
		return ""
	}
	return ": " + c.err
}

// takeCensus counts per replica where they can be told apart, and in all
// otherwise.
func takeCensus(j journal.Journal, on string, w journal.Window, replicas []string) census {
	c := census{groups: map[string][]int{}, share: max(1, len(replicas))}
	group := func(journal.Backend) string { return "all replicas" }
	if len(replicas) == 1 {
		group = func(journal.Backend) string { return "the replica" }
	} else if by := tellApart(j, on, w, replicas); by != nil {
		group, c.share = by, 1
	}
	last := w.From
	missed := func(until journal.Instant) {
		if gap := until.Sub(last); gap > c.gap {
			c.gap, c.gapEnd = gap, until
		}
		last = until
	}
	for e, a := range activities(j, on, w) {
		if a.Err != "" {
			c.err = a.Err
			continue
		}
		missed(e.At)
		now := map[string]int{}
		for _, b := range a.Backends {
			now[group(b)] += one(b.WaitType == "Lock")
		}
		for g := range now {
			if _, ok := c.groups[g]; !ok {
				c.groups[g] = make([]int, c.samples)
			}
		}
		for _, g := range slices.Sorted(maps.Keys(c.groups)) {
			c.groups[g] = append(c.groups[g], now[g])
			if now[g] > c.most {
				c.most, c.who = now[g], g
				c.worst = seen(e, "%d backends of %s wait on a lock, of %d in all", now[g], g, len(a.Backends))
			}
		}
		c.samples++
	}
	missed(w.To)
	return c
}

// activities yields the samples of one database that were taken in a window.
func activities(j journal.Journal, on string, w journal.Window) func(func(journal.Entry, journal.Activity) bool) {
	return func(yield func(journal.Entry, journal.Activity) bool) {
		for e, a := range journal.Of[journal.Activity](j) {
			if (on == "" || e.On == on) && w.Contains(e.At) && !yield(e, a) {
				return
			}
		}
	}
}

// tellApart finds what differs from replica to replica among the backends that
// wait on a lock: an application_name that holds the replica's name, else
// application_names or client addresses of which there are as many as replicas.
// It is nil when nothing tells them apart.
func tellApart(j journal.Journal, on string, w journal.Window, replicas []string) func(journal.Backend) string {
	apps, clients := map[string]bool{}, map[string]bool{}
	named := true
	for _, a := range activities(j, on, w) {
		for _, b := range a.Backends {
			if b.WaitType != "Lock" {
				continue
			}
			apps[b.App], clients[b.Client] = true, true
			named = named && replicaIn(b.App, replicas) != ""
		}
	}
	switch {
	case named && len(apps) > 0:
		return func(b journal.Backend) string { return replicaIn(b.App, replicas) }
	case len(apps) == len(replicas):
		return func(b journal.Backend) string { return b.App }
	case len(clients) == len(replicas):
		return func(b journal.Backend) string { return b.Client }
	}
	return nil
}

// replicaIn is the longest of the replicas' names that an application_name
// holds; empty when it holds none.
func replicaIn(app string, replicas []string) string {
	longest := ""
	for _, r := range replicas {
		if strings.Contains(app, r) && len(r) > len(longest) {
			longest = r
		}
	}
	return longest
}

// longestOver is the longest run of samples in which one group was above a
// bound.
func (c census) longestOver(bound int) int {
	longest := 0
	for _, counts := range c.groups {
		row := 0
		for _, n := range counts {
			if row++; n <= bound {
				row = 0
			}
			longest = max(longest, row)
		}
	}
	return longest
}

// poolSettles is how long after the unlocking a scrape must have been taken to
// hold what the lock did: database/sql counts the time waited when the wait
// ends (detectors.md, F7).
const poolSettles = 2 * time.Second

// size learns the pool's size from the metrics where the owner has not said it.
func (p *PoolBound) size(d *docket, j journal.Journal, lock faultStep) {
	for _, replica := range j.Header().Replicas {
		before, ok := journal.MetricsAt(j, replica, lock.window.From)
		if !ok {
			continue
		}
		for s := range before.All() {
			p.poolSize(d, replica, s)
		}
	}
}

// metrics asks for a series that tells of waiting to have moved: of each replica
// that is scraped where each had callers waiting, otherwise of one.
func (p *PoolBound) metrics(d *docket, j journal.Journal, lock faultStep, each bool) {
	moved, still, none := map[string]string{}, map[string]string{}, 0
	for _, replica := range j.Header().Replicas {
		name, grew, scraped := poolWaited(j, replica, lock)
		switch {
		case !scraped:
		case grew:
			moved[replica] = name
		case name != "":
			still[replica] = name
		default:
			none++
		}
	}
	at := ""
	if len(moved) > 0 {
		at = " at " + strings.Join(slices.Sorted(maps.Keys(still)), ", ")
	}
	switch {
	case p.Metrics == "ignored":
	case len(moved)+len(still)+none == 0:
		d.note("no metrics were scraped before the lock, so whether they show the waiting is not known")
	case len(still) > 0 && (each || len(moved) == 0):
		d.against("%s stands for callers who wait for the pool, but did not move while the table was locked (%v to %v)%s",
			firstOf(still), lock.window.From, lock.window.To, at)
	case none > 0 && (each || len(moved) == 0):
		d.against("no metric tells that callers wait for the pool; looked for %s", poolWaitLooked)
	default:
		d.note("the waiting shows in %s", firstOf(moved))
	}
}

// firstOf is the value of the first key; empty where there is none.
func firstOf(m map[string]string) string {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		return m[key]
	}
	return ""
}

// poolWaited is a replica's metric that stands for waiting, and whether it moved
// in a lock or soon after it.
func poolWaited(j journal.Journal, replica string, lock faultStep) (name string, grew, scraped bool) {
	before, ok := journal.MetricsAt(j, replica, lock.window.From)
	if !ok {
		return "", false, false
	}
	until := journal.Window{From: lock.window.From}
	if after, ok := journal.MetricsAfter(j, replica, lock.window.To.Add(poolSettles)); ok {
		until.To = after.At + 1
	}
	for now := range journal.Changes(j, replica, until) {
		found, moved := poolMoved(before, now)
		if moved {
			name, grew = found, true
		}
		name = orDefault(name, found)
	}
	return name, grew, true
}

// poolMoved finds a pool's wait metric, and one that has moved if there is one.
func poolMoved(before, now journal.Metrics) (name string, moved bool) {
	for _, s := range now.Since(before) {
		if !poolWait(s) {
			continue
		}
		if s.Value > 0 {
			return s.Name, true
		}
		name = s.Name
	}
	for s := range now.All() {
		if s.Type != "gauge" || !poolWait(s) {
			continue
		}
		if then, _ := before.Get(s.Key()); s.Value > then {
			return s.Name, true
		}
		name = s.Name
	}
	return name, false
}

// poolSize takes the pool's size from a gauge where it is not promised.
func (p *PoolBound) poolSize(d *docket, replica string, s journal.Sample) {
	if !poolMax(s) {
		return
	}
	if s.Value == 0 && s.Name == "go_sql_max_open_connections" {
		d.against("%s of %s is 0: the pool is unlimited; call SetMaxOpenConns", s.Name, replica)
		return
	}
	if p.MaxOpen == 0 {
		p.MaxOpen = int(s.Value)
		d.note("the pool's size of %d was taken from %s, because max_open_connections is not promised", p.MaxOpen, s.Name)
	}
}
