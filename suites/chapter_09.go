package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 9 of the checklist: Graceful shutdown and health endpoints.

// DrainGracefully holds when a replica that is told to stop turns unready,
// answers what it has, and ends in time (9.1, 9.2, 9.3). It judges by the
// detector drain.
func DrainGracefully() types.GomegaMatcher { return holdKind("drain") }

// EndWithinTheGrace holds when a replica ends within drains_within although a
// request in flight hangs (9.1, 9.2). It judges by the detector
// drain_deadline.
func EndWithinTheGrace() types.GomegaMatcher { return holdKind("drain_deadline") }

// StayAlive holds when liveness answers at once, whatever has become of the
// dependencies (9.4). It judges by the detector liveness.
func StayAlive() types.GomegaMatcher { return holdKind("liveness") }

// StartSlowly holds when a replica that is started while a dependency is out
// waits for it: alive, not ready, and ready soon after (9.6). It judges by the
// detector slow_start.
func StartSlowly() types.GomegaMatcher { return holdKind("slow_start") }

// TellReadiness holds when readiness says whether traffic can be served, and
// answers in time (9.5). It judges by the detector readiness.
func TellReadiness() types.GomegaMatcher { return holdKind("readiness") }
