package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleRunConfined() {
	expect(saved("container/held-scratch")).To(suites.RunConfined())
	expect(saved("container/violated-root")).To(suites.RunConfined())
	// Output:
	// container is violated: promised not to run as root
}
