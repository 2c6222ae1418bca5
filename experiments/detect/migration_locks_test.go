package detect

import (
	"testing"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// migrated is what a made-up migration differs by from a good one.
type migrated struct {
	rows     int     // default 1000000
	rate     float64 // default 50
	noReader bool
	errs     []string                                   // of the migrators; default: three that succeed
	sample   func(at journal.Instant, l *journal.Locks) // edits each
	unseen   func(at journal.Instant) bool              // whether a sample is missing
	request  func(i int, r *journal.Request)            // edits each
}

const migratorPID = 900

// migration is the journal of a migration from 5 s to 20 s, with a reader from
// 4 s to 9 s. A good one tries for its lock now and then, changes rows in
// batches of half a second from 9 s to 17 s, and builds its index until 19 s.
func migration(o migrated) journal.Journal {
	m := fixture(func(h *journal.Header) {
		h.LoadFor, h.Rate, h.Target = 25*time.Second, orDefault(o.rate, 50), ""
		h.Method = []journal.PlannedStep{
			{Name: "reader", Action: "long_reader", Class: "fault", Target: "db"},
			{Name: "migration", Action: "migrate", Class: "operation", Target: "db"},
		}
	})
	m.Record(journal.Entry{At: -5 * sec, On: "db", Body: journal.Filled{Rows: orDefault(o.rows, 1_000_000)}})
	if !o.noReader {
		step(m, 0, 4*sec, 9*sec)
	}
	if o.errs == nil {
		o.errs = []string{"", "", ""}
	}
	for i, err := range o.errs {
		m.Record(journal.Entry{At: 5 * sec, On: "migration", Body: journal.Migrated{Migrator: i + 1, Began: true}})
		ended := journal.Migrated{Migrator: i + 1, Err: err}
		m.Record(journal.Entry{At: journal.Instant(19500 * ms), On: "migration", Body: ended})
	}
	for at := 4 * sec; at < 21*sec; at += journal.Instant(50 * time.Millisecond) {
		l := goodLocks(at)
		if o.sample != nil {
			o.sample(at, &l)
		}
		if o.unseen == nil || !o.unseen(at) {
			m.Record(journal.Entry{At: at, On: "db", Body: l})
		}
	}
	step(m, 1, 5*sec, 20*sec)
	load(m, o.request)
	return m
}

// goodLocks is a sample of that journal.
func goodLocks(at journal.Instant) journal.Locks {
	var l journal.Locks
	if at < 9*sec {
		l.Sessions = append(l.Sessions, journal.Session{
			PID: 800, User: "admin", App: "seatrial-r1", XactAge: at.Sub(4*sec) + 1,
		})
		l.Tables = append(l.Tables, journal.TableLock{PID: 800, Table: "orders", Mode: "AccessShareLock", Granted: true})
	}
	into := time.Duration(at) % time.Second
	switch {
	case at < 5*sec:
	case at < 9*sec && into < 300*ms:
		migrator(&l, into+1, journal.TableLock{Table: "orders", Mode: accessExclusive})
		queues(&l, 700, at.Add(-into))
	case at >= 9*sec && at < 17*sec:
		migrator(&l, into%(500*ms)+1, journal.TableLock{Table: "orders", Mode: rowExclusive, Granted: true})
	case at >= 17*sec && at < 19*sec:
		migrator(&l, at.Sub(17*sec), journal.TableLock{Table: "orders", Mode: "ShareUpdateExclusiveLock", Granted: true})
	}
	return l
}

func migrator(l *journal.Locks, age time.Duration, locks ...journal.TableLock) {
	pid := migratorPID + len(l.Sessions)
	l.Sessions = append(l.Sessions, journal.Session{
		PID: pid, User: "admin", App: "orders-migrate", XactAge: age, Query: "ALTER TABLE orders",
	})
	for _, t := range locks {
		t.PID = pid
		l.Tables = append(l.Tables, t)
	}
}

// queues adds a statement of the service that has waited for a lock since then.
func queues(l *journal.Locks, pid int, since journal.Instant) {
	l.Sessions = append(l.Sessions, journal.Session{
		PID: pid, User: "orders", App: "orders-1", Service: true, Waits: true, Statement: int64(since) / 1000,
	})
	l.Tables = append(l.Tables, journal.TableLock{PID: pid, Table: "orders", Mode: "AccessShareLock"})
}

// between edits the samples of a time: what a migrator does instead there.
func between(
	from, to journal.Instant, edit func(at journal.Instant, l *journal.Locks),
) func(journal.Instant, *journal.Locks) {
	return func(at journal.Instant, l *journal.Locks) {
		if at >= from && at < to {
			*l = journal.Locks{}
			edit(at, l)
		}
	}
}

// queued is an ALTER without a lock_timeout.
var queued = between(5*sec, 9*sec, func(at journal.Instant, l *journal.Locks) {
	migrator(l, at.Sub(5*sec)+1, journal.TableLock{Table: "orders", Mode: accessExclusive})
	queues(l, 700, 5*sec)
})

var (
	_ = madeUpAs("migration_locks/held-in-small-pieces", func() journal.Journal { return migration(migrated{}) })
	_ = madeUpAs("migration_locks/violated-queued-behind", func() journal.Journal {
		return migration(migrated{sample: queued})
	})
	_ = madeUpAs("migration_locks/unknown-small-table", func() journal.Journal { return migration(migrated{rows: 1000}) })
)

func TestMigrationLocks(t *testing.T) {
	for name, tt := range map[string]struct {
		migrated
		want  Outcome
		texts []string
	}{
		"good": {migrated{}, Held, []string{"with 1000000 rows", "for more than 250ms"}},
		"requests for something else": {migrated{request: func(_ int, r *journal.Request) {
			r.Route = "pay"
		}}, Unknown, []string{"0 requests that use db met the migration"}},
		"not sent": {migrated{request: func(_ int, r *journal.Request) {
			drop(r)
		}}, Unknown, []string{"0 requests that use"}},
		"queued behind an ALTER": {
			migrated{sample: queued},
			Violated,
			[]string{"waited for 3.95s while orders-migrate was at «ALTER TABLE orders»", "lock_timeout"},
		},
		"held against everybody": {migrated{sample: between(10*sec, 13*sec, func(at journal.Instant, l *journal.Locks) {
			migrator(l, at.Sub(10*sec)+1, journal.TableLock{Table: "orders", Mode: accessExclusive, Granted: true})
		})}, Violated, []string{"locks a table against everybody for more than 1s; one did for 2.95s"}},
		"one update": {migrated{sample: between(9*sec, 17*sec, func(at journal.Instant, l *journal.Locks) {
			migrator(l, at.Sub(9*sec)+1, journal.TableLock{Table: "orders", Mode: rowExclusive, Granted: true})
		})}, Violated, []string{"one lasted 7.95s", "batches"}},
		"statements one after the other": {migrated{sample: between(10*sec, 13*sec,
			func(at journal.Instant, l *journal.Locks) {
				queues(l, 700, at.Add(-time.Duration(at)%(800*ms)))
			})}, Held, nil},
		"two at work": {migrated{sample: between(10*sec, 11*sec, func(_ journal.Instant, l *journal.Locks) {
			migrator(l, 1, journal.TableLock{Table: "orders", Mode: rowExclusive, Granted: true})
			migrator(l, 1, journal.TableLock{Table: "orders", Mode: rowExclusive})
		})}, Violated, []string{"2 were at work on tables at once, in 20 samples"}},
		"one fails": {
			migrated{errs: []string{"", "column exists", ""}},
			Violated,
			[]string{"migrator 2 ended with: column exists"},
		},
		"small table":     {migrated{rows: 1000}, Unknown, []string{"1000 rows, and 1000000 are needed"}},
		"no reader":       {migrated{noReader: true}, Unknown, []string{"no long_reader step"}},
		"hardly any load": {migrated{rate: 5}, Unknown, []string{"38 requests that use db met the migration"}},
		"nothing migrated": {
			migrated{sample: func(_ journal.Instant, l *journal.Locks) { *l = journal.Locks{} }},
			Unknown,
			[]string{"no migrator held or wanted a lock"},
		},
		"not seen": {
			migrated{unseen: func(at journal.Instant) bool { return at > 10*sec && at < 12*sec }},
			Unknown,
			[]string{"saw nothing for 2s"},
		},
		"nothing seen": {migrated{unseen: func(journal.Instant) bool { return true }}, Unknown, []string{"were not seen"}},
		"no end":       {migrated{errs: []string{}}, Unknown, []string{"no migrator was seen to end"}},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, (&MigrationLocks{}).Detect(migration(tt.migrated)), tt.want, tt.texts...)
		})
	}
}
