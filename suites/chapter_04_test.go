package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleBoundThePool() {
	expect(saved("pool_bound/held-ten")).To(suites.BoundThePool())
	expect(saved("pool_bound/violated-unbounded")).To(suites.BoundThePool())
	// Output:
	// pool_bound is violated: promised at most 10 connections per replica
}

func ExampleBoundStatements() {
	expect(saved("statement_bound/held-context")).To(suites.BoundStatements())
	expect(saved("statement_bound/violated-background")).To(suites.BoundStatements())
	// Output:
	// statement_bound is violated: promised to end a statement within 5.5s (answers_within and half a seco…
}

func ExampleEndTransactionsBeforeCalls() {
	expect(saved("short_transactions/held-ended-before")).To(suites.EndTransactionsBeforeCalls())
	expect(saved("short_transactions/violated-around-the-call")).To(suites.EndTransactionsBeforeCalls())
	// Output:
	// short_transactions is violated: promised short transactions
}

func ExampleHaveLeastPrivilege() {
	expect(saved("least_privilege/held-rows-only")).To(suites.HaveLeastPrivilege())
	expect(saved("least_privilege/violated-owner")).To(suites.HaveLeastPrivilege())
	// Output:
	// least_privilege is violated: promised least privilege
}

func ExampleGiveConnectionsBack() {
	expect(saved("connection_leaks/held-all-back")).To(suites.GiveConnectionsBack())
	expect(saved("connection_leaks/violated-rows-left-open")).To(suites.GiveConnectionsBack())
	// Output:
	// connection_leaks is violated: promised to give every connection back
}

func ExampleRetrySerializationFailures() {
	expect(saved("serialization_retries/held-whole-transaction")).To(suites.RetrySerializationFailures())
	expect(saved("serialization_retries/violated-given-up")).To(suites.RetrySerializationFailures())
	// Output:
	// serialization_retries is violated: promised to repeat what the database asks for
}

func ExampleReplaceOldConnections() {
	expect(saved("connection_lifetime/held-replaced")).To(suites.ReplaceOldConnections())
	expect(saved("connection_lifetime/violated-for-ever")).To(suites.ReplaceOldConnections())
	// Output:
	// connection_lifetime is violated: promised to replace connections at an age of 4s
}

func ExampleSurviveFailover() {
	expect(saved("failover/held-replaced")).To(suites.SurviveFailover())
	expect(saved("failover/violated-cached-connection")).To(suites.SurviveFailover())
	// Output:
	// failover is violated: of 4 connections that were ended at 10s, with 0 requests under way, 51 request…
}

func ExampleTakeNoPartForTheWhole() {
	expect(saved("whole_results/held-an-error")).To(suites.TakeNoPartForTheWhole())
	expect(saved("whole_results/violated-believed")).To(suites.TakeNoPartForTheWhole())
	// Output:
	// whole_results is violated: promised: a result that breaks off is an error
}

func ExampleParameteriseSQL() {
	expect(saved("parameterised_sql/held-parameters")).To(suites.ParameteriseSQL())
	expect(saved("parameterised_sql/violated-sort-column")).To(suites.ParameteriseSQL())
	// Output:
	// parameterised_sql is violated: promised: what callers send is never a part of a statement
}
