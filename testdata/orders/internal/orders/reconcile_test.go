package orders

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGiveUp(t *testing.T) {
	svc, store, pay, _ := newFakes()
	reconciler := NewReconciler(store, pay)
	pay.err = errors.New("down")
	_, _ = svc.Place(t.Context(), "young", draft)
	store.age = RetryWindow + time.Minute
	_, _ = svc.Place(t.Context(), "old", draft)
	if n, err := reconciler.GiveUp(t.Context(), 0, 10); n != 0 || err == nil {
		t.Errorf("while payments are down: %d, %v", n, err)
	}
	if got := store.byKey["old"].Status; got != Pending {
		t.Errorf("settled as %s while it is not known what was paid", got)
	}
	pay.err = nil
	charges := len(pay.keys)
	if n, err := reconciler.GiveUp(t.Context(), 0, 10); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if d := cmp.Diff([]string{chargeKey(store.byKey["old"].ID)}, pay.voided); d != "" {
		t.Error(d)
	}
	if store.byKey["old"].Status != Failed || store.byKey["young"].Status != Pending {
		t.Errorf("stored %+v", store.byKey)
	}
	if len(pay.keys) != charges {
		t.Error("charged for an order that nobody asks for any more")
	}
	if _, err := svc.Place(t.Context(), "young", draft); err != nil {
		t.Errorf("a retry in time: %v", err)
	}
}

// TestGiveUpGoesOn has one order that cannot be settled.
func TestGiveUpGoesOn(t *testing.T) {
	svc, store, pay, _ := newFakes()
	pay.err = errors.New("down")
	store.age = time.Hour
	for _, key := range []string{"a", "b", "c"} {
		_, _ = svc.Place(t.Context(), key, draft)
	}
	stuck := chargeKey(store.byKey["b"].ID)
	n, err := NewReconciler(store, refuses{stuck}).GiveUp(t.Context(), RetryWindow, 10)
	if n != 2 || !errors.Is(err, errStuck) {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestPlaceTooLate(t *testing.T) {
	svc, store, pay, _ := newFakes()
	pay.err = errors.New("down")
	store.age = RetryWindow - time.Minute
	_, _ = svc.Place(t.Context(), "in time", draft)
	store.age = RetryWindow + time.Minute
	_, _ = svc.Place(t.Context(), "late", draft)
	pay.err = nil
	charges := len(pay.keys)
	if _, err := svc.Place(t.Context(), "late", draft); !errors.Is(err, ErrTooLate) || len(pay.keys) != charges {
		t.Errorf("got %v and %d charges, want too late and none", err, len(pay.keys)-charges)
	}
	if _, err := svc.Place(t.Context(), "in time", draft); err != nil {
		t.Error(err)
	}
}

var errStuck = errors.New("stuck")

// refuses is a provider that cannot void one key.
type refuses struct{ key string }

func (r refuses) Void(_ context.Context, key string) error {
	if key == r.key {
		return errStuck
	}
	return nil
}
