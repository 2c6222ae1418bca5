package fleet

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seatrial/seatrial/experiments/environment/spawn"
	"github.com/seatrial/seatrial/experiments/subject"
)

// Ports are the ports of a subject's service: {http: 0} when it names none.
func Ports(s *subject.Subject) map[string]int {
	if len(s.Service.Ports) == 0 {
		return map[string]int{"http": 0}
	}
	return s.Service.Ports
}

// Replicas is how many replicas a subject begins with: 2 when it does not say.
func Replicas(s *subject.Subject) int {
	if s.Service.Replicas <= 0 {
		return 2
	}
	return s.Service.Replicas
}

// StopSignal is the signal that a replica is asked to end by; zero when the
// subject names none that is known here.
func StopSignal(s *subject.Subject) syscall.Signal {
	return unix.SignalNum(or(s.Service.Stop.Signal, "SIGTERM"))
}

// Grace is how long a replica has to end: 30s when the subject does not say.
func (f *Fleet) Grace() time.Duration {
	if g := f.Subject.Service.Stop.Grace; g > 0 {
		return g
	}
	return 30 * time.Second
}

// Printed is what a source printed last, as the end of a sentence.
func Printed(l *spawn.Lines) string {
	tail := slices.Compact(l.Tail())
	if len(tail) == 0 {
		return "; it printed nothing"
	}
	return "; it printed last: " + strings.Join(tail[max(0, len(tail)-5):], " | ")
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}
