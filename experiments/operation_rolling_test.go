package experiments

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestRollingRestart(t *testing.T) {
	plain := []string{"orders-1 terminate", "orders-1 start", "orders-2 terminate", "orders-2 start"}
	for name, tt := range map[string]struct {
		drain string
		fails string // what the first replica cannot do
		want  []string
		took  time.Duration
		err   string
		notes int
	}{
		"plain": {want: plain, took: time.Second},
		"prestop": {drain: "prestop", took: 5 * time.Second, want: []string{
			"orders-1 deregister", "orders-1 terminate", "orders-1 start", "orders-1 register",
			"orders-2 deregister", "orders-2 terminate", "orders-2 start", "orders-2 register",
		}},
		"killed after its grace": {fails: "terminate", want: plain, took: time.Second, notes: 1},
		"does not start":         {fails: "start", want: plain[:2], err: "rolling restart: orders-1: boom"},
		"stays in the balancer": {
			drain: "prestop", fails: "deregister", want: []string{"orders-1 deregister"}, err: "orders-1: boom",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, env, _, m := fakes()
				x.Plan.Subject.Promises.Drain = tt.drain // and 2 s of delay by default
				env.replicas[0].(*fakeReplica).errs[tt.fails] = errors.New("boom")
				began := time.Now()
				errorIs(t, carryOut(t, &RollingRestart{Pause: time.Second}, x), tt.err)
				if diff := cmp.Diff(tt.want, env.done); diff != "" {
					t.Errorf("done (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, wanted %v", took, tt.took)
				}
				if notes := notesIn(m); notes != tt.notes {
					t.Errorf("%d notes, wanted %d", notes, tt.notes)
				}
			})
		})
	}
}

func TestRestartOneWorksOnItsTarget(t *testing.T) {
	x, env, _, _ := fakes()
	x.Target = "orders-2"
	errorIs(t, carryOut(t, &RestartOne{}, x), "")
	if diff := cmp.Diff([]string{"orders-2 terminate", "orders-2 start"}, env.done); diff != "" {
		t.Errorf("done (-want +got):\n%s", diff)
	}
	x.Target = "orders-9"
	errorIs(t, carryOut(t, &RestartOne{}, x), `no replica called "orders-9"`)
}

func TestRestartWitness(t *testing.T) {
	exit := func(at journal.Instant, on string) journal.Entry {
		return journal.Entry{At: at, On: on, Body: journal.Exited{}}
	}
	start := func(at journal.Instant, on string) journal.Entry {
		return journal.Entry{At: at, On: on, Body: journal.Started{}}
	}
	both := []journal.Entry{exit(10, "orders-1"), start(11, "orders-1"), exit(12, "orders-2"), start(13, "orders-2")}
	for name, tt := range map[string]struct {
		entries  []journal.Entry
		all, one string
	}{
		"both":                {both, "", ""},
		"one":                 {both[:2], "orders-2 did not exit", ""},
		"not started again":   {both[:3], "orders-2 was not started again", ""},
		"the other one":       {both[2:], "orders-1 did not exit", "orders-1 did not exit"},
		"before the step":     {[]journal.Entry{exit(1, "orders-1"), start(2, "orders-1")}, "did not exit", "did not exit"},
		"started, then ended": {[]journal.Entry{start(10, "orders-1"), exit(11, "orders-1")}, "not started", "not started"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, m := fakes()
			for _, e := range tt.entries {
				m.Record(e)
			}
			w := journal.Window{From: 5}
			errorIs(t, (&RollingRestart{}).Witness(m, "", w), tt.all)
			errorIs(t, (&RestartAll{}).Witness(m, "", w), tt.all)
			errorIs(t, (&RestartOne{}).Witness(m, "orders-1", w), tt.one)
		})
	}
}
