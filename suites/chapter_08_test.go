package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleLeaveNothingBehind() {
	expect(saved("leaks/held-steady")).To(suites.LeaveNothingBehind())
	expect(saved("leaks/violated-goroutines")).To(suites.LeaveNothingBehind())
	// Output:
	// leaks is violated: promised: nothing is left behind by calls that fail
}

func ExampleHideDebugEndpoints() {
	expect(saved("exposure/held-admin-only")).To(suites.HideDebugEndpoints())
	expect(saved("exposure/violated-default-mux")).To(suites.HideDebugEndpoints())
	// Output:
	// exposure is violated: promised to show its inside on the admin port alone
}
