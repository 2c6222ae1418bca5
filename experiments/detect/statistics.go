package detect

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"gonum.org/v1/gonum/stat"

	"github.com/seatrial/seatrial/experiments/journal"
)

// z99 is the standard normal's 99 % quantile: bounds of shares are one-sided
// at 99 %, so that two of 1000 give at least 0.9911 (detectors.md, section 1).
const z99 = 2.3263478740408408

// wilson is the one-sided 99 % Wilson score interval of k successes in n: with
// 99 % confidence the true share is at least lower, and with the same
// confidence at most upper. Without samples it is 0 to 1.
func wilson(k, n int) (lower, upper float64) {
	if n == 0 {
		return 0, 1
	}
	size, p := float64(n), float64(k)/float64(n)
	zz := z99 * z99 / size
	centre := p + zz/2
	margin := z99 * math.Sqrt(p*(1-p)/size+zz/(4*size))
	lower, upper = max(0, (centre-margin)/(1+zz)), min(1, (centre+margin)/(1+zz))
	// The interval touches the edge exactly where nothing else was seen.
	if k == n {
		upper = 1
	}
	if k == 0 {
		lower = 0
	}
	return lower, upper
}

// quantile is the empirical q-quantile of sorted values; NaN without any.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return stat.Quantile(q, stat.Empirical, sorted, nil)
}

// quantileOf is the empirical q-quantile of times in any order; zero without
// any.
func quantileOf(times []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(max(int(math.Ceil(q*float64(len(sorted))))-1, 0), len(sorted)-1)]
}

// quantiles sorts a copy of the values and returns their quantiles.
func quantiles(values []float64, qs ...float64) []float64 {
	sorted := slices.Sorted(slices.Values(values))
	out := make([]float64, len(qs))
	for i, q := range qs {
		out[i] = quantile(sorted, q)
	}
	return out
}

// trimmedMean is the mean without the given share of values at each end; NaN
// without values.
func trimmedMean(values []float64, share float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	cut := int(share * float64(len(sorted)))
	return stat.Mean(sorted[cut:len(sorted)-cut], nil)
}

// spearman is the rank correlation of two samples of the same length; ties get
// the mean of their ranks.
func spearman(x, y []float64) float64 { return stat.Correlation(ranks(x), ranks(y), nil) }

func ranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	out := make([]float64, len(values))
	for i := 0; i < len(order); {
		end := i + 1
		for end < len(order) && values[order[end]] == values[order[i]] {
			end++
		}
		for _, at := range order[i:end] {
			out[at] = float64(i+end-1) / 2
		}
		i = end
	}
	return out
}

// latencies counts durations in bounded memory: from 1 µs to 1 h with three
// significant digits; what lies outside is counted at the edge.
type latencies struct{ h *hdrhistogram.Histogram }

const longestLatency = time.Hour

func newLatencies() latencies {
	return latencies{hdrhistogram.New(1, longestLatency.Microseconds(), 3)}
}

func (l latencies) add(d time.Duration) {
	us := min(max(d.Microseconds(), 1), longestLatency.Microseconds())
	_ = l.h.RecordValue(us) // the value is within the histogram's range
}

func (l latencies) count() int { return int(l.h.TotalCount()) }

// at is the q-quantile, up to 0.1 % too long; zero without samples.
func (l latencies) at(q float64) time.Duration {
	return time.Duration(l.h.ValueAtQuantile(q*100)) * time.Microsecond
}

// bounded is a quantity that was held against a bound.
func bounded(name string, value float64, unit, op string, bound float64, samples int) journal.Quantity {
	return journal.Quantity{Name: name, Value: value, Unit: unit, Bound: &bound, Op: op, Samples: samples}
}

// measured is a quantity without a bound.
func measured(name string, value float64, unit string, samples int) journal.Quantity {
	return journal.Quantity{Name: name, Value: value, Unit: unit, Samples: samples}
}

// boundedTime is a duration in seconds that must not be longer than a bound.
func boundedTime(name string, value, bound time.Duration, samples int) journal.Quantity {
	return bounded(name, value.Seconds(), "s", "<=", bound.Seconds(), samples)
}
