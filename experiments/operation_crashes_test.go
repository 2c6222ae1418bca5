package experiments

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestCrashes(t *testing.T) {
	for name, tt := range map[string]struct {
		fails string // what the first replica cannot do
		pid   int    // of the first replica, after its start
		want  []string
		notes int
		err   string
	}{
		"in turns": {want: []string{
			"orders-1 killed", "orders-1 start", "orders-2 killed", "orders-2 start", "orders-1 killed", "orders-1 start",
		}},
		"had ended by itself": {fails: "killed", notes: 2, want: []string{
			"orders-1 killed", "orders-1 start", "orders-2 killed", "orders-2 start", "orders-1 killed", "orders-1 start",
		}},
		"not ready": {fails: "start", pid: 7, notes: 2, want: []string{
			"orders-1 killed", "orders-1 start", "orders-2 killed", "orders-2 start", "orders-1 killed", "orders-1 start",
		}},
		"does not end": {fails: "wait", want: []string{"orders-1 killed"}, err: "crash 1 of 3: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x, env, _, m := fakes()
				first := env.replicas[0].(*fakeReplica)
				first.errs[tt.fails], first.pid = errors.New("boom"), tt.pid
				began := time.Now()
				errorIs(t, carryOut(t, &Crashes{Cycles: 3, Every: time.Second, Seed: 7}, x), tt.err)
				if diff := cmp.Diff(tt.want, env.done); diff != "" {
					t.Errorf("done (-want +got):\n%s", diff)
				}
				if took := time.Since(began); tt.err == "" && (took < 2*time.Second || took >= 2500*time.Millisecond) {
					t.Errorf("the last crash came after %v, wanted it in the first half of the third second", took)
				}
				if notes := notesIn(m); notes != tt.notes {
					t.Errorf("%d notes, wanted %d", notes, tt.notes)
				}
			})
		})
	}
}

func TestCrashesMoments(t *testing.T) {
	c := Crashes{Cycles: 20, Every: time.Second, Seed: 7}
	moments, halves := c.moments(), map[bool]int{}
	for n, m := range moments {
		in := m - time.Duration(n)*time.Second
		if in < 0 || in >= 500*time.Millisecond {
			t.Errorf("crash %d is %v after its cycle's beginning", n+1, in)
		}
		halves[in < 250*time.Millisecond]++
	}
	if halves[true] < 3 || halves[false] < 3 {
		t.Errorf("the moments are not spread: %v", moments)
	}
	if diff := cmp.Diff(moments, c.moments()); diff != "" {
		t.Errorf("the same seed gives other moments: %s", diff)
	}
	if c.Length() != 20*time.Second {
		t.Errorf("it takes %v", c.Length())
	}
}

func TestCrashesWitness(t *testing.T) {
	_, _, _, m := fakes()
	c := &Crashes{Cycles: 2, Every: time.Second}
	exit := func(at journal.Instant, on, signal string) {
		m.Record(journal.Entry{At: at, On: on, Body: journal.Exited{Code: -1, Signal: signal}})
	}
	exit(1, "orders-1", "killed")
	exit(20, "orders-2", "killed")
	exit(21, "db", "killed")
	exit(22, "orders-1", "terminated")
	errorIs(t, c.Witness(m, "", journal.Window{From: 10}), "of 2 crashes 1 were seen")
	exit(23, "orders-1", "killed")
	errorIs(t, c.Witness(m, "", journal.Window{From: 10}), "")
	errorIs(t, c.Supports(sampleSubject(t), ""), "")
	errorIs(t, c.Supports(sampleSubject(t), "orders-1"), "leave out `on: orders-1`")
	errorIs(t, (&Crashes{Every: time.Second}).Supports(sampleSubject(t), ""), "cycles must be 1 or more")
}
