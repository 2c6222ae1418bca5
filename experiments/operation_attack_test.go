package experiments

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/loadgen"
)

func TestAttackSends(t *testing.T) {
	for name, tt := range map[string]struct {
		attack   Attack
		capacity float64
		want     AttackSpec
		offered  map[string]float64
		err      string
	}{
		"rate": {
			attack: Attack{Rate: 20, Uses: "payments", HangUpAfter: time.Second, NewConnections: true},
			want: AttackSpec{
				Name: "it", Rate: 20, For: 5 * time.Second, Uses: "payments", HangUpAfter: time.Second,
				NewConnections: true, Replica: "orders-1",
			},
			offered: map[string]float64{},
		},
		"times the capacity": {
			attack: Attack{Capacity: 2.5, Routes: []string{"create"}}, capacity: 40,
			want: AttackSpec{
				Name: "it", Rate: 100, For: 5 * time.Second, Routes: []string{"create"}, Replica: "orders-1",
			},
			offered: map[string]float64{"it offered": 100},
		},
		"times the rate limit": {
			attack: Attack{RateLimit: 5, Caller: 2, ForwardedFor: true},
			want: AttackSpec{
				Name: "it", Rate: 100, For: 5 * time.Second, Header: http.Header{"X-Api-Key": {"second"}}, ForwardedFor: true,
				Replica: "orders-1",
			},
			offered: map[string]float64{},
		},
		"capacity not measured": {attack: Attack{Capacity: 2}, err: "add measure_capacity"},
	} {
		t.Run(name, func(t *testing.T) {
			x, _, load, m := fakes()
			x.Target = "orders-1"
			x.Measured = func(name string) (journal.Quantity, bool) {
				return journal.Quantity{Value: tt.capacity}, name == QuantityCapacity && tt.capacity > 0
			}
			x.Plan.Subject.Promises.RateLimit = 20
			x.Plan.Subject.Traffic.Callers = &loadgen.Callers{Header: "x-api-key", Values: []string{"first", "second"}}
			tt.attack.bind("it", 5*time.Second)
			errorIs(t, carryOut(t, &tt.attack, x), tt.err)
			if tt.err != "" {
				return
			}
			if diff := cmp.Diff([]AttackSpec{tt.want}, load.attacks); diff != "" {
				t.Errorf("attacks (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.offered, quantitiesIn(m)); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAttackOfCallers wants the subject to say who they are and what they may.
func TestAttackOfCallers(t *testing.T) {
	s := &subject.Subject{Promises: journal.DefaultPromises()}
	errorIs(t, (&Attack{RateLimit: 5}).Supports(s, ""), "what rate_limit there is")
	s.Promises.RateLimit = 20
	errorIs(t, (&Attack{RateLimit: 5}).Supports(s, ""), "")
	errorIs(t, (&Attack{RateLimit: 5, Caller: 1}).Supports(s, ""), "who caller 1 is")
	s.Traffic.Callers = &loadgen.Callers{Header: "X-Api-Key", Values: []string{"first", "second"}}
	errorIs(t, (&Attack{RateLimit: 5, Caller: 2}).Supports(s, ""), "")
	errorIs(t, (&Attack{RateLimit: 5, Caller: 3}).Supports(s, ""), "who caller 3 is")
	errorIs(t, (&Attack{RateLimit: 5, Count: 3}).Validate(), "exactly one of")
	errorIs(t, (&Attack{Rate: 5, Caller: -1}).Validate(), "from 1 on")
}

func TestHeaviest(t *testing.T) {
	x, _, load, _ := fakes()
	known := map[string]float64{"round_trips_place": 5.2, "round_trips_get": 1, "round_trips_quote": 0.1}
	x.Measured = func(name string) (journal.Quantity, bool) {
		v, ok := known[name]
		return journal.Quantity{Value: v}, ok
	}
	for _, tt := range []struct{ of, want []string }{
		{[]string{"get", "place", "quote"}, []string{"place"}},
		{[]string{"get", "quote"}, []string{"get"}},
		{[]string{"quote", "other"}, []string{"quote", "other"}},
	} {
		attack := &Attack{Rate: 1, Routes: tt.of, Heaviest: true}
		capacity := &MeasureCapacity{Routes: tt.of, Heaviest: true}
		errorIs(t, errors.Join(carryOut(t, attack, x), carryOut(t, capacity, x)), "")
		if got := load.attacks[len(load.attacks)-1].Routes; !slices.Equal(got, tt.want) {
			t.Errorf("attack on %q goes to %q, wanted %q", tt.of, got, tt.want)
		}
		if got := load.loops[len(load.loops)-1].Routes; !slices.Equal(got, tt.want) {
			t.Errorf("capacity of %q is measured on %q, wanted %q", tt.of, got, tt.want)
		}
	}
}
