package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestLatencyFollowsRoundTrips(t *testing.T) {
	for name, tt := range map[string]struct {
		trips float64
		want  time.Duration
	}{
		"five": {5, 40 * time.Millisecond},
		"one":  {1, 200 * time.Millisecond},
		"none": {0, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			f := &Latency{Answer: 200 * time.Millisecond, Latency: time.Second, Stream: Both}
			if got := f.Follows(); got != QuantityRoundTrips {
				t.Fatalf("it follows %q", got)
			}
			got, q := f.Given(tt.trips)
			if diff := cmp.Diff(&Latency{Latency: tt.want, Stream: Both}, got); diff != "" {
				t.Errorf("fault (-want +got):\n%s", diff)
			}
			want := journal.Quantity{Name: QuantityInjectedLatency, Value: tt.want.Seconds(), Unit: "s"}
			if diff := cmp.Diff(want, q); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
			if following, ok := got.(Following); !ok || following.Follows() != "" {
				t.Error("the fault that was made still follows something")
			}
			if _, err := f.Inject(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "earlier step") {
				t.Errorf("injecting what is not resolved: %v", err)
			}
		})
	}
}

func TestLatencyRefusesContradictions(t *testing.T) {
	for want, f := range map[string]*Latency{
		"below zero":     {Answer: -1, Latency: time.Second, Stream: Downstream},
		"give one":       {Answer: time.Second, Latency: time.Second, Jitter: time.Millisecond, Stream: Downstream},
		"not positive":   {Stream: Downstream},
		"not between":    {Latency: 1, Jitter: 2, Stream: Downstream},
		"not upstream, ": {Latency: 1, Stream: "sideways"},
	} {
		if _, err := f.streams(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error is %v, wanted …%s…", f, err, want)
		}
	}
}
