package detect

import (
	"math"
	"testing"
	"time"
)

// The shares are those of detectors.md, section 1.
func TestWilson(t *testing.T) {
	for _, tt := range []struct {
		k, n         int
		lower, upper float64
	}{
		{1000, 1000, 0.9946, 1},
		{998, 1000, 0.9911, 0.9996},
		{500, 500, 0.9893, 1},
		{0, 100, 0, 0.0513},
		{50, 100, 0.3867, 0.6133},
		{0, 0, 0, 1},
	} {
		lower, upper := wilson(tt.k, tt.n)
		if math.Abs(lower-tt.lower) > 1e-4 || math.Abs(upper-tt.upper) > 1e-4 {
			t.Errorf("wilson(%d, %d) = %.5f to %.5f, want %.4f to %.4f", tt.k, tt.n, lower, upper, tt.lower, tt.upper)
		}
	}
}

func TestTrimmedMean(t *testing.T) {
	values := []float64{1000, 2, 3, 4, 5, 6, 7, 8, 9, -1000}
	if got := trimmedMean(values, 0.1); got != 5.5 {
		t.Errorf("got %v, want 5.5", got)
	}
	if got := trimmedMean(nil, 0.1); !math.IsNaN(got) {
		t.Errorf("the mean of nothing is %v", got)
	}
}

func TestSpearman(t *testing.T) {
	x := []float64{1, 2, 2, 4, 5}
	if got := spearman(x, []float64{10, 20, 20, 400, 5000}); math.Abs(got-1) > 1e-12 {
		t.Errorf("a monotone relation has rank correlation %v", got)
	}
	if got := spearman(x, []float64{5, 4, 4, 2, 1}); math.Abs(got+1) > 1e-12 {
		t.Errorf("a falling relation has rank correlation %v", got)
	}
}

func TestLatencies(t *testing.T) {
	l := newLatencies()
	for i := range 1000 {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	l.add(-time.Second)
	l.add(48 * time.Hour)
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond} {
		if got := l.at(q); math.Abs(float64(got-want)) > 2e-3*float64(want) {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
	if got := l.count(); got != 1002 {
		t.Errorf("counted %d of 1002", got)
	}
}

func TestQuantiles(t *testing.T) {
	got := quantiles([]float64{5, 1, 4, 2, 3}, 0.1, 0.5, 1)
	if got[0] != 1 || got[1] != 3 || got[2] != 5 {
		t.Errorf("got %v", got)
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("a quantile of nothing is a number")
	}
}
