package orders

import (
	"context"
	"fmt"
)

// maxNoteLen bounds a note, in bytes.
const maxNoteLen = 500

// Notes keeps one note for each order.
type Notes interface {
	// SetNote stores a note in place of the one before; [ErrNotFound] when there
	// is no such order.
	SetNote(ctx context.Context, id, note string) error
	// Note returns an order's note, or [ErrNotFound].
	Note(ctx context.Context, id string) (string, error)
}

// SetNote replaces what is noted of an order. Doing it twice is harmless.
func (s *Service) SetNote(ctx context.Context, id, note string) error {
	if note == "" || len(note) > maxNoteLen {
		return &InvalidError{Problems: []string{fmt.Sprintf("note: 1 to %d bytes", maxNoteLen)}}
	}
	if err := s.store.SetNote(ctx, id, note); err != nil {
		return fmt.Errorf("set note: %w", err)
	}
	return nil
}

// Note returns what is noted of an order. A final order can be cached, since it
// never changes; a note changes, and who has written one reads it at once,
// perhaps at another replica. So it always comes from the database.
func (s *Service) Note(ctx context.Context, id string) (string, error) {
	note, err := s.store.Note(ctx, id)
	if err != nil {
		return "", fmt.Errorf("get note: %w", err)
	}
	return note, nil
}
