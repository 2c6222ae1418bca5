package orders

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type fakeStore struct {
	byKey  map[string]Order
	prints map[string]string
	age    time.Duration // of what is created
	notes  map[string]string
	err    error
}

func (f *fakeStore) Create(_ context.Context, o Order, key, print string) (Order, string, error) {
	if f.err != nil {
		return Order{}, "", f.err
	}
	if stored, ok := f.byKey[key]; ok {
		return stored, f.prints[key], nil
	}
	o.CreatedAt = time.Now().Add(-f.age)
	f.byKey[key], f.prints[key] = o, print
	return o, print, nil
}

func (f *fakeStore) Settle(_ context.Context, id string, to Status) error {
	for key, o := range f.byKey {
		if o.ID == id {
			o.Status = to
			f.byKey[key] = o
		}
	}
	return nil
}

func (f *fakeStore) Get(_ context.Context, id string) (Order, error) {
	for _, o := range f.byKey {
		if o.ID == id {
			return o, nil
		}
	}
	return Order{}, ErrNotFound
}

func (f *fakeStore) Pending(_ context.Context, age time.Duration, _ int) ([]Order, error) {
	var pending []Order
	for _, o := range f.byKey {
		if !o.Final() && time.Since(o.CreatedAt) > age {
			pending = append(pending, o)
		}
	}
	return pending, nil
}

func (f *fakeStore) List(context.Context, string, Sort, int) ([]Order, string, error) {
	return nil, "", nil
}

type fakePayments struct {
	err    error
	keys   []string
	voided []string
}

func (f *fakePayments) Charge(_ context.Context, key string, _ int64) error {
	f.keys = append(f.keys, key)
	return f.err
}

func (f *fakePayments) Fee(context.Context, int64) (int64, error) { return 35, f.err }

func (f *fakePayments) Void(_ context.Context, key string) error {
	if f.err == nil {
		f.voided = append(f.voided, key)
	}
	return f.err
}

type fakeCache map[string]Order

func (f fakeCache) Get(_ context.Context, id string) (Order, bool) {
	o, ok := f[id]
	return o, ok
}

func (f fakeCache) Put(_ context.Context, o Order) { f[o.ID] = o }

func newFakes() (*Service, *fakeStore, *fakePayments, fakeCache) {
	s, p, c := &fakeStore{byKey: map[string]Order{}, prints: map[string]string{}}, &fakePayments{}, fakeCache{}
	return NewService(s, p, c), s, p, c
}

var draft = Draft{Customer: "Ada", Items: []Item{{SKU: "a", Quantity: 2, PriceCents: 50}}}

func TestPlaceTwiceIsOneOrder(t *testing.T) {
	svc, store, pay, _ := newFakes()
	first, err := svc.Place(t.Context(), "key", draft)
	if err != nil {
		t.Fatal(err)
	}
	second, err := svc.Place(t.Context(), "key", draft)
	if err != nil {
		t.Fatal(err)
	}
	if first.ID != second.ID || second.Status != Paid || first.TotalCents != 100 {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if len(store.byKey) != 1 || len(pay.keys) != 1 {
		t.Errorf("%d orders, %d charges", len(store.byKey), len(pay.keys))
	}
}

func TestPlaceGoesOnWhereItStopped(t *testing.T) {
	svc, store, pay, _ := newFakes()
	pay.err = errors.New("down")
	if _, err := svc.Place(t.Context(), "key", draft); err == nil {
		t.Fatal("acknowledged an order that is not paid")
	}
	if store.byKey["key"].Status != Pending {
		t.Errorf("stored %+v", store.byKey["key"])
	}
	pay.err = nil
	if o, err := svc.Place(t.Context(), "key", draft); err != nil || o.Status != Paid {
		t.Errorf("got %+v, %v", o, err)
	}
	if len(pay.keys) != 2 || pay.keys[0] != pay.keys[1] {
		t.Errorf("payment keys %v, want the same twice", pay.keys)
	}
}

func TestPlaceRefuses(t *testing.T) {
	svc, store, pay, _ := newFakes()
	pay.err = ErrDeclined
	for range 2 {
		if _, err := svc.Place(t.Context(), "key", draft); !errors.Is(err, ErrDeclined) {
			t.Errorf("got %v, want declined", err)
		}
	}
	if store.byKey["key"].Status != Failed || len(pay.keys) != 1 {
		t.Errorf("stored %+v after %d charges", store.byKey["key"], len(pay.keys))
	}
	other := Draft{Customer: "Bob", Items: draft.Items}
	if _, err := svc.Place(t.Context(), "key", other); !errors.Is(err, ErrKeyReused) {
		t.Errorf("got %v, want key reused", err)
	}
	store.err = errors.New("down")
	if _, err := svc.Place(t.Context(), "other", draft); err == nil {
		t.Error("acknowledged an order that is not stored")
	}
}

func TestGetCachesOnlyFinalOrders(t *testing.T) {
	svc, store, pay, cache := newFakes()
	pay.err = errors.New("down")
	_, _ = svc.Place(t.Context(), "key", draft)
	id := store.byKey["key"].ID
	if _, err := svc.Get(t.Context(), id); err != nil || len(cache) != 0 {
		t.Errorf("pending: %v, cached %v", err, cache)
	}
	_ = store.Settle(t.Context(), id, Paid)
	got, err := svc.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(cache[id], got); d != "" {
		t.Error(d)
	}
	if _, err := svc.Get(t.Context(), "ord_none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		draft Draft
		want  string
	}{
		"good":        {draft, ""},
		"nobody":      {Draft{Items: draft.Items}, "customer"},
		"nothing":     {Draft{Customer: "Ada"}, "items: 1 to 50"},
		"no sku":      {Draft{Customer: "Ada", Items: []Item{{Quantity: 1}}}, "items[0].sku"},
		"none of it":  {Draft{Customer: "Ada", Items: []Item{{SKU: "a"}}}, "items[0].quantity"},
		"minus money": {Draft{Customer: "Ada", Items: []Item{{SKU: "a", Quantity: 1, PriceCents: -1}}}, "price"},
		"long name":   {Draft{Customer: strings.Repeat("a", 101), Items: draft.Items}, "customer"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.draft.Validate()
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var invalid *InvalidError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
