package journal

// Quantity is one measured figure of a finding or an operation. Comparisons
// between nights, minimisation and searches are built on these, so that a name
// stays the same from version to version.
type Quantity struct {
	Name  string  `json:"name"` // snake_case, such as "p99" or "attempts_max"
	Value float64 `json:"value"`
	Unit  string  `json:"unit"` // "s", "1" (ratio or count), "1/s", "bytes"
	// Bound is the limit the value was held against, nil when there was none.
	Bound *float64 `json:"bound,omitempty"`
	// Op says on which side of the bound the value must lie: "<=", ">=", "<",
	// ">" or "==". Empty without a bound.
	Op string `json:"op,omitempty"`
	// Samples is how many observations the value rests on; zero when that has
	// no meaning.
	Samples int `json:"samples,omitempty"`
}

// Holds reports whether the value lies on the right side of its bound. A
// quantity without a bound always holds.
func (q Quantity) Holds() bool {
	if q.Bound == nil {
		return true
	}
	switch q.Op {
	case "<=":
		return q.Value <= *q.Bound
	case ">=":
		return q.Value >= *q.Bound
	case "<":
		return q.Value < *q.Bound
	case ">":
		return q.Value > *q.Bound
	case "==":
		return q.Value == *q.Bound
	}
	return false
}
