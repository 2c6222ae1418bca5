package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleSucceedAsPromised() {
	expect(saved("success/held-all-good")).To(suites.SucceedAsPromised())
	expect(saved("success/violated-refused")).To(suites.SucceedAsPromised())
	// Output:
	// success is violated: promised: at least 99.5 % good answers
}

func ExampleStayQuick() {
	expect(saved("latency/held-quick")).To(suites.StayQuick())
	expect(saved("latency/violated-slow")).To(suites.StayQuick())
	// Output:
	// latency is violated: promised: p99 of good answers within 1s
}
