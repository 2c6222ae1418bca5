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
