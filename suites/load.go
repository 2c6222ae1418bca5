package suites

import "github.com/onsi/gomega/types"

// Matchers that speak to no single chapter of the checklist.

// SucceedAsPromised holds when the share of good answers is success_ratio or
// more while a fault is in force. It judges by the detector success.
func SucceedAsPromised() types.GomegaMatcher { return holdKind("success") }

// StayQuick holds when the p99 of good answers is within slo_latency while a fault
// is in force. It judges by the detector latency.
func StayQuick() types.GomegaMatcher { return holdKind("latency") }
