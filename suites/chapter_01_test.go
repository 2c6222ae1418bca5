package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleLoseNoWrite() {
	expect(saved("ledger/held-all-stored")).To(suites.LoseNoWrite())
	expect(saved("ledger/violated-lost")).To(suites.LoseNoWrite())
	// Output:
	// ledger is violated: promised: every acknowledged write is stored, once
}

func ExampleTakeWritesOnce() {
	expect(saved("duplicate_submits/held-one-write")).To(suites.TakeWritesOnce())
	expect(saved("duplicate_submits/violated-stored-twice")).To(suites.TakeWritesOnce())
	// Output:
	// duplicate_submits is violated: promised: a write stays one write however often it is submitted under…
}

func ExampleReadWhatWasWritten() {
	expect(saved("linearizability/held-explained")).To(suites.ReadWhatWasWritten())
	expect(saved("linearizability/violated-stale")).To(suites.ReadWhatWasWritten())
	// Output:
	// linearizability is violated: promised: whoever reads gets what was written last
}
