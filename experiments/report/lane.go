package report

import (
	"slices"

	"github.com/seatrial/seatrial/experiments/journal"
)

// bar is a span of a lane in one state.
type bar struct {
	from, to float64
	color    token
}

// tick is a mark on a lane.
type tick struct {
	at    float64
	color token
	label string
}

// lane is one replica's life: when it said it was ready, when the balancer sent
// to it, and when it was signalled, ended and started again.
type lane struct {
	name  string
	bars  []bar // readiness, by the polls
	inBar []bar // the balancer's rotation
	ticks []tick
}

// replicaLanes makes a lane for every replica, and for every dependency whose
// process was touched.
func replicaLanes(j journal.Journal, end float64) []lane {
	names := slices.Clone(j.Header().Replicas)
	for e := range j.Entries(journal.Poll{}.Kind(), journal.Started{}.Kind(), journal.Exited{}.Kind()) {
		if !slices.Contains(names, e.On) {
			names = append(names, e.On)
		}
	}
	slices.Sort(names)
	var out []lane
	for _, name := range names {
		l := lane{name: Clean(name)}
		var ready, in spans
		for e := range j.Entries() {
			if e.On == name {
				l.see(e, &ready, &in)
			}
		}
		l.bars, l.inBar = ready.close(end), in.close(end)
		if len(l.bars)+len(l.inBar) > 0 || len(l.ticks) > 1 { // not what was started only
			out = append(out, l)
		}
	}
	return out
}

func (l *lane) see(e journal.Entry, ready, in *spans) {
	at := e.At.Duration().Seconds()
	switch b := e.Body.(type) {
	case journal.Poll:
		if b.Endpoint != journal.Readiness {
			return
		}
		switch {
		case b.Code == 200:
			ready.to(at, colorGood)
		case b.Code != 0:
			ready.to(at, colorWarn)
		default:
			ready.to(at, colorBad)
		}
	case journal.Endpoint:
		if b.In {
			in.to(at, colorOne)
		} else {
			in.to(at, colorNone)
		}
	case journal.Exited:
		l.ticks = append(l.ticks, tick{at, colorBad, exitWords(b)})
	case journal.Started:
		l.ticks = append(l.ticks, tick{at, colorInk, "started"})
	case journal.Signalled:
		l.ticks = append(l.ticks, tick{at, colorInk, Clean(b.Signal)})
	}
}

// spans collects bars from changes of state.
type spans struct{ bars []bar }

func (s *spans) to(at float64, c token) {
	if n := len(s.bars); n > 0 {
		if s.bars[n-1].color == c {
			return
		}
		s.bars[n-1].to = at
	}
	s.bars = append(s.bars, bar{from: at, color: c})
}

func (s *spans) close(end float64) []bar {
	if n := len(s.bars); n > 0 {
		s.bars[n-1].to = end
	}
	return slices.DeleteFunc(s.bars, func(b bar) bool { return b.color == colorNone })
}
