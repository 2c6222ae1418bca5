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

// GiveConnectionsBack holds when no connection is lost to the pool by requests
// that fail (4.4). It judges by the detector connection_leaks.
func GiveConnectionsBack() types.GomegaMatcher { return holdKind("connection_leaks") }

// RetrySerializationFailures holds when transactions are repeated that the
// database could not serialise, and no others (4.6). It judges by the detector
// serialization_retries.
func RetrySerializationFailures() types.GomegaMatcher { return holdKind("serialization_retries") }

// ReplaceOldConnections holds when connections to the database are replaced at
// the promised age (4.2). It judges by the detector connection_lifetime.
func ReplaceOldConnections() types.GomegaMatcher { return holdKind("connection_lifetime") }

// SurviveFailover holds when dead connections to the database are found and
// replaced at once (4.2). It judges by the detector failover.
func SurviveFailover() types.GomegaMatcher { return holdKind("failover") }

// TakeNoPartForTheWhole holds when a result that breaks off is not answered as
// a whole one (4.4). It judges by the detector whole_results.
func TakeNoPartForTheWhole() types.GomegaMatcher { return holdKind("whole_results") }

// ParameteriseSQL holds when what callers send is a parameter of statements, and
// never a part of their text (4.1). It judges by the detector parameterised_sql.
func ParameteriseSQL() types.GomegaMatcher { return holdKind("parameterised_sql") }
