package experiments

import (
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/faults"
)

// spare makes a plan not applicable that would hurt others who use the same
// database server, unless the subject allows it.
func (p *planner) spare(step string, a Action, target string) {
	d, ok := p.Subject.Dependency(target)
	if !ok || !d.External() || d.Disruptive {
		return
	}
	if harm := harmOf(a, d); harm != "" {
		p.reason(
			"step %q would hurt other users of the server at %s: %s; say disruptive: true in dependencies.%s to allow it",
			step,
			d.Address,
			harm,
			d.Name,
		)
	}
}

// harmOf says how an action hurts others on a database server; empty: it does
// not.
func harmOf(a Action, d subject.Dependency) string {
	switch a := a.(type) {
	case *FaultAction:
		if h, ok := a.Fault.(faults.Harmful); ok {
			return h.Harm()
		}
	case *Migrate:
		if d.ServiceURL != "" {
			return "it migrates tables that others use"
		}
	}
	return ""
}
