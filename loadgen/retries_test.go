package loadgen

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestClientsTryAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		codes []int // of a hit's tries; the last stands for all that follow
		tries int
		ok    bool
	}{
		"good at once":      {[]int{200}, 1, true},
		"good in the end":   {[]int{503, 429, 200}, 3, true},
		"never good":        {[]int{500}, 4, false},
		"its own fault":     {[]int{404}, 1, false},
		"conflict, then no": {[]int{502, 409}, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[string]int{}
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				id := r.Header.Get("X-Request-Id")
				w.WriteHeader(tt.codes[min(seen[id], len(tt.codes)-1)])
				seen[id]++
			})
			end, hits, _ := run(t, Attack{
				Name: "clients", RunID: "r", Pacer: Count(5, 0), Source: compiled(t), BaseURL: url,
				Timeout: time.Second, Retries: Retries{Most: 3, Backoff: time.Millisecond},
			})
			if end.Retries != 3 || end.Tries != uint64(5*tt.tries) {
				t.Errorf("%d tries with %d retries, wanted %d", end.Tries, end.Retries, 5*tt.tries)
			}
			for _, r := range hits {
				if r.Tries != tt.tries || r.OK != tt.ok || seen[r.ID("r")] != tt.tries {
					t.Errorf("hit %d: %d tries, ok %v; the server saw %d", r.Seq, r.Tries, r.OK, seen[r.ID("r")])
				}
			}
		})
	}
}

func TestClientsTryAgainAfterATimeout(t *testing.T) {
	held := make(chan struct{})
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	defer close(held)
	_, hits, _ := run(t, Attack{
		Name: "clients", Pacer: Count(2, 0), Source: compiled(t), BaseURL: url,
		Timeout: 30 * time.Millisecond, Retries: Retries{Most: 1, Backoff: time.Millisecond},
	})
	for _, r := range hits {
		// More than one timeout: the latency begins when the connection is there.
		if r.Tries != 2 || r.Err != journal.ErrTimeout || r.RawLatency() < 45*time.Millisecond {
			t.Errorf("hit %d: %d tries, %s after %v", r.Seq, r.Tries, r.Err, r.RawLatency())
		}
	}
}

func TestClientsGiveUpWithTheAttack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		time.AfterFunc(50*time.Millisecond, cancel)
	})
	m := journal.NewMemory(journal.Header{})
	_, err := Attack{
		Name: "clients", Pacer: Count(1, 0), Source: compiled(t), BaseURL: url, Grace: -1,
		Retries: Retries{Most: 60, Backoff: time.Hour},
	}.Run(ctx, m)
	hits := recorded(m)
	if err != nil || len(hits) != 1 || hits[0].Tries != 1 {
		t.Errorf("hits are %+v (%v)", hits, err)
	}
}

func TestRetriesBounds(t *testing.T) {
	r := Retries{Most: 3}
	var bounds []time.Duration
	for try := 1; try <= 3; try++ {
		bounds = append(bounds, r.bound(try))
	}
	want := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}
	if !slices.Equal(bounds, want) {
		t.Errorf("bounds are %v", bounds)
	}
	if got := r.patience(time.Second); got != 4700*time.Millisecond {
		t.Errorf("patience is %v", got)
	}
	if got := (Retries{}).patience(time.Second); got != time.Second {
		t.Errorf("patience without retries is %v", got)
	}
}

// The waits are spread over the whole span, and the same for the same seed.
func TestWaitsAreFullJitter(t *testing.T) {
	waits := func() (all []time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			for seq := range uint64(200) {
				e := &engine{
					source: &Source{traffic: &traffic{seed: 7}}, client: Attack{Retries: Retries{Most: 1}},
					ctx: t.Context(),
				}
				began := time.Now()
				e.wait(e.client.Retries.draw(e.draws(seq), 1))
				all = append(all, time.Since(began))
			}
		})
		return all
	}
	first := waits()
	if !slices.Equal(first, waits()) {
		t.Error("the same seed gave other waits")
	}
	slices.Sort(first)
	for share, want := range map[float64]time.Duration{
		0.1: 10 * time.Millisecond, 0.5: 50 * time.Millisecond, 0.9: 90 * time.Millisecond,
	} {
		got := first[int(share*200)]
		if (got - want).Abs() > 10*time.Millisecond {
			t.Errorf("the %v quantile of the waits is %v", share, got)
		}
	}
}
