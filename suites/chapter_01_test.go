package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleLoseNoWrite() {
	expect(saved("ledger/held-all-stored")).To(suites.LoseNoWrite())
	expect(saved("ledger/violated-lost")).To(suites.LoseNoWrite())
	// Output:
	// ledger is violated: promised: every acknowledged write is stored, once
}
