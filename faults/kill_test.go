package faults

import (
	"errors"
	"testing"

	"github.com/seatrial/seatrial/experiments/journal"
)

// TestKilledSlowly finds the traffic before a kill whose end is told seconds
// later.
func TestKilledSlowly(t *testing.T) {
	signalled := func(s *tale) {
		s.Record(journal.Entry{At: at(4300), On: "db", Body: journal.Signalled{Signal: "SIGKILL"}})
	}
	early := func(s *tale) { // the service's traffic ends before the signal, and ours with the server
		for ms := 3000; ms < 9000; ms += 100 {
			if ms < 3500 {
				s.tally.UpBytes += 500
			}
			if ms < 5000 {
				s.tally.UpBytes += 8
				s.tally.DownBytes++
				s.tally.Conns++
			}
			s.tally.Open = 1
			s.Record(journal.Entry{At: at(ms) + 2, On: "db", Body: s.tally})
		}
	}
	late := journal.Window{From: at(6000), To: at(7000)}
	for name, c := range map[string]struct {
		tale parts
		want error
	}{
		"signalled": {parts{refused, early, signalled}, nil},
		"otherwise": {parts{refused, early}, ErrNotExercised},
	} {
		s := &tale{Memory: journal.NewMemory(journal.Header{})}
		for _, p := range c.tale {
			p(s)
		}
		if err := new(Kill).Witness(s.Memory, "db", late); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
