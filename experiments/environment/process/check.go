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
	for _, d := range s.Dependencies {
		if err := b.checkDependency(d); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) checkDependency(d subject.Dependency) error {
	switch d.Kind {
	case subject.Postgres, subject.Redis, subject.HTTP:
		return nil
	case subject.TCP:
		host, _, err := net.SplitHostPort(d.Address)
		if err != nil {
			return fmt.Errorf("%s: its address is not host:port: %w", d.Name, err)
		}
		ip := net.ParseIP(host)
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) && !b.AllowRemote {
			return fmt.Errorf("%s: %s is not on this machine; give --allow-target when you mean it", d.Name, d.Address)
		}
		return nil
	}
	return fmt.Errorf("%s: the process environment knows no kind of dependency called %q", d.Name, d.Kind)
}
