package detect

import (
	"slices"
	"strings"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// MigrationLocks asks whether a migration of a large table holds up nobody
// (D54): no statement of the service waits for a lock longer than WaitsWithin,
// no migrator holds an ACCESS EXCLUSIVE lock longer than HeldWithin, and no
// transaction that changes rows lasts longer than BackfillWithin. Of several
// migrators at once one works; the others wait for it or have nothing to do,
// and none fails.
//
// It needs a long_reader step that has begun when the migration does, a table
// that was filled with Rows rows or more, and the lock watch, every 50 ms. What
// it sees is shorter than what there was by two intervals at most. Measured: a
// SELECT queued for 3.3 s behind an ALTER that waited for a reader; with
// lock_timeout of 300 ms for less than 0.9 s.
type MigrationLocks struct {
	// WaitsWithin bounds the service's waits for locks. Default 1s.
	WaitsWithin time.Duration `yaml:"waits_within" json:"waits_within,omitempty"`
	// HeldWithin bounds how long a migrator holds ACCESS EXCLUSIVE. Default 1s.
	HeldWithin time.Duration `yaml:"held_within" json:"held_within,omitempty"`
	// BackfillWithin bounds a migrator's transaction that changes rows. Default
	// 5s.
	BackfillWithin time.Duration `yaml:"backfill_within" json:"backfill_within,omitempty"`
	// Rows is how large the table has to be. Default 1000000.
	Rows int `yaml:"rows" json:"rows,omitempty"`
	// MinRequests is how many requests must meet the migration. Default 200.
	MinRequests int `yaml:"min_requests" json:"min_requests,omitempty"`
}

var _ = register(Info{
	Kind: "migration_locks", ID: "D54", Checklist: []string{"5.3", "5.4"}, Class: Timing,
	Summary: "a migration of a large table holds up nobody, and of several migrators at once one works",
}, func() Detector { return new((&MigrationLocks{}).resolved()) })

func (m *MigrationLocks) resolved() MigrationLocks {
	return MigrationLocks{
		WaitsWithin:    orDefault(m.WaitsWithin, time.Second),
		HeldWithin:     orDefault(m.HeldWithin, time.Second),
		BackfillWithin: orDefault(m.BackfillWithin, 5*time.Second),
		Rows:           orDefault(m.Rows, 1_000_000),
		MinRequests:    orDefault(m.MinRequests, 200),
	}
}

// Detect judges every migration.
func (m *MigrationLocks) Detect(j journal.Journal) Finding {
	d, p := open("migration_locks"), m.resolved()
	migrations, err := stepsOf(j, "migrate")
	if err != nil {
		return d.unknown("whether the migration holds up the service is not known: %v", err)
	}
	rows := 0
	for _, step := range migrations {
		w := watchLocks(j, step)
		rows = p.exercised(d, j, step, w)
		p.service(d, w)
		p.exclusive(d, w)
		p.backfill(d, w)
		p.migrators(d, j, step, w)
	}
	return d.close("promised: a migration holds up nobody; seen: with %d rows, no statement of the service waited for "+
		"a lock for more than %s (bound %v), ACCESS EXCLUSIVE was held for %s at most (bound %v), and the longest "+
		"transaction that changed rows took %s (bound %v)", rows,
		timeOf(d.Quantities, "service_lock_wait_max"), p.WaitsWithin,
		timeOf(d.Quantities, "access_exclusive_held_max"), p.HeldWithin,
		timeOf(d.Quantities, "backfill_transaction_max"), p.BackfillWithin)
}

// maxBlind is how long the lock watch may see nothing: half of the shortest
// default bound.
const maxBlind = 500 * time.Millisecond

// exercised says what of the scene was missing, and how many rows there were.
func (m *MigrationLocks) exercised(d *docket, j journal.Journal, step faultStep, w *lockWatch) (rows int) {
	sent := 0
	for e, f := range journal.Of[journal.Filled](j) {
		if e.On == step.Target {
			rows += f.Rows
		}
	}
	for r := range hits(j, span{windows: []journal.Window{step.window}}, "", nil) {
		sent += one(!r.Dropped && mayUse(j.Header(), r.Route, step.Target))
	}
	read := slices.ContainsFunc(j.Steps(), func(s journal.Step) bool {
		window, ok := carriedOut(s)
		return ok && s.Action == "long_reader" && s.Target == step.Target && window.Contains(step.Begun)
	})
	d.add(measured("rows", float64(rows), "1", rows), measured("lock_samples", float64(w.samples), "1", w.samples),
		boundedTime("lock_watch_blind_max", w.blind, maxBlind, w.samples))
	switch {
	case rows < m.Rows:
		d.doubt("the table was filled with %d rows, and %d are needed to see what takes its time (migrate: {rows: …})",
			rows, m.Rows)
	case !read:
		d.doubt("no long_reader step was in force on %s when the migration began, so no lock had to be waited for",
			step.Target)
	}
	switch {
	case sent < m.MinRequests:
		d.doubt("%d requests that use %s met the migration, and %d are needed", sent, step.Target, m.MinRequests)
	case w.samples == 0:
		d.doubt("the locks of %s were not seen while the migration went on", step.Target)
	case w.blind > maxBlind:
		d.doubt("the lock watch saw nothing for %v while the migration went on", brief(w.blind))
	case w.workers == 0:
		d.doubt("in %d samples no migrator held or wanted a lock on a table; was there anything to migrate, and does the "+
			"migrator have a role of its own?", w.samples)
	}
	return rows
}

func (m *MigrationLocks) service(d *docket, w *lockWatch) {
	d.add(boundedTime("service_lock_wait_max", w.waited.long, m.WaitsWithin, w.waited.n))
	if w.waited.long > m.WaitsWithin {
		d.point(w.waited.worst)
		d.against("promised that a migration makes no statement wait for a lock longer than %v; one of the service's waited "+
			"for %v%s: give the migrator a lock_timeout, and change large tables in small pieces", m.WaitsWithin,
			brief(w.waited.long), w.behind)
	}
}

func (m *MigrationLocks) exclusive(d *docket, w *lockWatch) {
	d.add(boundedTime("access_exclusive_held_max", w.held.long, m.HeldWithin, w.held.n))
	if w.held.long > m.HeldWithin {
		d.point(w.held.worst)
		d.against("promised that no migrator locks a table against everybody for more than %v; one did for %v",
			m.HeldWithin, brief(w.held.long))
	}
}

func (m *MigrationLocks) backfill(d *docket, w *lockWatch) {
	d.add(boundedTime("backfill_transaction_max", w.changed.long, m.BackfillWithin, w.changed.n))
	if w.changed.long > m.BackfillWithin {
		d.point(w.changed.worst)
		d.against("promised that a transaction of a migration that changes rows lasts %v at most; one lasted %v, and kept "+
			"the rows locked: fill in in batches, each with its own commit", m.BackfillWithin, brief(w.changed.long))
	}
}

// togetherInARow is how many samples in a row must show two migrators at work:
// in one, the second may have begun while the sample was taken.
const togetherInARow = 3

func (m *MigrationLocks) migrators(d *docket, j journal.Journal, step faultStep, w *lockWatch) {
	ended, failed := 0, 0
	for e, done := range journal.Of[journal.Migrated](j) {
		if done.Began || e.On != step.Name {
			continue
		}
		ended++
		if done.Err != "" {
			failed++
			d.point(seen(e, "migrator %d: %s", done.Migrator, done.Err))
			d.against("promised that migrators succeed or have nothing to do, however many start at once; migrator %d ended "+
				"with: %s", done.Migrator, done.Err)
		}
	}
	d.add(bounded("migrators_failed", float64(failed), "1", "<=", 0, ended),
		measured("migrators_at_work_max", float64(w.atWork), "1", w.samples))
	if ended == 0 {
		d.doubt("no migrator was seen to end")
	}
	if w.together >= togetherInARow {
		d.point(w.both)
		d.against("promised that of several migrators one works; %d were at work on tables at once, in %d samples in a row: "+
			"have them take an advisory lock first", w.atWork, w.together)
	}
}

// mode of a lock that keeps everybody out, and one of a transaction that changes
// rows.
const (
	accessExclusive = "AccessExclusiveLock"
	rowExclusive    = "RowExclusiveLock"
)

// ownSession reports whether seatrial opened the session.
func ownSession(s journal.Session) bool { return strings.HasPrefix(s.App, "seatrial-") }
