package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 6 of the checklist: Security.

// LimitEachCaller holds when one caller gets no more than was agreed, is told
// when to come back, and takes nothing away from another; addresses that callers
// make up do not help them (6.2). It judges by the detector rate_limit.
func LimitEachCaller() types.GomegaMatcher { return holdKind("rate_limit") }
