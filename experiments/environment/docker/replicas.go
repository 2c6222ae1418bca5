package docker

import (
	"github.com/seatrial/seatrial/experiments/environment"
	"github.com/seatrial/seatrial/faults"
)

// replicaTarget is a replica in a container.
type replicaTarget struct {
	environment.Replica
	*box
}

// remember keeps the container of a replica.
func (e *Environment) remember(name string, b *box) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.units[name] = b
}

// contained makes the replicas among targets containers.
func (e *Environment) contained(all []faults.Target) []faults.Target {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, t := range all {
		if r, ok := t.(environment.Replica); ok {
			all[i] = replicaTarget{r, e.units[r.Name()]}
		}
	}
	return all
}

// Target returns a dependency or a replica by name.
func (e *Environment) Target(name string) (faults.Target, error) {
	for _, t := range e.Targets() {
		if t.Name() == name {
			return t, nil
		}
	}
	return e.Base.Target(name) // which knows what to say of a name that nobody has
}

var (
	_ faults.Signalled   = replicaTarget{}
	_ faults.Restartable = replicaTarget{}
	_ faults.Bounded     = replicaTarget{}
	_ faults.Networked   = replicaTarget{}
)
