package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 10 of the checklist: Deployment safety.

// StartWithoutStorm holds when replicas that are all started at once open no
// more connections than their pools are promised, nor more than the database
// bears (10.3). It judges by the detector dependency_storm.
func StartWithoutStorm() types.GomegaMatcher { return holdKind("dependency_storm") }

// RollWithoutLoss holds when a rolling restart loses no request and keeps the
// capacity up (10.1). It judges by the detector rolling_restart.
func RollWithoutLoss() types.GomegaMatcher { return holdKind("rolling_restart") }
