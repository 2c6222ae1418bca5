package suites_test

import "github.com/seatrial/seatrial/suites"

func ExampleTellTheTruth() {
	expect(saved("metrics_truth/held-honest")).To(suites.TellTheTruth())
	expect(saved("metrics_truth/violated-errors-as-200")).To(suites.TellTheTruth())
	// Output:
	// metrics_truth is violated: promised: metrics say what callers saw
}

func ExampleBucketLatencies() {
	expect(saved("histogram_buckets/held-defaults")).To(suites.BucketLatencies())
	expect(saved("histogram_buckets/violated-three-bounds")).To(suites.BucketLatencies())
	// Output:
	// histogram_buckets is violated: callers of create saw a p50 of 310ms
}

func ExampleMeasureDependencies() {
	expect(saved("dependency_metrics/held-told")).To(suites.MeasureDependencies())
	expect(saved("dependency_metrics/violated-mislabelled")).To(suites.MeasureDependencies())
	// Output:
	// dependency_metrics is violated: payments answered 500ms later between 4s and 9s, and the mean of its…
}

func ExampleShowSaturation() {
	expect(saved("saturation_metrics/held-moved")).To(suites.ShowSaturation())
	expect(saved("saturation_metrics/violated-no-wait")).To(suites.ShowSaturation())
	// Output:
	// saturation_metrics is violated: callers waited in the fault (4s to 9s), and go_sql_wait_count_total …
}

func ExampleBoundSeries() {
	expect(saved("cardinality/held-by-route")).To(suites.BoundSeries())
	expect(saved("cardinality/violated-by-path")).To(suites.BoundSeries())
	// Output:
	// cardinality is violated: label route of http_request_duration_seconds gained 20 values over 210 requ…
}

func ExamplePropagateTraces() {
	expect(saved("trace_propagation/held-gone-on")).To(suites.PropagateTraces())
	expect(saved("trace_propagation/violated-begun-anew")).To(suites.PropagateTraces())
	// Output:
	// trace_propagation is violated: 60 of 60 calls to payments left their caller's trace although they ca…
}
