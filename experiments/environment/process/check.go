package process

import (
	"errors"
	"fmt"

	"github.com/seatrial/seatrial/experiments/environment/fleet"
	"github.com/seatrial/seatrial/experiments/environment/ports"
	"github.com/seatrial/seatrial/experiments/subject"
)

// check holds a subject against what this backend can do.
func (b *Backend) check(s *subject.Subject) error {
	if s.Service.Build == nil && len(s.Service.Command) == 0 {
		return errors.New("the service has neither build nor command; set one of them")
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
	return fleet.Check(s, b.AllowTargets)
}
