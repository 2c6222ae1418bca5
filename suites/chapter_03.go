package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 3 of the checklist: Timeouts, retries and backpressure.

// AnswerInTime holds when every caller is answered within the promise
// answers_within while a dependency hangs, and the calls to it are given up
// (3.2). It judges by the detector deadline.
func AnswerInTime() types.GomegaMatcher { return holdKind("deadline") }

// GiveUpWithTheCaller holds when work for a caller who hung up is given up
// within cancels_within (3.2, 4.3). It judges by the detector cancellation.
func GiveUpWithTheCaller() types.GomegaMatcher { return holdKind("cancellation") }

// LimitAttempts holds when a failing call is tried at most max_attempts times
// (3.3). It judges by the detector attempts.
func LimitAttempts() types.GomegaMatcher { return holdKind("attempts") }

// GrowBackoff holds when the waits between attempts grow (3.3). It judges by
// the detector backoff_growth.
func GrowBackoff() types.GomegaMatcher { return holdKind("backoff_growth") }

// DrawWaitsApart holds when replicas draw their retries' waits independently of
// each other (3.3). It judges by the detector seed_diversity.
func DrawWaitsApart() types.GomegaMatcher { return holdKind("seed_diversity") }

// JitterRetries holds when the waits between attempts are spread at random
// (3.3). It judges by the detector jitter.
func JitterRetries() types.GomegaMatcher { return holdKind("jitter") }

// RetryOnlyIdempotent holds when only calls that can be repeated without harm
// are repeated (3.4). It judges by the detector idempotent_retries.
func RetryOnlyIdempotent() types.GomegaMatcher { return holdKind("idempotent_retries") }

// ContainFailures holds when a dependency that hangs or fails does not take
// the rest of the service with it (3.6). It judges by the detector
// containment.
func ContainFailures() types.GomegaMatcher { return holdKind("containment") }

// ShedLoad holds when what is above the capacity is refused at once, and the
// rest is done (3.5, 8.4). It judges by the detector shedding.
func ShedLoad() types.GomegaMatcher { return holdKind("shedding") }

// ComeBackByItself holds when the service comes back after a trigger is gone,
// though its callers have timed out and tried again, and is not metastable (3.3,
// 3.5). It judges by the detector metastability.
func ComeBackByItself() types.GomegaMatcher { return holdKind("metastability") }

// RecoverAfterwards holds when the service is good again within
// recovers_within of the last fault (3.6). It judges by the detector
// recovery.
func RecoverAfterwards() types.GomegaMatcher { return holdKind("recovery") }

// SpareAFailingDependency holds when retries do not multiply the load on a
// dependency that fails every call, by a budget or a breaker (3.3, 3.6). It
// judges by the detector retry_budget.
func SpareAFailingDependency() types.GomegaMatcher { return holdKind("retry_budget") }

// WaitAsAsked holds when a dependency that answers with Retry-After is not
// asked again before (3.3). It judges by the detector retry_after.
func WaitAsAsked() types.GomegaMatcher { return holdKind("retry_after") }

// NestDeadlines holds when one deadline bounds a request's calls together, so
// that callers are answered in time although two dependencies hang one after
// the other (3.2). It judges by the detector nested_deadline.
func NestDeadlines() types.GomegaMatcher { return holdKind("nested_deadline") }

// BoundSlowCallers holds when callers who send, read or ask nothing, or too
// slowly, are not waited for without a bound (3.1). It judges by the detector
// server_timeouts.
func BoundSlowCallers() types.GomegaMatcher { return holdKind("server_timeouts") }
