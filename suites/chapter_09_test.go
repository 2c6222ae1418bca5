package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleDrainGracefully() {
	expect(saved("drain/held-self")).To(suites.DrainGracefully())
	expect(saved("drain/violated-closed-before-flip")).To(suites.DrainGracefully())
	// Output:
	// drain is violated: promised to serve new connections for 2s after turning unready
}

func ExampleEndWithinTheGrace() {
	expect(saved("drain_deadline/held-gave-up")).To(suites.EndWithinTheGrace())
	expect(saved("drain_deadline/violated-no-deadline")).To(suites.EndWithinTheGrace())
	// Output:
	// drain_deadline is violated: promised to have ended 12s after SIGTERM
}

func ExampleStayAlive() {
	expect(saved("liveness/held-alive")).To(suites.StayAlive())
	expect(saved("liveness/violated-asks-the-database")).To(suites.StayAlive())
	// Output:
	// liveness is violated: promised to stay alive whatever becomes of its dependencies
}

func ExampleStartSlowly() {
	expect(saved("slow_start/held-waits")).To(suites.StartSlowly())
	expect(saved("slow_start/violated-ready-too-early")).To(suites.StartSlowly())
	// Output:
	// slow_start is violated: promised not to be ready before it can serve
}

func ExampleTellReadiness() {
	expect(saved("readiness/held-true")).To(suites.TellReadiness())
	expect(saved("readiness/violated-always-200")).To(suites.TellReadiness())
	// Output:
	// readiness is violated: promised to turn unready when db is gone
}
