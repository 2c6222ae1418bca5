package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 10 of the checklist: Deployment safety.

// RollWithoutLoss holds when a rolling restart loses no request and keeps the
// capacity up (10.1). It judges by the detector rolling_restart.
func RollWithoutLoss() types.GomegaMatcher { return holdKind("rolling_restart") }
