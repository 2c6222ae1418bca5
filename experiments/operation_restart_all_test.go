package experiments

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRestartAll(t *testing.T) {
	stopped := []string{"orders-1 terminate", "orders-2 terminate"}
	for name, tt := range map[string]struct {
		drain string
		fails string // what the first replica cannot do
		pid   int    // of the first replica, after its start
		want  []string
		took  time.Duration
		err   string
		notes int
	}{
		"plain": {want: append(slices.Clone(stopped), "orders-1 start", "orders-2 start")},
		"prestop": {drain: "prestop", took: 2 * time.Second, want: []string{
			"orders-1 deregister", "orders-2 deregister", "orders-1 terminate", "orders-2 terminate",
			"orders-1 start", "orders-2 start", "orders-1 register", "orders-2 register",
		}},
		"not ready": {
			fails: "start", pid: 7, notes: 1, want: append(slices.Clone(stopped), "orders-1 start", "orders-2 start"),
		},
		"ends again and again": {
			fails: "start", notes: 4, took: 3500 * time.Millisecond,
			want: append(slices.Clone(stopped),
				"orders-1 start", "orders-1 start", "orders-1 start", "orders-1 start", "orders-2 start"),
		},
		"stays in the balancer": {
			drain: "prestop", fails: "deregister", took: 2 * time.Second, err: "boom",
			want: []string{"orders-1 deregister", "orders-2 deregister", "orders-2 terminate"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, env, _, m := fakes()
				x.Plan.Subject.Promises.Drain = tt.drain // and 2 s of delay by default
				first := env.replicas[0].(*fakeReplica)
				first.errs[tt.fails], first.pid = errors.New("boom"), tt.pid
				began := time.Now()
				errorIs(t, carryOut(t, &RestartAll{Patience: 3500 * time.Millisecond}, x), tt.err)
				if diff := cmp.Diff(byReplica(tt.want), byReplica(env.done)); diff != "" {
					t.Errorf("done (-want +got):\n%s", diff)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, wanted %v", took, tt.took)
				}
				if tt.err == "" && strings.Contains(strings.Join(env.done[2:], " "), "terminate") && tt.drain == "" {
					t.Errorf("a replica was started before the other one was stopped: %v", env.done)
				}
				if notes := notesIn(m); notes != tt.notes {
					t.Errorf("%d notes, wanted %d", notes, tt.notes)
				}
			})
		})
	}
}

// byReplica is what was done with each replica, in order: between them there is
// none.
func byReplica(done []string) map[string][]string {
	all := map[string][]string{}
	for _, d := range done {
		replica, what, _ := strings.Cut(d, " ")
		all[replica] = append(all[replica], what)
	}
	return all
}

func TestRestartAllWorksOnTheService(t *testing.T) {
	errorIs(t, (&RestartAll{}).Supports(sampleSubject(t), ""), "")
	errorIs(t, (&RestartAll{}).Supports(sampleSubject(t), "orders-1"), "leave out `on: orders-1`")
}
