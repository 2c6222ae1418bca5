package orders

// Sort is the column that a page of orders is sorted by. The zero value is the
// newest first.
type Sort string

// What a page may be sorted by.
const (
	SortByTotal    Sort = "total_cents"
	SortByCustomer Sort = "customer"
)

// ParseSort reads what a caller asks for; empty is the newest first.
func ParseSort(text string) (Sort, error) {
	switch s := Sort(text); s {
	case "", SortByTotal, SortByCustomer:
		return s, nil
	}
	return "", &InvalidError{Problems: []string{"sort: want total_cents or customer"}}
}
