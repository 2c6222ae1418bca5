package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleLeaveNothingBehind() {
	expect(saved("leaks/held-steady")).To(suites.LeaveNothingBehind())
	expect(saved("leaks/violated-goroutines")).To(suites.LeaveNothingBehind())
	// Output:
	// leaks is violated: promised: nothing is left behind by calls that fail
}
