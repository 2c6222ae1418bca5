package store

import "github.com/seatrial/seatrial/testdata/orders/internal/orders"

// sortedPage is the query for a page in an order. A column cannot be a
// parameter, so it is chosen here, and never put together of what a caller sent.
func sortedPage(by orders.Sort) string {
	switch by {
	case orders.SortByTotal:
		return selectPage + "total_cents, seq DESC"
	case orders.SortByCustomer:
		return selectPage + "customer, seq DESC"
	default:
		return selectPage + "seq DESC"
	}
}
