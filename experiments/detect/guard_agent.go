package detect

import "github.com/seatrial/seatrial/experiments/journal"

// AgentGuard holds when the agent was not replaced: its replacement cuts every
// connection through it, and what comes after says nothing about the service.
type AgentGuard struct{}

var _ = register(Info{
	Kind: "guard_agent", Class: Safety, Summary: "the agent was not replaced",
}, func() Detector { return &AgentGuard{} })

// Detect judges the journal.
func (*AgentGuard) Detect(j journal.Journal) Finding {
	f := finding("guard_agent")
	for e, a := range journal.Of[journal.AgentReplaced](j) {
		f.Evidence = []Evidence{{At: e.At, Kind: a.Kind(), On: e.On, Excerpt: a.Reason}}
		return f.unknown("the agent was replaced at %v and its connections were lost (%s); nothing after that says "+
			"anything about the service", e.At, a.Reason)
	}
	for range j.Entries() {
		f.Quantities = []journal.Quantity{bounded("agents_replaced", 0, "1", "<=", 0, 0)}
		return f.held("the agent was not replaced")
	}
	return f.unknown("the journal is empty")
}
