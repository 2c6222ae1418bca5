package detect

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seatrial/seatrial/experiments/journal"
)

func TestByNumber(t *testing.T) {
	tests := []struct {
		name        string
		ended, want []uint64
	}{
		{"none", nil, nil},
		{"in order", []uint64{0, 1, 2, 3}, []uint64{0, 1, 2, 3}},
		{"the first ends last", []uint64{1, 2, 3, 0}, []uint64{0, 1, 2, 3}},
		{"backwards", []uint64{3, 2, 1, 0}, []uint64{0, 1, 2, 3}},
		{"one is under way", []uint64{0, 1, 3, 4}, []uint64{0, 1}},
		{"the first is under way", []uint64{1, 2}, nil},
		{"runs that grow together", []uint64{5, 3, 4, 1, 7, 0, 2}, []uint64{0, 1, 2, 3, 4, 5}},
		{"one twice", []uint64{0, 0, 2, 2, 1}, []uint64{0, 1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := fixture()
			for _, seq := range tt.ended {
				m.Request(journal.Request{Attack: "other", Seq: seq + 1})
				m.Request(journal.Request{Attack: "load", Seq: seq})
			}
			hits := byNumber(m, "load")
			for range 2 { // it may be ranged over again
				if diff := cmp.Diff(tt.want, numbers(hits)); diff != "" {
					t.Errorf("hits in another order: %s", diff)
				}
			}
		})
	}
}

// Whatever the order in which hits end, they come by number, up to a gap.
func TestByNumberShuffled(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		gap := uint64(r.IntN(50))
		m := fixture()
		for _, seq := range r.Perm(50) {
			if uint64(seq) != gap {
				m.Request(journal.Request{Attack: "load", Seq: uint64(seq)})
			}
		}
		got := numbers(byNumber(m, "load"))
		if uint64(len(got)) != gap || !slices.IsSorted(got) {
			t.Fatalf("seed %d: without hit %d there are the hits %v", seed, gap, got)
		}
	}
}

func numbers(hits func(func(journal.Request) bool)) (all []uint64) {
	for r := range hits {
		all = append(all, r.Seq)
	}
	return all
}
