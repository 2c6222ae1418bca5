package experiments

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestScale(t *testing.T) {
	x, env, _, m := fakes()
	s := &Scale{To: 3}
	errorIs(t, carryOut(t, s, x), "")
	if !slices.Equal(env.done, []string{"scale |||"}) {
		t.Errorf("done: %v", env.done)
	}
	env.err = os.ErrDeadlineExceeded
	if err := carryOut(t, s, x); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	errorIs(t, s.Witness(m, "", journal.Window{}), "no replica was started or stopped")
	m.Record(journal.Entry{At: 5, On: "orders-3", Body: journal.Started{}})
	errorIs(t, s.Witness(m, "", journal.Window{From: 6}), "no replica was started or stopped")
	errorIs(t, s.Witness(m, "", journal.Window{From: 5}), "")
	sub := sampleSubject(t)
	errorIs(t, s.Supports(sub, "postgres"), "leave out `on: postgres`")
	errorIs(t, (&Scale{}).Supports(sub, ""), "at least 1")
	sub.Service.Ports = map[string]int{"http": 8080}
	errorIs(t, s.Supports(sub, ""), "fixed at 8080")
}
