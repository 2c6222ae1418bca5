package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 8 of the checklist: Performance and resource control.

// LeaveNothingBehind holds when neither goroutines nor descriptors grow from
// one fault to the next that is like it (8.6). It judges by the detector leaks.
func LeaveNothingBehind() types.GomegaMatcher { return holdKind("leaks") }

// HideDebugEndpoints holds when profiles are to be had on the admin port, and
// nowhere else, and nothing listens that the subject does not name (8.1, 11.4).
// It judges by the detector exposure.
func HideDebugEndpoints() types.GomegaMatcher { return holdKind("exposure") }
