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

// EndTransactionsBeforeCalls holds when no transaction is open while an HTTP
// dependency is waited for (4.5). It judges by the detector short_transactions.
func EndTransactionsBeforeCalls() types.GomegaMatcher { return holdKind("short_transactions") }

// HaveLeastPrivilege holds when the service's database role can do no more than
// read and write rows (4.7). It judges by the detector least_privilege.
func HaveLeastPrivilege() types.GomegaMatcher { return holdKind("least_privilege") }
