package journal

// Phases of a step, in the order in which they come.
const (
	PhaseBegin    = "begin"    // the action was asked for
	PhaseInForce  = "in-force" // the injector says that it is in force
	PhaseRevert   = "revert"   // taking it back was asked for
	PhaseReverted = "reverted" // the injector says that it has been taken back
	PhaseFailed   = "failed"   // injecting or reverting it failed; Error says why
)

// StepEvent says that a step of the method has reached a phase.
type StepEvent struct {
	Step  int    `json:"step"` // index into Header.Method
	Phase string `json:"phase"`
	Error string `json:"error,omitempty"`
}

// Kind is "step".
func (StepEvent) Kind() string { return "step" }

var _ = register[StepEvent]()

// Step is one step of the method as it was carried out.
type Step struct {
	PlannedStep
	Index int
	// Begun, InForce, Reverting and Reverted are when the phases were reached;
	// Has tells which were.
	Begun, InForce, Reverting, Reverted Instant
	Has                                 map[string]bool
	Error                               string // why it failed; empty when it did not
}

// Window is the span in which the step was in force: from the injector's word
// to the beginning of its revert. It is open-ended when the step was never
// taken back, and the second result is false when it was never in force.
func (s Step) Window() (Window, bool) {
	if !s.Has[PhaseInForce] {
		return Window{}, false
	}
	w := Window{From: s.InForce}
	if s.Has[PhaseRevert] {
		w.To = s.Reverting
	}
	return w, true
}

// CollectSteps puts the steps of a journal together from its header's plan and
// its step entries. Implementations of [Journal] use it.
func CollectSteps(h Header, events func(func(Entry, StepEvent) bool)) []Step {
	steps := make([]Step, len(h.Method))
	for i, p := range h.Method {
		steps[i] = Step{PlannedStep: p, Index: i, Has: map[string]bool{}}
	}
	for e, ev := range events {
		if ev.Step < 0 || ev.Step >= len(steps) {
			continue
		}
		s := &steps[ev.Step]
		s.Has[ev.Phase] = true
		switch ev.Phase {
		case PhaseBegin:
			s.Begun = e.At
		case PhaseInForce:
			s.InForce = e.At
		case PhaseRevert:
			s.Reverting = e.At
		case PhaseReverted:
			s.Reverted = e.At
		case PhaseFailed:
			s.Error = ev.Error
		}
	}
	return steps
}
