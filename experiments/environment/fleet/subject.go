package fleet

import (
	"fmt"
	"net"
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

// Check holds a subject against what all environments can do. Allowed are hosts
// of dependencies that may be used although they are not this machine.
func Check(s *subject.Subject, allowed []string) error {
	if StopSignal(s) == 0 {
		return fmt.Errorf("service.stop.signal: no signal is called %q here; write one like SIGTERM", s.Service.Stop.Signal)
	}
	for _, d := range s.Dependencies {
		switch d.Kind {
		case subject.Postgres, subject.Redis, subject.HTTP:
		case subject.TCP:
			if d.Contained(s) {
				continue
			}
			if _, _, err := net.SplitHostPort(d.Address); err != nil {
				return fmt.Errorf("%s: its address is not host:port: %w", d.Name, err)
			}
		default:
			return fmt.Errorf("%s: no environment knows a kind of dependency called %q", d.Name, d.Kind)
		}
	}
	return s.Remote(allowed)
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
