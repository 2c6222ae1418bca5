package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// undo is an injection as a list of steps that take it back. Each is done until
// it succeeds once, so that reverting twice is harmless and reverting again
// after an error tries only what is left.
type undo struct {
	mu    sync.Mutex
	steps []func(context.Context) error
}

// add remembers how to take back what has just been done.
func (u *undo) add(f func(context.Context) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.steps = append(u.steps, f)
}

// Revert takes everything back, the last first, and joins the errors.
func (u *undo) Revert(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	var left []func(context.Context) error
	var errs []error
	for i := len(u.steps) - 1; i >= 0; i-- {
		if err := u.steps[i](ctx); err != nil {
			errs = append(errs, err)
			left = append([]func(context.Context) error{u.steps[i]}, left...)
		}
	}
	u.steps = left
	return errors.Join(errs...)
}

// fail reverts after an error in the middle of an injection, also when the
// context has ended.
func (u *undo) fail(ctx context.Context, err error) error {
	return errors.Join(err, u.Revert(context.WithoutCancel(ctx)))
}

var injections atomic.Uint64

// unique gives what an injection puts in force a name of its own, so that two
// of a kind can overlap.
func unique(kind string) string { return fmt.Sprintf("%s-%d", kind, injections.Add(1)) }
