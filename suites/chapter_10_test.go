package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleRollWithoutLoss() {
	expect(saved("rolling_restart/held-unnoticed")).To(suites.RollWithoutLoss())
	expect(saved("rolling_restart/violated-lost")).To(suites.RollWithoutLoss())
	// Output:
	// rolling_restart is violated: promised that nobody notices a rolling restart
}

func ExampleStartWithoutStorm() {
	expect(saved("dependency_storm/held-within")).To(suites.StartWithoutStorm())
	expect(saved("dependency_storm/violated-more-than-it-bears")).To(suites.StartWithoutStorm())
	// Output:
	// dependency_storm is violated: db had 46 backends of the service after all replicas were started, of …
}
