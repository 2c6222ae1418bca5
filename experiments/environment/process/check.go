package process

import (
	"errors"
	"fmt"
	"net"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/subject"
)

// check holds a subject against what this backend can do.
func (b *Backend) check(s *subject.Subject) error {
	if s.Service.Build == nil && len(s.Service.Command) == 0 {
		return errors.New("the service has neither build nor command; set one of them")
	}
	if fleet.StopSignal(s) == 0 {
		return fmt.Errorf("service.stop.signal: no signal is called %q here; write one like SIGTERM", s.Service.Stop.Signal)
	}
	for name, port := range fleet.Ports(s) {
		if port == 0 {
			continue
		}
		if fleet.Replicas(s) != 1 {
			return fmt.Errorf("port %s of the service is always %d, so it can have one replica, not %d",
				name, port, fleet.Replicas(s))
		}
		if err := ports.Free(port); err != nil {
			return fmt.Errorf("port %s of the service cannot be used: %w; "+
				"free it, or let the service be told its port", name, err)
		}
	}
	if err := s.Remote(b.AllowTargets); err != nil {
		return err
	}
	for _, d := range s.Dependencies {
		if err := checkDependency(d); err != nil {
			return err
		}
	}
	return nil
}

func checkDependency(d subject.Dependency) error {
	switch d.Kind {
	case subject.Postgres, subject.Redis, subject.HTTP:
		return nil
	case subject.TCP:
		if _, _, err := net.SplitHostPort(d.Address); err != nil {
			return fmt.Errorf("%s: its address is not host:port: %w", d.Name, err)
		}
		return nil
	}
	return fmt.Errorf("%s: the process environment knows no kind of dependency called %q", d.Name, d.Kind)
}
