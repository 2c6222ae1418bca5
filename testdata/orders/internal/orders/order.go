// Package orders holds the rules of the service: what an order is, and how it
// is placed so that a retry can do no harm.
package orders

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status is how far an order has come.
type Status string

// An order is pending until the payment has been settled one way or the other.
const (
	Pending Status = "pending"
	Paid    Status = "paid"
	Failed  Status = "failed"
)

// Bounds of a request.
const (
	MaxItems    = 50
	maxNameLen  = 100
	maxQuantity = 1000
	maxCents    = 10_000_000
)

// Item is one line of an order.
type Item struct {
	SKU        string `json:"sku"`
	Quantity   int    `json:"quantity"`
	PriceCents int64  `json:"price_cents"` // of one piece
}

// Draft is what a customer asks for.
type Draft struct {
	Customer string `json:"customer"`
	Items    []Item `json:"items"`
}

// Order is a stored order.
type Order struct {
	ID         string    `json:"id"`
	Customer   string    `json:"customer"`
	Status     Status    `json:"status"`
	TotalCents int64     `json:"total_cents"`
	Items      []Item    `json:"items,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
}

// Errors beside those of a service that callers are told about.
var (
	// ErrTooLate is about an order that stayed pending for longer than
	// [RetryWindow]: nothing was ordered.
	ErrTooLate = errors.New("order was given up")
	// ErrUncertain says that a write was sent and that no answer came, so that
	// nobody knows whether it took effect.
	ErrUncertain = errors.New("outcome unknown")
)

// Final says that the order will not change any more.
func (o Order) Final() bool { return o.Status != Pending }

// TotalCents is what the items cost together.
func (d Draft) TotalCents() int64 {
	var total int64
	for _, i := range d.Items {
		total += int64(i.Quantity) * i.PriceCents
	}
	return total
}

// Fingerprint tells two drafts apart that came with the same key.
func (d Draft) Fingerprint() (string, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("fingerprint draft: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// InvalidError says what is wrong with a draft, in words for its sender.
type InvalidError struct{ Problems []string }

// Error lists the problems.
func (e *InvalidError) Error() string { return strings.Join(e.Problems, "; ") }

// Validate checks a draft; the error is an [*InvalidError].
func (d Draft) Validate() error {
	var problems []string
	if d.Customer == "" || len(d.Customer) > maxNameLen {
		problems = append(problems, fmt.Sprintf("customer: 1 to %d bytes", maxNameLen))
	}
	if len(d.Items) == 0 || len(d.Items) > MaxItems {
		problems = append(problems, fmt.Sprintf("items: 1 to %d", MaxItems))
	}
	for n, i := range d.Items {
		if i.SKU == "" || len(i.SKU) > maxNameLen {
			problems = append(problems, fmt.Sprintf("items[%d].sku: 1 to %d bytes", n, maxNameLen))
		}
		if i.Quantity < 1 || i.Quantity > maxQuantity {
			problems = append(problems, fmt.Sprintf("items[%d].quantity: 1 to %d", n, maxQuantity))
		}
		if i.PriceCents < 0 || i.PriceCents > maxCents {
			problems = append(problems, fmt.Sprintf("items[%d].price_cents: 0 to %d", n, maxCents))
		}
	}
	if len(problems) > 0 {
		return &InvalidError{Problems: problems}
	}
	return nil
}
