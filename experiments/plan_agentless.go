package experiments

import (
	"github.com/seatrial/seatrial/experiments/detect"
	"github.com/seatrial/seatrial/experiments/subject"
)

const untold = ", so that nobody could tell whether the service met it"

// agentsPart says of kinds of steps and of detectors what they need of the agent.
var agentsPart = map[string]string{
	"bandwidth":         "Toxiproxy's own toxic does not count what it holds up" + untold,
	"slicer":            "Toxiproxy's own toxic does not count what it slices" + untold,
	"slow_close":        "Toxiproxy's own toxic does not count the closes that it delays" + untold,
	"limit_data":        "Toxiproxy's own toxic does not count the connections that it cuts" + untold,
	"reset":             "Toxiproxy's own toxic ends open connections cleanly; that they are reset is the agent's work",
	"connect_blackhole": "a listener that accepts nothing in the proxy's place is the agent's work",
	"sql_error":         "a wire tap, which is the agent's, has to answer in the database's place",
	"cut_result":        "a wire tap, which is the agent's, has to count rows",
	"lost_commit":       "a wire tap, which is the agent's, has to tell a COMMIT",
	"slow_ready":        "a wire tap, which is the agent's, has to hold ReadyForQuery back",
	"health_probes":     "what probes cost the dependencies is counted by the agent",
	"dependency_storm":  "connections to a dependency are counted by the agent",
}

// agentless makes a plan not applicable that needs the agent where Toxiproxy's
// own server takes its place.
func (p *planner) agentless() {
	if !p.Subject.Agentless() {
		return
	}
	for _, d := range p.Subject.Dependencies {
		if d.Kind == subject.HTTP {
			p.reason("%s: %s", d.Name, subject.StubNeedsAgent)
		}
	}
	const without = ", and images.toxiproxy leaves the agent out"
	for _, s := range p.Steps {
		if why, ok := agentsPart[s.Action]; ok {
			p.reason("step %q: %s: %s"+without, s.Name, s.Action, why)
		}
	}
	for _, x := range p.Experiment.Expect {
		why, ok := agentsPart[x.Kind]
		if info, _ := detect.Describe(x.Kind); info.Statements {
			why, ok = "it reads statements, which the agent's wire tap records", true
		}
		if ok {
			p.reason("%s: %s"+without, x.Kind, why)
		}
	}
}
