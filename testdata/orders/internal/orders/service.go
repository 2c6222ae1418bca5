package orders

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors that callers are told about.
var (
	ErrNotFound  = errors.New("order not found")
	ErrKeyReused = errors.New("idempotency key was used for a different order")
	ErrDeclined  = errors.New("payment declined")
)

// Store keeps orders.
type Store interface {
	// Create stores a pending order under its idempotency key, or returns the
	// one that is there already, which may have another fingerprint.
	Create(ctx context.Context, o Order, key, fingerprint string) (stored Order, storedFingerprint string, err error)
	// Settle moves a pending order to its final status.
	Settle(ctx context.Context, id string, to Status) error
	// Get returns one order, or [ErrNotFound].
	Get(ctx context.Context, id string) (Order, error)
	// Pending returns at most limit orders that have been pending for longer
	// than age.
	Pending(ctx context.Context, age time.Duration, limit int) ([]Order, error)
	// List returns at most limit orders after the cursor, newest first, and
	// the next cursor, which is empty at the end.
	List(ctx context.Context, cursor string, sort Sort, limit int) ([]Order, string, error)
	Notes
}

// Payments moves the money.
type Payments interface {
	// Charge is idempotent by key. A refusal is [ErrDeclined].
	Charge(ctx context.Context, key string, cents int64) error
	// Fee asks what a payment would cost.
	Fee(ctx context.Context, cents int64) (int64, error)
}

// Cache remembers final orders. It is only ever a help: whatever fails in it
// counts as not found.
type Cache interface {
	Get(ctx context.Context, id string) (Order, bool)
	Put(ctx context.Context, o Order)
}

// Service places and finds orders.
type Service struct {
	store    Store
	payments Payments
	cache    Cache
}

// NewService returns a service that works with the given parts.
func NewService(s Store, p Payments, c Cache) *Service {
	return &Service{store: s, payments: p, cache: c}
}

// Place stores the order, charges for it and settles it. Repeating the call
// with the same key is safe whatever became of the first: the order is stored
// once, and the payment's own key is derived from it. An order is acknowledged
// only when it is stored as paid.
func (s *Service) Place(ctx context.Context, key string, d Draft) (Order, error) {
	fingerprint, err := d.Fingerprint()
	if err != nil {
		return Order{}, err
	}
	draft := Order{
		ID: newID(), Customer: d.Customer, Status: Pending, TotalCents: d.TotalCents(), Items: d.Items,
	}
	return s.place(ctx, draft, key, fingerprint)
}

func (s *Service) place(ctx context.Context, draft Order, key, fingerprint string) (Order, error) {
	order, stored, err := s.store.Create(ctx, draft, key, fingerprint)
	if err != nil {
		return Order{}, fmt.Errorf("place order: %w", err)
	}
	if stored != fingerprint {
		return Order{}, ErrKeyReused
	}
	if !order.Final() {
		if time.Since(order.CreatedAt) > RetryWindow {
			return Order{}, ErrTooLate
		}
		order.Status, err = s.settle(ctx, order)
		if err != nil {
			return Order{}, fmt.Errorf("place order: %w", err)
		}
	}
	if order.Status == Failed {
		return order, ErrDeclined
	}
	return order, nil
}

func (s *Service) settle(ctx context.Context, o Order) (Status, error) {
	status := Paid
	switch err := s.payments.Charge(ctx, chargeKey(o.ID), o.TotalCents); {
	case errors.Is(err, ErrDeclined):
		status = Failed
	case err != nil:
		return "", err
	}
	if err := s.store.Settle(ctx, o.ID, status); err != nil {
		return "", err
	}
	return status, nil
}

// Get returns an order, from the cache if it is there.
func (s *Service) Get(ctx context.Context, id string) (Order, error) {
	if o, ok := s.cache.Get(ctx, id); ok {
		return o, nil
	}
	o, err := s.store.Get(ctx, id)
	if err != nil {
		return Order{}, fmt.Errorf("get order: %w", err)
	}
	if o.Final() {
		s.cache.Put(ctx, o)
	}
	return o, nil
}

// List returns a page of orders, newest first; sort is what the page is sorted by.
func (s *Service) List(ctx context.Context, cursor string, sort Sort, limit int) ([]Order, string, error) {
	page, next, err := s.store.List(ctx, cursor, sort, limit)
	if err != nil {
		return nil, "", fmt.Errorf("list orders: %w", err)
	}
	return page, next, nil
}

// Quote is what a draft would cost.
type Quote struct {
	TotalCents int64 `json:"total_cents"`
	FeeCents   int64 `json:"fee_cents"`
}

// Quote asks what a draft would cost; nothing is stored.
func (s *Service) Quote(ctx context.Context, d Draft) (Quote, error) {
	total := d.TotalCents()
	fee, err := s.payments.Fee(ctx, total)
	if err != nil {
		return Quote{}, fmt.Errorf("quote: %w", err)
	}
	return Quote{TotalCents: total, FeeCents: fee}, nil
}

func newID() string { return "ord_" + strings.ToLower(rand.Text()) }
