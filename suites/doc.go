// Package suites runs sea trials under go test: as plain subtests with [Run],
// as Ginkgo specs in an existing suite with [Describe], and piece by piece with
// the matchers, which judge a journal.
//
//	func TestSeaTrial(t *testing.T) { suites.Run(t, "seatrial.yaml") }
//
// A suite of its own records an experiment once and asks the journal for what it
// wants to know. Ginkgo and Gomega are usually imported with a dot; this package is
// not, since it has a Describe and a Label, too:
//
//	var _ = Describe("payments in trouble", Ordered, func() {
//		var seen journal.Journal
//		BeforeAll(func(ctx SpecContext) {
//			var err error
//			seen, err = suites.Record(ctx, "seatrial.yaml", "http-flaky/payments")
//			Expect(err).NotTo(HaveOccurred())
//		})
//		It("is asked with jitter", func() { Expect(seen).To(suites.JitterRetries()) })
//	})
//
// A journal of a saved trial is opened by journal.Open. [Hold] takes a detector
// with parameters, where the subject's promises and the defaults are not meant.
//
// The test binary hosts the trial's agent and watcher by running itself again;
// importing this package is all that needs.
package suites

import "github.com/seatrial/seatrial/experiments/environment/reexec"

// The test binary takes over here when it was started as an agent or a watcher,
// before a test runs.
func init() { reexec.Hook() }
