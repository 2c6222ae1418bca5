package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleAnswerInTime() {
	expect(saved("deadline/held-in-time")).To(suites.AnswerInTime())
	expect(saved("deadline/violated-no-timeout")).To(suites.AnswerInTime())
	// Output:
	// deadline is violated: promised: every caller is answered within 5s
}

func ExampleGiveUpWithTheCaller() {
	expect(saved("cancellation/held-at-once")).To(suites.GiveUpWithTheCaller())
	expect(saved("cancellation/violated-background")).To(suites.GiveUpWithTheCaller())
	// Output:
	// cancellation is violated: promised: work at payments ends within 500ms of its caller's hanging up
}

func ExampleLimitAttempts() {
	expect(saved("attempts/held-three")).To(suites.LimitAttempts())
	expect(saved("attempts/violated-for-ever")).To(suites.LimitAttempts())
	// Output:
	// attempts is violated: promised: at most 4 attempts of one call to payments
}

func ExampleGrowBackoff() {
	expect(saved("backoff_growth/held-doubling-full-jitter")).To(suites.GrowBackoff())
	expect(saved("backoff_growth/violated-constant")).To(suites.GrowBackoff())
	// Output:
	// backoff_growth is violated: promised: attempts wait longer and longer
}

func ExampleJitterRetries() {
	expect(saved("jitter/held-full")).To(suites.JitterRetries())
	expect(saved("jitter/violated-none")).To(suites.JitterRetries())
	// Output:
	// jitter is violated: promised: waits before a retry are spread at random
}

func ExampleRetryOnlyIdempotent() {
	expect(saved("idempotent_retries/held-one-key")).To(suites.RetryOnlyIdempotent())
	expect(saved("idempotent_retries/violated-fresh-key")).To(suites.RetryOnlyIdempotent())
	// Output:
	// idempotent_retries is violated: promised: a write whose fate is not known is repeated only with one …
}

func ExampleContainFailures() {
	expect(saved("containment/held-breaker")).To(suites.ContainFailures())
	expect(saved("containment/violated-no-breaker")).To(suites.ContainFailures())
	// Output:
	// containment is violated: promised to leave a broken dependency alone
}

func ExampleShedLoad() {
	expect(saved("shedding/held-limiter")).To(suites.ShedLoad())
	expect(saved("shedding/violated-unlimited")).To(suites.ShedLoad())
	// Output:
	// shedding is violated: promised to go on with 24.0/s, 60 % of its capacity
}

func ExampleRecoverAfterwards() {
	expect(saved("recovery/held-after-a-second")).To(suites.RecoverAfterwards())
	expect(saved("recovery/violated-metastable")).To(suites.RecoverAfterwards())
	// Output:
	// recovery is violated: promised: good again (99 % of the answers in 1s) within 5s of the last step
}

func ExampleSpareAFailingDependency() {
	expect(saved("retry_budget/held-breaker")).To(suites.SpareAFailingDependency())
	expect(saved("retry_budget/violated-five-times")).To(suites.SpareAFailingDependency())
	// Output:
	// retry_budget is violated: promised: retries do not multiply the load on a failing dependency
}

func ExampleWaitAsAsked() {
	expect(saved("retry_after/held-waits")).To(suites.WaitAsAsked())
	expect(saved("retry_after/violated-own-backoff")).To(suites.WaitAsAsked())
	// Output:
	// retry_after is violated: promised: nobody is asked again before the time that they set
}

func ExampleDrawWaitsApart() {
	expect(saved("seed_diversity/held-seeded-each")).To(suites.DrawWaitsApart())
	expect(saved("seed_diversity/violated-one-seed")).To(suites.DrawWaitsApart())
	// Output:
	// seed_diversity is violated: promised retries spread at random
}

func ExampleComeBackByItself() {
	expect(saved("metastability/held-came-back")).To(suites.ComeBackByItself())
	expect(saved("metastability/violated-stays-down")).To(suites.ComeBackByItself())
	// Output:
	// metastability is violated: metastable failure: the trigger (trigger) is gone since 20s, and the serv…
}

func ExampleNestDeadlines() {
	expect(saved("nested_deadline/held-one-deadline")).To(suites.NestDeadlines())
	expect(saved("nested_deadline/violated-the-sum")).To(suites.NestDeadlines())
	// Output:
	// nested_deadline is violated: promised: every caller is answered within 2.5s
}

func ExampleBoundSlowCallers() {
	expect(saved("server_timeouts/held-bounded")).To(suites.BoundSlowCallers())
	expect(saved("server_timeouts/violated-no-timeouts")).To(suites.BoundSlowCallers())
	// Output:
	// server_timeouts is violated: promised: a connection on which nothing is sent is closed within 5s
}
