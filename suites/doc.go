// Package suites runs sea trials under go test: as plain subtests with [Run],
// as Ginkgo specs in an existing suite with [Describe], and piece by piece with
// the matchers, which judge a journal.
//
//	func TestSeaTrial(t *testing.T) { suites.Run(t, "seatrial.yaml") }
//
// The test binary hosts the trial's agent and watcher by running itself again;
// importing this package is all that needs.
package suites

import "github.com/seatrial/seatrial/experiments/environment/reexec"

// The test binary takes over here when it was started as an agent or a watcher,
// before a test runs.
func init() { reexec.Hook() }
