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
