package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleLimitEachCaller() {
	expect(saved("rate_limit/held-each-caller")).To(suites.LimitEachCaller())
	expect(saved("rate_limit/violated-by-address")).To(suites.LimitEachCaller())
	// Output:
	// rate_limit is violated: promised: a caller is who it is, wherever it says it comes from
}
