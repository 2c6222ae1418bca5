package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleRollWithoutLoss() {
	expect(saved("rolling_restart/held-unnoticed")).To(suites.RollWithoutLoss())
	expect(saved("rolling_restart/violated-lost")).To(suites.RollWithoutLoss())
	// Output:
	// rolling_restart is violated: promised that nobody notices a rolling restart
}
