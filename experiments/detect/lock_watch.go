package detect

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

// lockWatch is what the samples of a migration's locks come to.
type lockWatch struct {
	samples int
	blind   time.Duration // the longest time without a sample
	waited  longest       // statements of the service, for a lock
	behind  string        // whom the one that waited longest waited for
	held    longest       // ACCESS EXCLUSIVE, by migrators
	changed longest       // transactions of migrators that change rows
	workers int           // samples with a migrator that has, or wants, a lock

	atWork   int // migrators that changed tables at the same time, at most
	together int // samples in a row with more than one
	both     Evidence
}

// longest is the longest of what was seen from one sample to a later one.
type longest struct {
	long  time.Duration
	n     int // how many there were
	worst Evidence
	open  map[any]journal.Instant // since when what the last sample showed
}

// look takes what one sample shows; what it does not show has ended.
func (l *longest) look(e journal.Entry, now map[any]string) {
	next := map[any]journal.Instant{}
	for key, words := range now {
		since, ok := l.open[key]
		if !ok {
			since = e.At
			l.n++
		}
		next[key] = since
		l.reach(e, e.At.Sub(since), words)
	}
	l.open = next
}

func (l *longest) reach(e journal.Entry, d time.Duration, words string) bool {
	if d <= l.long {
		return false
	}
	l.long, l.worst = d, seen(e, "%s, for %v", words, brief(d))
	return true
}

// watchLocks goes through the samples of a migration.
func watchLocks(j journal.Journal, step faultStep) *lockWatch {
	w, last, row := &lockWatch{}, step.window.From, 0
	for e, l := range journal.Of[journal.Locks](j) {
		if e.On != step.Target || !step.window.Contains(e.At) || l.Err != "" {
			continue
		}
		w.samples++
		w.blind = max(w.blind, e.At.Sub(last))
		last = e.At
		w.waits(e, l)
		w.holds(e, l)
		row = w.works(e, l, row)
	}
	w.blind = max(w.blind, step.window.To.Sub(last))
	return w
}

// waits follows the service's statements that wait.
func (w *lockWatch) waits(e journal.Entry, l journal.Locks) {
	type statement struct {
		pid   int
		began int64
	}
	before, now := w.waited.long, map[any]string{}
	for _, s := range l.Sessions {
		if s.Service && s.Waits {
			now[statement{s.PID, s.Statement}] = fmt.Sprintf("backend %d (%s) waits for a lock", s.PID, s.App)
		}
	}
	w.waited.look(e, now)
	if w.waited.long > before {
		w.behind = ""
		for _, s := range l.Sessions {
			if !s.Service && !ownSession(s) && s.Query != "" && locksTable(l, s.PID, "") {
				w.behind = fmt.Sprintf(" while %s was at «%s»", cmp.Or(s.App, s.User), s.Query)
			}
		}
	}
}

// locksTable reports whether a backend holds or wants a lock on a table, of that
// mode unless it is empty.
func locksTable(l journal.Locks, pid int, mode string) bool {
	return slices.ContainsFunc(l.Tables, func(t journal.TableLock) bool {
		return t.PID == pid && (mode == "" || t.Granted && t.Mode == mode)
	})
}

// holds follows the migrators' strong locks, and their transactions.
func (w *lockWatch) holds(e journal.Entry, l journal.Locks) {
	type table struct {
		pid  int
		name string
	}
	locks, changes := map[any]string{}, 0
	for _, s := range l.Sessions {
		if s.Service || ownSession(s) {
			continue
		}
		for _, t := range l.Tables {
			if t.PID == s.PID && t.Granted && t.Mode == accessExclusive {
				locks[table{s.PID, t.Table}] = fmt.Sprintf("backend %d (%s) holds ACCESS EXCLUSIVE on %s: %s", s.PID, s.App,
					t.Table, s.Query)
			}
		}
		if s.XactAge > 0 && locksTable(l, s.PID, rowExclusive) {
			changes++
			w.changed.reach(e, s.XactAge, fmt.Sprintf("backend %d (%s) changes rows: %s", s.PID, s.App, s.Query))
		}
	}
	w.held.look(e, locks)
	w.changed.n += changes
}

// works counts the migrators that change tables in a sample; row is for how many
// samples there have been several.
func (w *lockWatch) works(e journal.Entry, l journal.Locks, row int) int {
	busy, several := 0, 0
	for _, s := range l.Sessions {
		if s.Service || ownSession(s) || !locksTable(l, s.PID, "") {
			continue
		}
		busy++
		several += one(slices.ContainsFunc(l.Tables, func(t journal.TableLock) bool {
			return t.PID == s.PID && t.Mode != "AccessShareLock" && t.Mode != "RowShareLock"
		}))
	}
	w.workers += one(busy > 0)
	w.atWork = max(w.atWork, several)
	if several < 2 {
		return 0
	}
	row++
	if row > w.together {
		w.together, w.both = row, seen(e, "%d migrators change tables at once", several)
	}
	return row
}
