package store

import (
	"errors"
	"testing"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

// testNotes writes a note twice: the last one stands.
func testNotes(t *testing.T, p keeper) {
	create(t, p, "noted")
	if _, err := p.Note(t.Context(), "noted"); !errors.Is(err, orders.ErrNotFound) {
		t.Errorf("before the first: %v, want not found", err)
	}
	for _, note := range []string{"ring twice", "leave it next door"} {
		if err := p.SetNote(t.Context(), "noted", note); err != nil {
			t.Fatal(err)
		}
		if got, err := p.Note(t.Context(), "noted"); err != nil || got != note {
			t.Errorf("got %q, %v, want %q", got, err, note)
		}
	}
	if err := p.SetNote(t.Context(), "nobody", "x"); !errors.Is(err, orders.ErrNotFound) {
		t.Errorf("of no order: %v, want not found", err)
	}
}
