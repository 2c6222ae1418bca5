package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleTellTheTruth() {
	expect(saved("metrics_truth/held-honest")).To(suites.TellTheTruth())
	expect(saved("metrics_truth/violated-errors-as-200")).To(suites.TellTheTruth())
	// Output:
	// metrics_truth is violated: callers of create got 400 answers of 2xx
}
