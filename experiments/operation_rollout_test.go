package experiments

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
)

// migrating is an environment that can migrate.
type migrating struct {
	*fakeEnvironment
	runs atomic.Int32
	err  error
}

func (m *migrating) Migrate(context.Context) error {
	m.runs.Add(1)
	return m.err
}

func TestMigrate(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want string
	}{"good": {}, "broken": {errors.New("no lock"), "no lock"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, env, _, m := fakes()
				e := &migrating{fakeEnvironment: env, err: tt.err}
				x.Environment = e
				a := &Migrate{AtOnce: 3, Estimate: time.Second}
				errorIs(t, a.Witness(m, "", journal.Window{}), "no migrator ended")
				errorIs(t, carryOut(t, a, x), "")
				errorIs(t, a.Witness(m, "", journal.Window{}), "")
				var began, ended int
				for _, done := range journal.Of[journal.Migrated](m) {
					if done.Began {
						began++
						continue
					}
					ended++
					if done.Err != tt.want {
						t.Errorf("migrator %d ended with %q", done.Migrator, done.Err)
					}
				}
				if e.runs.Load() != 3 || began != 3 || ended != 3 {
					t.Errorf("%d runs, %d began and %d ended in the journal", e.runs.Load(), began, ended)
				}
			})
		})
	}
	x, _, _, _ := fakes()
	errorIs(t, carryOut(t, &Migrate{AtOnce: 1}, x), "cannot run migrations")
}

func TestRollTo(t *testing.T) {
	for name, tt := range map[string]struct {
		roll    RollTo
		version string // that the first replica runs
		fails   string
		want    []string
		rolled  []string
	}{
		"half": {
			roll: RollTo{Version: "next", Replicas: 1},
			want: []string{"orders-1 use next", "orders-1 terminate", "orders-1 start"}, rolled: []string{"orders-1 next "},
		},
		"the rest": {
			roll: RollTo{Version: "next"}, version: "next",
			want: []string{"orders-2 use next", "orders-2 terminate", "orders-2 start"}, rolled: []string{"orders-2 next "},
		},
		"does not start": {
			roll: RollTo{Version: "next", Replicas: 1}, fails: "start",
			want: []string{"orders-1 use next", "orders-1 terminate", "orders-1 start"}, rolled: []string{"orders-1 next boom"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, env, _, m := fakes()
			first := env.replicas[0].(*fakeReplica)
			first.version = tt.version
			if tt.fails != "" {
				first.errs[tt.fails] = errors.New("boom")
			}
			errorIs(t, carryOut(t, &tt.roll, x), "")
			if diff := cmp.Diff(tt.want, env.done); diff != "" {
				t.Errorf("done (-want +got):\n%s", diff)
			}
			var rolled []string
			for e, r := range journal.Of[journal.Rolled](m) {
				rolled = append(rolled, e.On+" "+r.Version+" "+r.Err)
			}
			if !slices.Equal(tt.rolled, rolled) {
				t.Errorf("recorded %q", rolled)
			}
			errorIs(t, tt.roll.Witness(m, "", journal.Window{}), "")
			errorIs(t, (&RollTo{Version: "current"}).Witness(m, "", journal.Window{}), "no replica was replaced")
		})
	}
}

func TestRolloutsNeedANextVersion(t *testing.T) {
	s := sampleSubject(t)
	s.Next = nil
	for _, a := range []Action{&Migrate{AtOnce: 1, Estimate: 1}, &RollTo{Version: "next"}} {
		errorIs(t, a.Supports(s, ""), "no next version")
	}
	s.Next = &subject.Next{Migrate: []subject.Command{{Run: []string{"migrate"}}}}
	for _, a := range []Action{&Migrate{AtOnce: 1, Estimate: 1}, &RollTo{Version: "next"}} {
		errorIs(t, a.Supports(s, ""), "")
	}
	errorIs(t, (&Migrate{AtOnce: 1, Estimate: 1}).Supports(s, "postgres"), "")
	errorIs(t, (&Migrate{AtOnce: 1, Estimate: 1}).Supports(s, "redis"), "no postgres dependency")
	errorIs(t, (&RollTo{Version: "newest"}).Supports(s, ""), "must be next or current")
	p := &Plan{Steps: []PlannedStep{{Do: &Migrate{}, PlannedStep: journal.PlannedStep{Target: "db"}}}}
	if !p.NeedsNext() || !p.WatchesLocks("db") || p.WatchesLocks("other") || (&Plan{}).NeedsNext() {
		t.Error("the plan does not know what it needs")
	}
}

func TestReadAcross(t *testing.T) {
	x, _, load, m := fakes()
	r := &ReadAcross{Writes: 4, For: time.Second}
	errorIs(t, carryOut(t, r, x), "")
	if diff := cmp.Diff([]ReadAcrossSpec{{Name: "it", Writes: 4, For: time.Second}}, load.across); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	errorIs(t, r.Witness(m, "", journal.Window{}), "was answered")
	m.Record(journal.Entry{Body: journal.CrossRead{Code: 200}})
	errorIs(t, r.Witness(m, "", journal.Window{}), "")
	errorIs(t, (&ReadAcross{}).Supports(sampleSubject(t), ""), "writes must be 1 or more")
	if !strings.Contains(r.String(), "4 times") {
		t.Error(r.String())
	}
}
