package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 7 of the checklist: Observability.

// TellTheTruth holds when the request metrics say what callers saw: rate,
// errors and duration of every route (7.3, 7.4). It judges by the detector
// metrics_truth.
func TellTheTruth() types.GomegaMatcher { return holdKind("metrics_truth") }
