package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 4 of the checklist: Database safety.

// BoundThePool holds when the connection pool is bounded, waits for it end in
// time, and its metrics tell of them (4.2, 7.6). It judges by the detector
// pool_bound.
func BoundThePool() types.GomegaMatcher { return holdKind("pool_bound") }

// BoundStatements holds when no statement stays on the server for longer than
// a request may take (4.3). It judges by the detector statement_bound.
func BoundStatements() types.GomegaMatcher { return holdKind("statement_bound") }
