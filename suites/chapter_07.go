package suites

import "github.com/onsi/gomega/types"

// Matchers of chapter 7 of the checklist: Observability.

// TellTheTruth holds when the request metrics say what callers saw: rate,
// errors and duration of every route (7.3, 7.4). It judges by the detector
// metrics_truth.
func TellTheTruth() types.GomegaMatcher { return holdKind("metrics_truth") }

// BucketLatencies holds when the request durations have buckets from which slow
// answers and the SLO can be read (7.4). It judges by the detector
// histogram_buckets.
func BucketLatencies() types.GomegaMatcher { return holdKind("histogram_buckets") }

// MeasureDependencies holds when the metrics tell which dependency is slow or
// failing (7.5). It judges by the detector dependency_metrics.
func MeasureDependencies() types.GomegaMatcher { return holdKind("dependency_metrics") }

// ShowSaturation holds when metrics of the pool, the requests in flight, the
// goroutines, the heap and the garbage collector show that the service is full
// (7.6). It judges by the detector saturation_metrics.
func ShowSaturation() types.GomegaMatcher { return holdKind("saturation_metrics") }

// BoundSeries holds when the number of series does not grow with the ids that
// callers send (7.4). It judges by the detector cardinality.
func BoundSeries() types.GomegaMatcher { return holdKind("cardinality") }

// PropagateTraces holds when calls to HTTP dependencies go on with their
// caller's trace, each attempt with a span of its own (7.9). It judges by the
// detector trace_propagation.
func PropagateTraces() types.GomegaMatcher { return holdKind("trace_propagation") }
