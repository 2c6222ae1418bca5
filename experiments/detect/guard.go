package detect

// GuardLoad is the kind of the guard on the load. Unlike the others it takes
// away only what held: success, latency and deadline call a violation only what
// is one by the optimistic figures too (detectors.md, section 1), so that a
// service that collapsed cannot hide behind the generator that it slowed down.
const GuardLoad = "guard_load"

// Guards are the detectors that every run is judged with: what must hold of the
// harness for the run to say anything of the service. They never find a
// violation; what does not hold is unknown. Their thresholds are those of
// detectors.md, section 1.
func Guards() []Detector {
	return []Detector{
		&LoadGuard{}, &NoiseGuard{}, &StubGuard{}, &BaselineGuard{}, &CleanupGuard{}, &AgentGuard{},
	}
}
