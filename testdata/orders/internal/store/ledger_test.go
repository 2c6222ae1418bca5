package store

import (
	"context"
	"errors"
	"testing"

	"github.com/seatrial/seatrial/experiments/subject"
	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

// provider is a payment provider that answers as it is told to.
type provider struct{ err error }

func (p *provider) Charge(context.Context, string, int64) error        { return p.err }
func (*provider) Fee(context.Context, int64) (int64, error)            { return 35, nil }
func (*provider) Void(context.Context, string) error                   { return nil }
func (*provider) Get(context.Context, string) (o orders.Order, _ bool) { return o, false }
func (*provider) Put(context.Context, orders.Order)                    {}

// testLedger asks what a trial asks: the ledger query of seatrial.yaml finds an
// order if and only if it was answered with 201.
func testLedger(t *testing.T, p keeper, url string) {
	s, err := subject.Load("../../seatrial.yaml")
	if err != nil {
		t.Fatal(err)
	}
	reader := open(t, url, Limits{MaxOpen: 1})
	counted := func(key string) (n int) {
		t.Helper()
		rows, err := reader.db.QueryContext(t.Context(), s.Traffic.Ledger.Query)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var found, id, customer string
			if err := rows.Scan(&found, &id, &customer); err != nil {
				t.Fatal(err)
			}
			if found == key {
				n++
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	pay := &provider{}
	svc := orders.NewService(p, pay, pay)
	draft := orders.Draft{Customer: "Ada", Items: order("").Items}
	for _, c := range []struct {
		says, key string
		payments  error
		want      int
	}{
		{"refused", "ledger-1", errors.New("down"), 0},
		{"refused again", "ledger-1", errors.New("down"), 0},
		{"acknowledged in the end", "ledger-1", nil, 1},
		{"acknowledged twice", "ledger-1", nil, 1},
		{"declined", "ledger-2", orders.ErrDeclined, 0},
	} {
		pay.err = c.payments
		_, err := svc.Place(t.Context(), c.key, draft)
		if (err == nil) != (c.want == 1) {
			t.Errorf("%s: %v", c.says, err)
		}
		if n := counted(c.key); n != c.want {
			t.Errorf("%s: the ledger has %d, want %d", c.says, n, c.want)
		}
	}
}
