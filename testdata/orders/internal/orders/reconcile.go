package orders

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// RetryWindow is for how long an order that is still pending may be asked for
// again under its key. [Reconciler] leaves younger ones alone, so that the two
// never work on the same order.
const RetryWindow = 10 * time.Minute

// Voider takes payments back.
type Voider interface {
	// Void has every charge under the key declined from now on, and gives back
	// one that was made. It may be repeated.
	Void(ctx context.Context, key string) error
}

// Reconciler gives up orders whose callers never came back. They were told
// that nothing was ordered, and may have ordered under another key since.
type Reconciler struct {
	store    Store
	payments Voider
}

// NewReconciler returns a reconciler that works with the given parts.
func NewReconciler(s Store, p Voider) *Reconciler { return &Reconciler{store: s, payments: p} }

// GiveUp voids the payments of at most limit orders that have been pending for
// longer than age, which is at least [RetryWindow], and says how many are
// settled as failed now. An order that cannot be settled does not stop the
// others; the error tells of all of them.
func (r *Reconciler) GiveUp(ctx context.Context, age time.Duration, limit int) (settled int, err error) {
	pending, err := r.store.Pending(ctx, max(age, RetryWindow), limit)
	if err != nil {
		return 0, fmt.Errorf("reconcile: %w", err)
	}
	var errs []error
	for _, o := range pending {
		if err := r.giveUp(ctx, o); err != nil {
			errs = append(errs, fmt.Errorf("reconcile %s: %w", o.ID, err))
			continue
		}
		settled++
	}
	return settled, errors.Join(errs...)
}

// giveUp takes the money back before the order is settled: what is done twice
// does no harm, and what is left undone is found again.
func (r *Reconciler) giveUp(ctx context.Context, o Order) error {
	if err := r.payments.Void(ctx, chargeKey(o.ID)); err != nil {
		return err
	}
	return r.store.Settle(ctx, o.ID, Failed)
}

// chargeKey ties a payment to its order.
func chargeKey(orderID string) string { return "charge-" + orderID }
