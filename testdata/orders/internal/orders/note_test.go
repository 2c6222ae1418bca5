package orders

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func (f *fakeStore) SetNote(_ context.Context, id, note string) error {
	if f.err == nil {
		f.notes = map[string]string{id: note}
	}
	return f.err
}

func (f *fakeStore) Note(_ context.Context, id string) (string, error) {
	if note, ok := f.notes[id]; ok {
		return note, f.err
	}
	return "", ErrNotFound
}

func TestNotes(t *testing.T) {
	svc, store, _, _ := newFakes()
	if _, err := svc.Note(t.Context(), "ord_1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
	for _, note := range []string{"ring twice", "leave it next door"} {
		if err := svc.SetNote(t.Context(), "ord_1", note); err != nil {
			t.Fatal(err)
		}
		if got, err := svc.Note(t.Context(), "ord_1"); err != nil || got != note {
			t.Errorf("got %q, %v, want %q", got, err, note)
		}
	}
	// Another replica has written since.
	store.notes["ord_1"] = "nobody is there"
	if got, err := svc.Note(t.Context(), "ord_1"); err != nil || got != "nobody is there" {
		t.Errorf("got %q, %v, want what was written last", got, err)
	}
	for _, note := range []string{"", strings.Repeat("a", maxNoteLen+1)} {
		var invalid *InvalidError
		if err := svc.SetNote(t.Context(), "ord_1", note); !errors.As(err, &invalid) {
			t.Errorf("a note of %d bytes: %v", len(note), err)
		}
	}
	store.err = errors.New("down")
	if err := svc.SetNote(t.Context(), "ord_1", "x"); err == nil {
		t.Error("acknowledged a note that is not stored")
	}
}
