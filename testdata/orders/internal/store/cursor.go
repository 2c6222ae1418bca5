package store

import (
	"math"
	"strconv"

	"github.com/seatrial/seatrial/testdata/orders/internal/orders"
)

// after is where the page after a cursor begins.
func after(cursor string) (before int64, err error) {
	if cursor == "" {
		return math.MaxInt64, nil
	}
	before, err = strconv.ParseInt(cursor, 36, 64)
	if err != nil {
		return 0, &orders.InvalidError{Problems: []string{"cursor: not one of ours"}}
	}
	return before, nil
}

// nextCursor is that of the page after one that goes down to an order; empty
// where there is none.
func nextCursor(page []orders.Order, limit int, before int64) string {
	if len(page) < limit {
		return ""
	}
	return strconv.FormatInt(before, 36)
}
